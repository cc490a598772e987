"""From files, folders, patterns and tables to the images of a batch."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cache
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.data.matching import names_of_image, names_of_mask
from napari_unet.data.read.folder import natural_key
from napari_unet.data.read.lazy import is_zarr
from napari_unet.data.read.tiff import ENDINGS, name_in_store, stem
from napari_unet.errors import ConfigError, StackFormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

COLUMNS = ("path", "truth", "region")
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a batch.

    Attributes
    ----------
    name : str
        Its path below the folder that was given, with ``/``; its results lie likewise
        in the output folder.
    image : Path
    truth : Path or None
        The mask that its prediction is scored by.
    region : str or None
        The part of it that is predicted; all by default.
    """

    name: str
    image: Path
    truth: Path | None = None
    region: str | None = None

    @property
    def folder(self) -> PurePosixPath:
        """The folder of its results, relative to the output folder."""
        return PurePosixPath(self.name).parent


def list_items(
    inputs: Sequence[str | Path], out: Path, truth: Path | None = None
) -> list[Item]:
    """List the images that files, folders, patterns and CSV tables name.

    Folders are searched through, but for `out`; hidden files are left out. A CSV table
    has a column ``path`` and may have ``truth`` and ``region``; its paths are relative
    to its own folder. An image that is named twice is predicted once.

    Parameters
    ----------
    inputs : sequence of str or Path
    out : Path
        The output folder.
    truth : Path, optional
        A folder of masks, which lie in it as the images do in theirs.

    Raises
    ------
    StackFormatError
        If an input does not exist, or holds no image.
    ConfigError
        If two images, or two regions of one, would be written to the same files, a
        table cannot be read, or `truth` holds no mask of any image.
    """
    for each in inputs:
        if Path(each).resolve() == out.resolve():
            raise ConfigError(
                f"The results would lie among the images in {out}: choose another "
                "output folder, which may be one in it."
            )
    resolved = cache(Path.resolve)  # once for each folder, which may hold thousands
    unique: dict[Path, Item] = {}
    for each in inputs:
        for item in _expand(Path(each), out):
            at = resolved(item.image.parent) / item.image.name
            unique[at] = _merged(unique.get(at, item), item)
    items = sorted(unique.values(), key=lambda item: natural_key(item.name))
    _refuse_same_output(items)
    return _with_truths(items, truth) if truth else items


def _expand(path: Path, out: Path) -> Iterator[Item]:
    if path.suffix.lower() == ".csv":
        yield from _read_table(path)
    elif path.is_dir() and not is_zarr(path):
        yield from _of(_walk(path, out.resolve()), path, path)
    elif path.exists():
        yield Item(path.name, path)
    elif has_magic(str(path)):
        fitting = sorted(map(Path, glob(str(path), recursive=True)))  # noqa: PTH207
        inside = out.resolve()  # results of an earlier run are no input
        files = [
            each
            for each in fitting
            if _is_image(each) and not each.resolve().is_relative_to(inside)
        ]
        yield from _of(files, _fixed_part(path), path)
    else:
        raise StackFormatError(
            f"{path} does not exist. Check the spelling, and whether the drive is "
            "there."
        )


def _of(files: Iterable[Path], base: Path, asked: Path) -> Iterator[Item]:
    """Name files by their place below a folder."""
    empty = True
    for file in files:
        empty = False
        yield Item(file.relative_to(base).as_posix(), file)
    if empty:
        raise StackFormatError(
            f"{asked} holds no image ({', '.join(ENDINGS)} or OME-Zarr). Check the "
            "folder or the pattern."
        )


def _walk(folder: Path, *without: Path) -> Iterator[Path]:
    """Find the images below a folder, but for those in some folders."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError as error:
        raise StackFormatError(
            f"{folder} cannot be listed ({error.strerror or error}). Check whether you "
            "may read it, and whether the drive is there."
        ) from error
    here = folder.resolve()
    for name, is_folder in found:
        path = folder / name
        if name.startswith(".") or not (is_folder or path.suffix.lower() in ENDINGS):
            continue
        if not is_folder or is_zarr(path):
            yield path
        elif path.resolve() not in (*without, here):  # links may lead back
            yield from _walk(path, *without, here)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS or (path.is_dir() and is_zarr(path))


def _fixed_part(pattern: Path) -> Path:
    """Return the folder of a pattern, before the first part that varies."""
    parts = pattern.parts
    fixed = next(n for n, part in enumerate(parts) if has_magic(part))
    return Path(*parts[: min(fixed, len(parts) - 1)])


def _merged(first: Item, again: Item) -> Item:
    """Return an image that is named twice with what a table says of it.

    Raises
    ------
    ConfigError
        If it is told two regions or truths.
    """
    merged = replace(
        first, truth=first.truth or again.truth, region=first.region or again.region
    )
    for what in ("region", "truth"):
        told, kept = getattr(again, what), getattr(merged, what)
        if told not in (None, kept):
            raise ConfigError(
                f"{again.image} is named twice, with the {what} {kept} and {told}, but "
                "has one result: leave one out, or run it into another folder."
            )
    return merged


def _read_table(path: Path) -> Iterator[Item]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            between = next((each for each in ",;\t" if each in head), ",")
            table = csv.DictReader(file, delimiter=between)
            columns, rows = list(table.fieldnames or []), list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} could not be read as a table: {error}.") from error
    if "path" not in columns or not set(columns) <= set(COLUMNS):
        raise ConfigError(
            f"{path} has the columns {', '.join(columns) or 'none'}, but it must have "
            "path, and may have truth and region, in its first line."
        )
    if not rows:
        raise ConfigError(f"{path} names no image: give a line for each.")
    for number, row in enumerate(rows, 2):
        if None in row or not row["path"]:
            raise ConfigError(
                f"Line {number} of {path} has no path, or more than the columns "
                f"{', '.join(columns)}: put a region between quotes."
            )
        image = path.parent / row["path"]  # one that is missing fails by itself
        inside = image.resolve().is_relative_to(path.parent.resolve())
        relative = image.resolve().relative_to(path.parent.resolve()) if inside else ""
        name = Path(relative or image.name).as_posix()
        truth = path.parent / row["truth"] if row.get("truth") else None
        yield Item(name, image, truth, row.get("region") or None)


def _with_truths(items: Sequence[Item], truths: Path) -> list[Item]:
    """Give images the masks of their names, in the same places below `truths`.

    Raises
    ------
    ConfigError
        If there is none at all, or more than one for an image.
    """
    if not truths.is_dir():
        raise ConfigError(
            f"There is no folder {truths} of masks to score by. Check the spelling, "
            "and whether the drive is there."
        )
    masks = cache(_list_masks)
    found = []
    for item in items:
        named = masks(truths / item.folder)
        fitting = {
            mask for name in names_of_image(item.image) for mask in named.get(name, ())
        }
        if len(fitting) > 1:
            raise ConfigError(
                f"{item.name} could be scored by "
                f"{' and by '.join(map(str, sorted(fitting)))}: keep one mask for each "
                "image, or name them in a CSV table."
            )
        own = item.truth or next(iter(fitting), None)
        found.append(replace(item, truth=own))
    if not any(item.truth for item in found):
        raise ConfigError(
            f"{truths} holds no mask of any of the {len(found)} images. Masks lie in "
            "it as the images do in theirs, and have their names: "
            f"{truths / items[0].folder / output_stem(items[0])}_mask.tif."
        )
    return found


def _list_masks(folder: Path) -> dict[str, list[Path]]:
    """List the masks in a folder by what their images may be called."""
    found = defaultdict(list)
    for path in folder.iterdir() if folder.is_dir() else ():
        if _is_image(path):
            for name in names_of_mask(path):
                found[name].append(path)
    return found


def _refuse_same_output(items: Iterable[Item]) -> None:
    """Raise `ConfigError` if two images would be written to the same files."""
    seen: dict[str, Item] = {}
    twice = []
    for item in items:
        # File systems that do not tell capitals apart would mix these, too.
        key = str(item.folder / output_stem(item)).casefold()
        if key in seen:
            twice.append(f"{seen[key].image} and {item.image}")
        seen[key] = item
    if twice:
        more = f" and {len(twice) - _SHOWN} more" if len(twice) > _SHOWN else ""
        raise ConfigError(
            f"Two images would be written to the same files: "
            f"{'; '.join(twice[:_SHOWN])}{more}. Rename one, or run them into "
            "different folders."
        )


def output_stem(item: Item) -> str:
    """Return what the names of an image's results begin with."""
    return stem(Path(name_in_store(item.image)))
