"""A zarr store whose files are safe before they get their names."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from zarr.storage import LocalStore

from napari_unet.files import replacing

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer


class FlushedStore(LocalStore):  # type: ignore[misc]  # zarr is left out by mypy
    """A folder that holds, after a loss of power, old files or new ones, whole.

    zarr renames its files as well, but does not flush them before.
    """

    async def set(self, key: str, value: Buffer) -> None:
        """Write a file."""
        await asyncio.to_thread(self.set_sync, key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write a file.

        Raises
        ------
        UNetError
            If the disk is full or the folder cannot be written to.
        """
        with replacing(self.root / key) as part:
            part.write_bytes(value.to_bytes())
