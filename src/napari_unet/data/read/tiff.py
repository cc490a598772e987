"""TIFF files as lazy stacks: plain, ImageJ, OME and what microscopes write.

tifffile returns some damaged files without an exception: planes it cannot find are
zeros, or missing at the end. What can be checked without decoding is checked here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_unet.data.axes import check_axes, normal_axes
from napari_unet.data.read.calibration import Calibration, read_calibration
from napari_unet.data.read.ifds import walk_ifds
from napari_unet.data.read.lazy import Chunked, as_format_error
from napari_unet.data.read.ome import OmeHeader, read_ome
from napari_unet.data.read.tiff_pages import choose_pixels, tifffile_errors
from napari_unet.data.stack import Stack
from napari_unet.errors import StackFormatError

if TYPE_CHECKING:
    from pathlib import Path

_DECODED_AT_OPEN = 2**26  # bytes of a first page that is decoded as a check
_LARGE_PAGE = 2**30
_HIGHEST_RATIO = 100_000  # beyond what any codec reaches on an empty image
ENDINGS = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".npy", ".stk", ".zarr")
"""Names that count as images; others in a folder are passed over."""

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_tiff(path: Path, axes: str | None = None, *, decode: bool = True) -> Stack:
    """Open a TIFF file; see `napari_unet.data.open_stack`.

    Uncompressed pixels are memory-mapped; others are decoded when asked for, tile by
    tile or strip by strip of a large page. Of a pyramid, level 0 is read.
    With `decode`, a first part that is not too large is decoded at once, as a check.

    Raises
    ------
    StackFormatError
        If the file is damaged, incomplete, or no TIFF.
    """
    import tifffile

    with as_format_error(path):
        _check_head(path)
        ifds_loop = walk_ifds(path)
        with tifffile_errors() as complaints, tifffile.TiffFile(path) as file:
            ome = read_ome(file.ome_metadata, path) if file.is_ome else OmeHeader()
            series = file.series[0]
            _check_complete(file, series, path)
            shape, letters = _dimensions(series, ome, path, axes)
            check_axes(letters, shape, str(path))
            pixels = choose_pixels(file, series, shape, path)
            facts = read_calibration(file, ome)
            remarks = (*ome.remarks, *_remarks(file, series, ifds_loop))
        if decode and isinstance(pixels, Chunked):
            pixels.check_first(_DECODED_AT_OPEN)
    if complaints and not ifds_loop:
        remarks += (f"The file is not quite in order: {complaints[0]}.",)
    return _stack(pixels, letters, facts, remarks, path)


def stem(path: Path) -> str:
    """Return the name of a file without ``.tif``, ``.ome.tif``, ``.zarr`` and so on."""
    name = path.name
    for ending in (*ENDINGS, ".ome"):
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
    return name


def name_in_store(path: Path) -> str:
    """Return the name of a file; of what lies in a zarr store, its way there as well.

    ``image.zarr/labels/cells`` is called ``image_labels_cells``.
    """
    for parent in path.parents if ".zarr" in str(path).lower() else ():
        if parent.suffix.lower() == ".zarr":
            return "_".join([stem(parent), *path.relative_to(parent).parts])
    return path.name


def _stack(
    pixels: Any, axes: str, facts: Calibration, remarks: tuple[str, ...], path: Path
) -> Stack:
    channels = pixels.shape[axes.index("C")] if "C" in axes else 0
    names = facts.channel_names if len(facts.channel_names) == channels else ()
    return Stack(
        pixels,
        axes,
        pixel_size={a: size for a, size in facts.pixel_size.items() if a in axes},
        unit=facts.unit,
        name=stem(path),
        source=path,
        channel_names=names,
        remarks=remarks,
    )


def _check_head(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise StackFormatError(f"{path} is empty (0 bytes). Copy or export it again.")
    if head.startswith(b"version https://git-lfs"):
        raise StackFormatError(
            f"{path} is not the image but a Git LFS pointer to it. Fetch the image "
            "with 'git lfs pull'."
        )
    if head.startswith(_MAGIC):
        return
    if b"<OME" in head:
        raise StackFormatError(
            f"{path} is the text that describes an OME-TIFF set, not its pixels. Open "
            "the .ome.tif files beside it, or a folder that holds only them."
        )
    raise StackFormatError(
        f"{path} is no TIFF: it starts with {head[:8]!r}. TIFF, PNG, NPY and "
        "OME-Zarr can be opened, and folders of TIFF or PNG files; convert it to "
        "TIFF, for example with Fiji."
    )


def _check_complete(file: Any, series: Any, path: Path) -> None:
    """Refuse what tifffile would fill with zeros or leave out."""
    shape = tuple(int(length) for length in series.shape)
    if series.dtype is None or 0 in shape or not shape:
        raise StackFormatError(
            f"{path} holds no pixels: its shape is {shape}. Export the image again."
        )
    planes = math.prod(
        length
        for axis, length in zip(series.axes, shape, strict=True)
        if axis not in "SYX"
    )
    declared = _imagej_planes(file)
    if planes < declared:
        raise StackFormatError(
            f"{path} is cut off: it declares {declared} planes but holds {planes}. "
            "Copy or export it again."
        )
    _check_pages(file, series, path)


def _imagej_planes(file: Any) -> int:
    if not file.is_imagej or not file.imagej_metadata:
        return 0
    about = file.imagej_metadata
    hyperstack = math.prod(
        int(about.get(k, 1)) for k in ("channels", "slices", "frames")
    )
    samples = int(file.pages[0].samplesperpixel)
    # An RGB image counts its three samples as channels in some versions.
    return max(
        int(about.get("images", 1)), hyperstack // (samples if samples > 1 else 1)
    )


def _check_pages(file: Any, series: Any, path: Path) -> None:
    sizes: dict[int, int] = {}
    pages = list(series.pages)
    if missing := sum(page is None for page in pages):
        raise StackFormatError(
            f"{path} is incomplete: {missing} of its {len(pages)} planes are missing. "
            "Put all files of the set into one folder, or export the image again."
        )
    for page in pages:
        size = sizes.setdefault(id(page.parent), int(page.parent.filehandle.size))
        ends = (
            offset + count
            for offset, count in zip(
                page.dataoffsets, page.databytecounts, strict=False
            )
        )
        if (end := max(ends, default=0)) > size:
            raise StackFormatError(
                f"{path} is cut off: pixels reach to byte {end} but the file ends at "
                f"byte {size}. Copy or export it again."
            )
    _check_size(series, max(sizes.values()), path)


def _check_size(series: Any, file_size: int, path: Path) -> None:
    page = series.keyframe
    size = int(page.nbytes)
    written = sum(count > 0 for count in page.databytecounts)
    stored = min(size, written * math.prod(page.chunks) * page.dtype.itemsize)
    limit = file_size if page.compression == 1 else _HIGHEST_RATIO * file_size
    if size > _LARGE_PAGE and stored > limit:
        raise StackFormatError(
            f"{path} declares a plane of {page.shape} pixels, {size / 2**30:.1f} GB, "
            f"but has only {file_size} bytes. The file is damaged: export or copy it "
            "again."
        )


def _dimensions(
    series: Any, ome: OmeHeader, path: Path, axes: str | None
) -> tuple[tuple[int, ...], str]:
    """Shape and axes, those of length 1 as we noted them when we wrote the file."""
    shape = tuple(int(length) for length in series.shape)
    if ome.axes and len(axes or ome.axes) == len(ome.axes):
        expanded = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
        lengths = {axis: int(length) for axis, length in zip(*expanded, strict=True)}
        noted = tuple(lengths.get(axis, 0) for axis in ome.axes)
        if math.prod(noted) == math.prod(shape):
            return noted, normal_axes(axes or ome.axes)
    return shape, normal_axes(axes) if axes else _letters(series.axes, shape, path)


def _letters(axes: str, shape: tuple[int, ...], path: Path) -> str:
    """Map tifffile's axes to ours: an unnamed sequence of pages is Z."""
    unknown = [axis for axis in axes if axis not in "TZCYXS"]
    if len(unknown) > 1 or (unknown and "Z" in axes):
        raise StackFormatError(
            f"{path} has the shape {shape} and does not say what its axes are. Say it, "
            'for example axes="TZYX" or axes="ZCYX".'
        )
    return normal_axes(axes.replace(unknown[0], "Z") if unknown else axes)


def _remarks(file: Any, series: Any, ifds_loop: bool) -> tuple[str, ...]:
    remarks = []
    if (count := len(file.series)) > 1:
        size = " × ".join(str(length) for length in series.shape)
        remarks.append(
            f"The file holds {count} images; only the first ({size}) is read."
        )
    if ifds_loop:
        remarks.append("The list of pages runs in a circle; each page is read once.")
    orientation = getattr(file.pages[0].tags.get("Orientation"), "value", 1)
    if orientation != 1:
        remarks.append(
            "The file asks to be shown turned or mirrored (orientation "
            f"{orientation}); it is read as stored."
        )
    if int(file.pages[0].photometric) == 0:
        remarks.append("In this file 0 means white; the values are read as stored.")
    return tuple(remarks)
