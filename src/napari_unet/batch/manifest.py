"""What a batch knows of each image: what it was, what became of it, and why."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from napari_unet.data.write.journal import Journal, read_line
from napari_unet.errors import UNetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from napari_unet.batch.inputs import Item

NAME = "batch.jsonl"
_READ = 2**22  # bytes that are hashed at once
_PATIENCE = 3.0  # seconds that the process of a run that was killed may take to end


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells the content of an image from another.

    Attributes
    ----------
    size : int
        Bytes.
    changed : int
        When it was last changed, in nanoseconds.
    digest : str
        BLAKE2 of its bytes; of a folder such as OME-Zarr, of the names, sizes and
        times of its files.
    """

    size: int
    changed: int
    digest: str = ""

    def same_as(self, other: Fingerprint) -> bool:
        """Whether it is the same content, perhaps copied or touched since."""
        if (self.size, self.changed) == (other.size, other.changed):
            return True
        return bool(self.digest) and self.digest == other.digest


@dataclass(frozen=True, slots=True)
class Record:
    """What became of an image.

    Attributes
    ----------
    name : str
        That of the `Item`.
    state : {"done", "failed"}
    purpose : str
        A checksum of the model and of all options that matter.
    image : Fingerprint or None
        None for an image that could not be read.
    files : dict of str to str
        The results, relative to the output folder.
    facts : dict
        What was found: seconds, pixels, number of objects, scores, remarks.
    reason : str
        Why it failed.
    """

    name: str
    state: str
    purpose: str
    image: Fingerprint | None = None
    files: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build it from the plain values of `dataclasses.asdict`."""
        image = values.get("image")
        return cls(**{**values, "image": Fingerprint(**image) if image else None})


class Manifest:
    """The records of an output folder, which survive a kill at any moment.

    Each is a line that is added to ``batch.jsonl``, once the files of the image are
    complete; the last line of an image holds.

    Parameters
    ----------
    folder : Path
        The output folder; made if it is not there.

    Attributes
    ----------
    settled : dict
        What the first run has settled for all that go on with it, such as the
        precision.

    Raises
    ------
    UNetError
        If another process works on the folder, or it cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settled: dict[str, Any] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._journal = _open_journal(folder / NAME)
        except OSError as error:
            raise UNetError(
                f"{folder} cannot be written to ({error.strerror or error}): choose "
                "another output folder."
            ) from error
        known = list(filter(None, self._journal.found))
        for values in known:
            self.settled.update(values.get("settled", {}))
        self.records = _records(known)
        self._journal.found.clear()

    @property
    def lock(self) -> int:
        """The open file that keeps others out; also while a child process has it."""
        return self._journal.fileno()

    def add(self, record: Record) -> None:
        """Note what became of an image."""
        self._add(asdict(record))
        self.records[record.name] = record

    def settle(self, **values: Any) -> None:
        """Note what all further runs are to do alike."""
        self._add({"settled": values})
        self.settled.update(values)

    def close(self) -> None:
        """Let another process work on the folder."""
        self._journal.close()

    def is_done(self, item: Item, purpose: str) -> bool:
        """Whether the results of an image are there, of what it holds now."""
        record = self.records.get(item.name)
        if record is None or record.state != "done" or record.purpose != purpose:
            return False
        if not all((self.folder / file).exists() for file in record.files.values()):
            return False
        return self._is_same(item, record)

    def has_failed(self, item: Item, purpose: str) -> bool:
        """Whether an image has failed, and neither it nor anything else changed."""
        record = self.records.get(item.name)
        if record is None or record.state != "failed" or record.purpose != purpose:
            return False
        return self._is_same(item, record)

    def _is_same(self, item: Item, record: Record) -> bool:
        if record.image is None:
            return glance(item.image) is None
        return is_unchanged(item.image, record.image)

    def _add(self, values: dict[str, Any]) -> None:
        try:
            self._journal.add(values)
        except OSError as error:
            raise UNetError(
                f"{self._journal.path} could not be written "
                f"({error.strerror or error}). Make room; the same command goes on."
            ) from error


def read_records(folder: Path) -> dict[str, Record]:
    """Return what a manifest says of each image, perhaps while it is written.

    Raises
    ------
    OSError
        If it is there, but cannot be read.
    """
    path = folder / NAME
    lines = path.read_bytes().splitlines() if path.exists() else []
    return _records(filter(None, map(read_line, lines)))


def _records(known: Iterable[dict[str, Any]]) -> dict[str, Record]:
    """Return the last record of each image."""
    records = (Record.from_dict(each) for each in known if "settled" not in each)
    return {record.name: record for record in records}


def _open_journal(path: Path) -> Journal:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return Journal(path, safe=True)
        except UNetError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def purpose_of(**values: Any) -> str:
    """Return a checksum of plain values."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def glance(path: Path) -> Fingerprint | None:
    """Return how large an image is and when it changed; None if it cannot be seen."""
    try:
        stats = [each.stat() for each in _files(path)]
    except OSError:
        return None
    return Fingerprint(
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime_ns for stat in stats), default=0),
    )


def is_unchanged(path: Path, image: Fingerprint) -> bool:
    """Whether an image holds what it held, perhaps copied or touched since."""
    now = glance(path)
    if now is None or image.same_as(now):
        return now is not None
    return now.size == image.size and image.same_as(read(path))


def read(path: Path) -> Fingerprint:
    """Read an image to tell its content from any other.

    Size and time are those from before it was read, so that a change meanwhile shows.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    seen = glance(path) or Fingerprint(0, 0)
    found = hashlib.blake2b(digest_size=16)
    if path.is_dir():
        for file in _files(path):
            stat = file.stat()
            line = f"{file.relative_to(path)} {stat.st_size} {stat.st_mtime_ns}\n"
            found.update(line.encode())
    else:
        with path.open("rb") as content:
            while part := content.read(_READ):
                found.update(part)
    return Fingerprint(seen.size, seen.changed, found.hexdigest())


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(each for each in path.rglob("*") if each.is_file())
