"""Which mask file belongs to which image file, told by their names alone."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.data.read.folder import natural_key
from napari_unet.data.read.lazy import is_zarr
from napari_unet.data.read.tiff import ENDINGS, stem
from napari_unet.errors import MaskError, StackFormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MASK = (
    "masks?|labels?|gt|ground_?truth|truth|seg|segmentation|annotations?"
    "|objects|prob|prediction"
)
_IMAGE = "images?|img|raw"
_SHOWN = 10  # file names in a message


@dataclass(frozen=True)
class FilePair:
    """An image file, its mask, and why they belong together."""

    image: Path
    mask: Path
    reason: str


def is_several(path: Path) -> bool:
    """Whether a path names several files: a folder, or a pattern such as ``*.png``."""
    if path.exists():
        return path.is_dir() and not is_zarr(path)
    return has_magic(str(path))


def list_files(path: Path) -> list[Path]:
    """List the image files in a folder, or that a pattern fits, in natural order.

    Raises
    ------
    StackFormatError
        If there are none.
    """
    found = path.iterdir() if path.is_dir() else map(Path, glob(str(path)))  # noqa: PTH207
    files = [
        each
        for each in found
        if each.suffix.lower() in ENDINGS and not each.name.startswith(".")
    ]
    if not files:
        raise StackFormatError(
            f"{path} holds no image file ({', '.join(ENDINGS)}). Check the folder or "
            "the pattern."
        )
    return sorted(files, key=lambda each: natural_key(each.name))


def pair_folders(images: Path, masks: Path) -> list[FilePair]:
    """Pair the files of two folders or patterns; of one folder, its files.

    In one folder the masks are told by their names, such as ``cell_mask.png`` beside
    ``cell.png``.

    Raises
    ------
    StackFormatError
        If there are no files.
    MaskError
        If a file is without a partner, or has several.
    """
    files = list_files(images)
    if images.resolve() != masks.resolve():
        return pair_files(files, list_files(masks))
    named = [each for each in files if _core(each, _MASK) != stem(each)]
    return pair_files([each for each in files if each not in named], named)


def pair_predictions(
    predictions: Path, truth: Path, kinds: Sequence[str] = ()
) -> list[FilePair]:
    """Pair predicted files with the masks they should equal.

    Parameters
    ----------
    predictions, truth : Path
        Folders or patterns.
    kinds : sequence of str
        Of ``<stem>.<kind>.tif`` the first kind that is there is taken; without any all
        files are.

    Returns
    -------
    list of FilePair
        The truth as `FilePair.image`, its prediction as `FilePair.mask`.

    Raises
    ------
    MaskError
        If a file is without a partner, or has several.
    """
    files = list_files(predictions)
    for kind in kinds:
        if found := [each for each in files if stem(each).endswith(f".{kind}")]:
            files = found
            break
    words = f"{_IMAGE}|{_MASK}"
    return _pair(list_files(truth), files, words, ("truths", "predictions"))


def pair_files(images: Sequence[Path], masks: Sequence[Path]) -> list[FilePair]:
    """Pair images and masks by their names.

    Names are the same, letter by letter, or become so without a word such as ``mask``,
    ``labels`` or ``gt`` on the one side and ``image`` or ``raw`` on the other, set off
    by ``_``, ``-``, ``.`` or a blank. Nothing is paired by its place in a list.

    Parameters
    ----------
    images, masks : sequence of Path

    Returns
    -------
    list of FilePair
        In the order of the images.

    Raises
    ------
    MaskError
        If a file is without a partner, or has several.
    """
    return _pair(images, masks, _IMAGE, ("images", "masks"))


def _pair(
    images: Sequence[Path],
    masks: Sequence[Path],
    words: str,
    kinds: tuple[str, str],
) -> list[FilePair]:
    of_image: dict[Path, list[FilePair]] = {each: [] for each in images}
    of_mask: dict[Path, list[FilePair]] = {each: [] for each in masks}
    by_name: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        for name in {stem(image), _core(image, words)}:
            by_name[name].append(image)
    for mask in masks:
        # The very same name counts more than one that is alike but for a word.
        found = by_name.get(stem(mask)) or by_name.get(_core(mask, _MASK), [])
        for image in found:
            pair = FilePair(image, mask, _reason(image, mask, words))
            of_image[image].append(pair)
            of_mask[mask].append(pair)
    _check_all_paired(of_image, of_mask, kinds)
    return [pair for pairs in of_image.values() for pair in pairs]


def describe_pairs(pairs: Sequence[FilePair]) -> str:
    """Say how many pairs there are, and why."""
    reasons: dict[str, int] = defaultdict(int)
    for pair in pairs:
        reasons[pair.reason] += 1
    why = ", ".join(f"{count} by {reason}" for reason, count in reasons.items())
    return f"{len(pairs)} image{'s' if len(pairs) > 1 else ''} with masks: {why}."


def names_of_image(path: Path) -> set[str]:
    """Return what a mask of this image may be called, one of `names_of_mask`."""
    return {stem(path), _core(path, _IMAGE)}


def names_of_mask(path: Path) -> set[str]:
    """Return what an image of this mask may be called, one of `names_of_image`."""
    return {stem(path), _core(path, _MASK)}


def _core(path: Path, words: str) -> str:
    """Return the name of a file without one of these words at either end of it."""
    name = stem(path)
    core = re.sub(rf"(?<=.)[_\-. ]+(?:{words})$", "", name, flags=re.IGNORECASE)
    if core == name:
        core = re.sub(rf"^(?:{words})[_\-. ]+(?=.)", "", name, flags=re.IGNORECASE)
    return core


def _reason(image: Path, mask: Path, words: str) -> str:
    if stem(image) == stem(mask):
        return "the same name"
    common = stem(mask) if stem(mask) == _core(image, words) else _core(mask, _MASK)
    parts = [stem(each).replace(common, "", 1) for each in (image, mask)]
    return "the name without " + " and ".join(part for part in parts if part)


def _check_all_paired(
    of_image: dict[Path, list[FilePair]],
    of_mask: dict[Path, list[FilePair]],
    kinds: tuple[str, str],
) -> None:
    several = [pairs for pairs in of_image.values() if len(pairs) > 1]
    several += [pairs for pairs in of_mask.values() if len(pairs) > 1]
    if several:
        lines = [
            " and ".join(f"{pair.image.name} with {pair.mask.name}" for pair in pairs)
            for pairs in several
        ]
        raise MaskError(
            f"It is not clear which files belong together: {_list(lines)}. Give "
            "each image one mask of its name, and move other files elsewhere."
        )
    alone = [
        f"{len(lonely)} {kind} without a partner ({_list(e.name for e in lonely)})"
        for kind, partners in zip(kinds, (of_image, of_mask), strict=True)
        if (lonely := [each for each, pairs in partners.items() if not pairs])
    ]
    if alone:
        raise MaskError(
            f"There are {' and '.join(alone)}. Files are paired by name: cell_1.png "
            "with cell_1.png, cell_1_mask.png or mask_cell_1.tif. Rename or move these."
        )


def _list(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
