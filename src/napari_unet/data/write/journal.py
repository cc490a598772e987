"""Lines of JSON that are only ever added to a file, by one process at a time."""

from __future__ import annotations

import errno
import json
import os
import sys
from threading import Lock
from typing import TYPE_CHECKING, Any

from napari_unet.errors import UNetError

if TYPE_CHECKING:
    from pathlib import Path


class Journal:
    """What a process has done, so that another can go on after it was killed.

    Parameters
    ----------
    path : Path
        Its folder exists. What stands in the file is read; half a line at its end,
        where a process was killed, is taken away.
    safe : bool
        Whether a line is to be on the disk, not only on its way, when `add` returns.

    Attributes
    ----------
    path : Path
    found : list
        The values that earlier processes have added; None for a line that a loss of
        power has damaged.

    Raises
    ------
    UNetError
        If another process has it open.
    """

    def __init__(self, path: Path, *, safe: bool = False) -> None:
        self.path = path
        self._safe = safe
        self._lock = Lock()
        self._file = path.open("a+b", buffering=0)
        try:
            _claim(self._file.fileno(), path)
            self._file.seek(0)
            content = self._file.read()
            whole = content.rfind(b"\n") + 1
            self._file.truncate(whole)
        except BaseException:
            self._file.close()
            raise
        self.found = [read_line(line) for line in content[:whole].splitlines()]

    def add(self, value: Any) -> None:
        """Add a plain value: all of its line, or nothing.

        Raises
        ------
        OSError
            If the disk is full.
        """
        line = json.dumps(value).encode() + b"\n"
        with self._lock:
            written = self._file.write(line)
            if written < len(line):
                self._file.truncate(self._file.seek(0, os.SEEK_END) - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._safe:
                os.fsync(self._file.fileno())

    def fileno(self) -> int:
        """Return the number of the open file."""
        return self._file.fileno()

    def close(self) -> None:
        """Let others have it."""
        self._file.close()


def read_line(line: bytes) -> Any:
    """Return the value of a line; None if it is damaged."""
    try:
        return json.loads(line)
    except ValueError:  # what a loss of power leaves
        return None


def _claim(file: int, path: Path) -> None:
    """Keep other processes out while this one lives, where the system can."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UNetError(
            f"{path.parent} is being written by another process: wait for it, or "
            "choose another name."
        ) from None
    except OSError:  # a file system without locks
        return
