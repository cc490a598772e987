"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from napari_unet.errors import UNetError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; move it to `path` when all went well.

    The content is flushed to the disk before the move, so after a crash or a loss of
    power `path` holds either the old content or the new, never a part. When the body
    raises, `path` stays as it was and the temporary file is removed.

    Raises
    ------
    UNetError
        If the disk is full or the folder cannot be written to.
    """
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part"
        )
        os.close(number)
        part = Path(name)
        yield part
        _flush(part)
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except (OSError, SafetensorError) as error:  # which it calls a full disk
        raise UNetError(
            f"{path} could not be written ({error}). Nothing of it was left behind; "
            "make room, or choose another folder."
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def list_parts(folder: Path) -> list[tuple[Path, Path]]:
    """List what processes that were killed have left in a folder, or still write.

    Returns
    -------
    list of (Path, Path)
        The temporary file, and what it was to be called.
    """
    parts = folder.glob(".?*.?*.part") if folder.is_dir() else ()
    return [(part, part.with_name(part.stem[1:].rpartition(".")[0])) for part in parts]


def write_text(path: Path, text: str) -> None:
    """Write a small text file, whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    """Return the permissions that new files do not get (mkstemp gives far fewer)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
