"""OME-Zarr stores that are written piece by piece, and gone on with after a crash.

Until it is complete, a store has ``.part`` after its name and a ledger in it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Any

from napari_unet.data.write.chunks import PyramidWriter, mean_of_four, mode_of_four
from napari_unet.data.write.layout import room_needed
from napari_unet.data.write.ledger import NAME, Ledger
from napari_unet.data.write.ngff import (
    describe_groups,
    describe_image,
    describe_labels,
    make_store,
)
from napari_unet.errors import OutputExistsError, UNetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.masks.classes import Classes
    from napari_unet.data.write.layout import Layout

GROUPS = {
    "probabilities": "",
    "prediction": "",
    "labels": "labels/prediction",
    "objects": "labels/objects",
    "uncertainty": "uncertainty",
}
"""The group of each result, by name; the root shows the first one there is."""

_LABELS = ("labels", "objects")


class ZarrWriter:
    """An OME-Zarr store with the results of a prediction.

    Probabilities, or the values of regression, are its image; labels and objects are
    in its group ``labels``, uncertainty is an image in a group of its own. Where there
    is no image, the store shows the labels as one.

    Parameters
    ----------
    path : Path
        Of the complete store. What is unfinished under ``<path>.part`` is gone on with.
    layouts : mapping of str to Layout
        By name: ``probabilities``, ``prediction``, ``labels``, ``objects`` or
        ``uncertainty``.
    purpose : dict
        Plain values that tell this prediction from any other.
    version : {"0.5", "0.4"}
        Of OME-Zarr: on zarr 3 or zarr 2.
    classes : Classes or None
        Those of the labels.
    overwrite : bool
        Whether a complete store may be replaced, when the new one is complete, and an
        unfinished one of another purpose removed.

    Raises
    ------
    OutputExistsError
        If `overwrite` is false and there is such a store.
    UNetError
        If the disk is full, the folder cannot be written to, or another process is
        writing there.
    """

    def __init__(
        self,
        path: Path,
        layouts: Mapping[str, Layout],
        purpose: dict[str, Any],
        *,
        version: str = "0.5",
        classes: Classes | None = None,
        overwrite: bool = False,
    ) -> None:
        if path.is_dir():  # a process may have been killed at its very end
            (path / NAME).unlink(missing_ok=True)
        if path.exists() and not overwrite:
            raise OutputExistsError(
                f"{path} exists. Choose another name, or say that it may be "
                "overwritten (--overwrite, overwrite=True)."
            )
        self.path = path
        self.part = part_of(path)
        self._arrays: dict[str, PyramidWriter] = {}
        with self._telling():
            given = {"ome_zarr": version, **purpose}
            self.ledger = _open_ledger(self.part, given, overwrite)
            try:
                self._open_arrays(layouts, classes, version)
            except BaseException:
                self.ledger.close()
                raise

    @property
    def notes(self) -> Mapping[str, Any]:
        """What was noted, in an earlier process too."""
        return self.ledger.notes

    def note(self, name: str, value: Any) -> None:
        """Note a plain value.

        Raises
        ------
        UNetError
            If the disk is full.
        """
        with self._telling():
            self.ledger.note(name, value)

    @property
    def share(self) -> float:
        """Share of the pixels that are written, 0 to 1."""
        arrays = self._arrays.values()
        done = sum(array.share * array.nbytes for array in arrays)
        return done / sum(array.nbytes for array in arrays)

    def has(self, name: str, place: Sequence[int | slice]) -> bool:
        """Return whether a piece of a result is written, all of it."""
        return self._arrays[name].has(place)

    def put(
        self, name: str, place: Sequence[int | slice], pixels: NDArray[Any]
    ) -> None:
        """Write a piece of a result, or the chunks that are whole with it.

        Raises
        ------
        UNetError
            If the disk is full.
        """
        with self._telling():
            self._arrays[name].put(place, pixels)

    def finish(self) -> None:
        """Give the store, to which all pieces have come, its name."""
        with self._telling():
            for array in self._arrays.values():
                array.finish()
                assert array.share == 1, f"chunks of {self.part} are missing"
            self.ledger.close()
            if hasattr(os, "sync"):
                os.sync()  # a loss of power must not leave the name without pixels
            _replace(self.path, self.part)
            (self.path / NAME).unlink()

    def abandon(self) -> None:
        """Let go of the store; what is written of it stays, to be gone on with."""
        self.ledger.close()

    def _open_arrays(
        self, layouts: Mapping[str, Layout], classes: Classes | None, version: str
    ) -> None:
        prefix = "c/" if version == "0.5" else ""
        for name, layout in layouts.items():
            reduce = mode_of_four if name in _LABELS else mean_of_four
            path = GROUPS[name]
            array = PyramidWriter(layout, path, self.ledger, prefix, reduce)
            self._arrays[name] = array
        self.ledger.found = set()  # the arrays know it now, in less memory
        if "described" not in self.ledger.notes:
            self._describe(layouts, classes, version)
            self.ledger.note("described", True)

    def _describe(
        self, layouts: Mapping[str, Layout], classes: Classes | None, version: str
    ) -> None:
        groups = {}
        main = next(name for name in GROUPS if name in layouts)
        for name, array in self._arrays.items():
            layout, path = layouts[name], GROUPS[name]
            numbers = [str(number) for number in range(len(array.levels))]
            groups[path] = describe_image(layout, array.axes, numbers, name, version)
            if name in _LABELS:
                kinds = classes if name == "labels" else None
                groups[path] |= describe_labels(kinds, version)
            if name == main:  # at the root, where it may be a second way to its pixels
                paths = [level.path for level in array.levels]
                image = describe_image(layout, array.axes, paths, name, version)
                groups[""] = image
        levels = [(array.axes, array.levels) for array in self._arrays.values()]
        make_store(self.part, levels, describe_groups(groups, version), version)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UNetError(self._complaint(error)) from error

    def _complaint(self, error: OSError) -> str:
        if not self._arrays:
            return f"{self.part} could not be made ({error}). Choose another folder."
        needed = room_needed(self.ledger.written, self.share)
        return (
            f"{self.part} could not be written ({error.strerror or error}).{needed} "
            "What is finished is kept: make room, and run the same again to go on."
        )


def part_of(path: Path) -> Path:
    """Return where a store is while it is incomplete."""
    return path.with_name(f"{path.name}.part")


def _open_ledger(part: Path, purpose: dict[str, Any], overwrite: bool) -> Ledger:
    part.mkdir(parents=True, exist_ok=True)
    try:
        return Ledger(part, purpose)
    except OutputExistsError:
        if not overwrite:
            raise
    shutil.rmtree(part)
    part.mkdir()
    return Ledger(part, purpose)


def _replace(path: Path, part: Path) -> None:
    """Rename a store; what had its name is removed after that."""
    old = path.with_name(f".{path.name}.old")
    if old.exists():
        shutil.rmtree(old)
    if path.exists():
        path.replace(old)
    part.replace(path)
    if old.exists():
        shutil.rmtree(old)
