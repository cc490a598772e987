"""What of a folder of results is written: lines that are only ever added to a file."""

from __future__ import annotations

import errno
import json
import os
import sys
import zlib
from threading import Lock
from typing import TYPE_CHECKING, Any

from napari_unet.errors import OutputExistsError, UNetError

if TYPE_CHECKING:
    from pathlib import Path

NAME = ".ledger.jsonl"


class Ledger:
    """Which files of a folder are whole, so that work on them can go on after a crash.

    Its first line says what the folder is to hold. Each line after it names a file
    that is written, with its size and checksum, or notes a value. A file counts only
    if it has that size and checksum when the ledger is opened again: after a loss of
    power the line may be on the disk, and the pixels not.

    Parameters
    ----------
    folder : Path
        It exists. A ledger in it is gone on with.
    purpose : dict
        Plain values; a ledger of another purpose is refused.

    Attributes
    ----------
    found : set of str
        The files that earlier processes have written.
    notes : dict
        What was noted, then and since.
    written : int
        Bytes in all files.

    Raises
    ------
    OutputExistsError
        If the folder holds a ledger of another purpose.
    UNetError
        If it holds other files and no ledger, or another process has the ledger open.
    """

    def __init__(self, folder: Path, purpose: dict[str, Any]) -> None:
        self.folder = folder
        self.notes: dict[str, Any] = {}
        self.written = 0
        self.found: set[str] = set()
        self._lock = Lock()
        path = folder / NAME
        if not path.exists() and any(folder.iterdir()):
            raise UNetError(
                f"{folder} is there, but it is no unfinished result of this program: "
                "remove it, or choose another name."
            )
        self._file = path.open("a+b", buffering=0)
        try:
            _claim(self._file.fileno(), folder)
            self._read(json.loads(json.dumps(purpose)))
        except BaseException:
            self._file.close()
            raise

    def add(self, name: str, content: bytes) -> None:
        """Say that a file of the folder holds `content`, all of it."""
        with self._lock:
            self._append([name, len(content), zlib.crc32(content)])
            self.written += len(content)

    def note(self, name: str, value: Any) -> None:
        """Keep a plain value under a name."""
        with self._lock:
            self._append({name: value})
            self.notes[name] = value

    def close(self) -> None:
        """Let others go on with the folder."""
        self._file.close()

    def _read(self, purpose: dict[str, Any]) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        self._file.truncate(whole)  # half a line is where a process was killed
        first, *lines = content[:whole].splitlines() or [b""]
        if not first:
            self._append(purpose)
            return
        self._compare(_value(first), purpose)
        for line in lines:
            entry = _value(line)
            if isinstance(entry, dict):
                self.notes.update(entry)
            elif isinstance(entry, list) and _holds(self.folder / entry[0], *entry[1:]):
                self.found.add(entry[0])
                self.written += entry[1]

    def _compare(self, found: Any, purpose: dict[str, Any]) -> None:
        if found == purpose:
            return
        found = found if isinstance(found, dict) else {}
        other = [
            f"{name} ({_short(found.get(name))} instead of {_short(purpose.get(name))})"
            for name in {**purpose, **found}
            if found.get(name) != purpose.get(name)
        ]
        raise OutputExistsError(
            f"{self.folder} holds an unfinished result of something else; it differs "
            f"in {', '.join(other)}. Choose another name, or say that it may be "
            "overwritten (--overwrite, overwrite=True)."
        )

    def _append(self, entry: Any) -> None:
        line = json.dumps(entry).encode() + b"\n"
        if self._file.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_notes(folder: Path) -> dict[str, Any]:
    """Return what is noted in the ledger of a folder; nothing if there is none."""
    path = folder / NAME
    lines = path.read_bytes().splitlines()[1:] if path.is_file() else []
    entries = [entry for line in lines if isinstance(entry := _value(line), dict)]
    return {name: value for entry in entries for name, value in entry.items()}


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:  # what a loss of power leaves
        return None


def _holds(path: Path, size: int, checksum: int) -> bool:
    if not path.is_file() or path.stat().st_size != size:
        return False
    return zlib.crc32(path.read_bytes()) == checksum


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _claim(file: int, folder: Path) -> None:
    """Keep other processes out while this one lives, where the system can."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UNetError(
            f"{folder} is being written by another process: wait for it, or choose "
            "another name."
        ) from None
    except OSError:  # a file system without locks
        return
