"""What of a folder of results is written: lines that are only ever added to a file."""

from __future__ import annotations

import json
import zlib
from threading import Lock
from typing import TYPE_CHECKING, Any

from napari_unet.data.write.journal import Journal, read_line
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
        self._journal = Journal(path)
        try:
            self._read(json.loads(json.dumps(purpose)))
        except BaseException:
            self._journal.close()
            raise

    def add(self, name: str, content: bytes) -> None:
        """Say that a file of the folder holds `content`, all of it."""
        self._journal.add([name, len(content), zlib.crc32(content)])
        with self._lock:
            self.written += len(content)

    def note(self, name: str, value: Any) -> None:
        """Keep a plain value under a name."""
        self._journal.add({name: value})
        self.notes[name] = value

    def close(self) -> None:
        """Let others go on with the folder."""
        self._journal.close()

    def _read(self, purpose: dict[str, Any]) -> None:
        if not self._journal.found:
            self._journal.add(purpose)
            return
        first, *entries = self._journal.found
        self._compare(first, purpose)
        for entry in entries:
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


def read_notes(folder: Path) -> dict[str, Any]:
    """Return what is noted in the ledger of a folder; nothing if there is none."""
    path = folder / NAME
    lines = path.read_bytes().splitlines()[1:] if path.is_file() else []
    entries = [entry for line in lines if isinstance(entry := read_line(line), dict)]
    return {name: value for entry in entries for name, value in entry.items()}


def _holds(path: Path, size: int, checksum: int) -> bool:
    if not path.is_file() or path.stat().st_size != size:
        return False
    return zlib.crc32(path.read_bytes()) == checksum


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
