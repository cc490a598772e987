from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.write.npy import create_npy
from napari_unet.errors import UNetError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_full_disk_is_told_before_it_kills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(UNetError, match=r"needs 0\.10 GB.*No space left.*Make room"):
        create_npy(str(tmp_path / "a.npy"), "float32", (25, 1000, 1000))


@pytest.mark.parametrize("how", ["reserved", "not supported", "not there"])
def test_room_for_results_is_had_before_they_are_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def unsupported(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if how == "not there":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    elif how == "not supported":
        monkeypatch.setattr(os, "posix_fallocate", unsupported, raising=False)
    path = tmp_path / "a.npy"
    pixels = create_npy(str(path), "uint16", (300, 500))
    if how == "reserved" and hasattr(os, "posix_fallocate"):
        assert path.stat().st_blocks * 512 >= pixels.nbytes
    pixels[:] = 7
    del pixels
    assert (np.load(path) == 7).all()
    if how != "reserved":
        room = shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
        with pytest.raises(UNetError, match="Make room"):
            create_npy(str(path), "uint16", (300, 500))
