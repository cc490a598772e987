"""The stacks of the ISBI 2012 EM segmentation challenge, as a checked download.

Serial-section electron microscopy of the larval fly nerve cord: Cardona et al. (2010),
doi:10.1371/journal.pbio.1000502; Arganda-Carreras et al. (2015),
doi:10.3389/fnana.2015.00142. Free for non-commercial research.
"""

from __future__ import annotations

import hashlib
import secrets
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.open import open_stack
from napari_unet.errors import StackFormatError, UNetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_unet.data.stack import Stack

URL = "https://downloads.imagej.net/ISBI-2012-challenge.zip"
CHECKSUMS = {
    "train-volume": "200da3d452d726e6c9ca1ce04b869d4edb727320d23b516d01cce707dc8c4760",
    "train-labels": "a7cb64000a1a7e542682927e19c91339f58f9f178e0bcce4e207371116f0ca36",
    "test-volume": "1b58fa7ec1d0ff9d39a855622db3ff66a97863036339b0d04be51b2f5a99b0e9",
}
"""SHA-256 of the C-ordered pixels of each stack."""

_UNCHECKED = "test-labels"  # published later, and not everywhere
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, StackFormatError)
_LARGEST = 2**27  # bytes of a file; each should have 8 MB


def fetch_isbi2012(
    folder: str | Path | None = None,
    *,
    url: str = URL,
    checksums: Mapping[str, str] = CHECKSUMS,
) -> dict[str, Stack]:
    """Open the ISBI 2012 stacks, downloading them the first time.

    Parameters
    ----------
    folder : str or Path, optional
        Where the TIFF files are kept; the user's cache folder by default.
    url : str
        The ZIP archive.
    checksums : mapping of str to str
        SHA-256 of the pixels, by file name without ending.

    Returns
    -------
    dict of str to Stack
        ``train-volume``, ``train-labels``, ``test-volume`` and, where the archive holds
        it, ``test-labels``: (30, 512, 512) uint8, 50 × 4 × 4 nm.

    Raises
    ------
    UNetError
        If there is no network, or what comes is not what it should be.
    """
    if folder is None:
        import pooch

        folder = Path(pooch.os_cache("napari-unet-lab")) / "isbi2012"
    folder = Path(folder)
    wrong = [
        name for name, digest in checksums.items() if not _right(folder, name, digest)
    ]
    if wrong:
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder / f".{secrets.token_hex(4)}.zip.part"
        try:
            _download(url, archive, folder)
            _extract(archive, folder, checksums, url)
        finally:
            archive.unlink(missing_ok=True)
    names = [*checksums, _UNCHECKED]
    return {
        name: _open(_path(folder, name))
        for name in names
        if _path(folder, name).exists()
    }


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.tif"


def _open(path: Path) -> Stack:
    stack = open_stack(path)
    axes = (
        "ZYX" if len(stack.axes) == 3 else stack.axes
    )  # some copies say time for depth
    size = {"Z": 50.0, "Y": 4.0, "X": 4.0}
    known = {axis: length for axis, length in size.items() if axis in axes}
    return replace(stack, axes=axes, pixel_size=known, unit="nm")


def _right(folder: Path, name: str, digest: str) -> bool:
    try:
        return _digest(_path(folder, name)) == digest
    except StackFormatError:  # missing or damaged: to be fetched again
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(np.ascontiguousarray(open_stack(path)).tobytes()).hexdigest()


def _download(url: str, archive: Path, folder: Path) -> None:
    import pooch
    import requests

    try:
        pooch.HTTPDownloader(progressbar=False, timeout=30)(url, archive, None)
    except (requests.RequestException, OSError) as error:
        raise UNetError(
            f"The ISBI 2012 stacks could not be downloaded from {url} "
            f"({type(error).__name__}). Check the network, or get the archive by other "
            f"means and put its .tif files into {folder}."
        ) from error


def _extract(
    archive: Path, folder: Path, checksums: Mapping[str, str], url: str
) -> None:
    """Take the wanted files out of the archive; all are right, or none is kept."""
    parts: dict[str, Path] = {}
    try:
        with zipfile.ZipFile(archive) as opened:
            for name, member in _members(opened, {*checksums, _UNCHECKED}).items():
                # Only the content is used: a member's path may lead anywhere.
                parts[name] = folder / f".{name}.{secrets.token_hex(4)}.part.tif"
                parts[name].write_bytes(opened.read(member))
        for name, digest in checksums.items():
            if name not in parts:
                raise StackFormatError(f"it holds no {name}.tif")
            if _digest(parts[name]) != digest:
                raise StackFormatError(
                    f"the pixels of {name}.tif have the wrong checksum"
                )
        for name, part in parts.items():
            open_stack(part)
            part.replace(_path(folder, name))
    except _DAMAGE as error:
        raise UNetError(
            f"The archive from {url} is damaged: {error}. Try again later, or put the "
            f".tif files of ISBI 2012 into {folder} by hand."
        ) from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _members(archive: zipfile.ZipFile, wanted: set[str]) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        path = PurePosixPath(member.filename)
        is_stack = path.suffix.lower() in (".tif", ".tiff") and path.stem in wanted
        if is_stack and member.file_size <= _LARGEST:
            members.setdefault(path.stem, member)
    return members
