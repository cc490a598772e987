from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from napari_unet.files import replacing, write_text

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_content_appears_when_all_went_well(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.bin"
    with replacing(path) as part:
        assert part.parent == path.parent
        part.write_bytes(b"12")
        assert not path.exists()
    assert path.read_bytes() == b"12"
    assert names(path.parent) == ["file.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_failure_keeps_the_former_content(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "former")
    with pytest.raises(error), replacing(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "former"
    assert names(tmp_path) == ["file.txt"]


def test_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "5 µm")
    assert (tmp_path / "a").read_bytes() == "5 µm".encode()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions differ")
def test_others_may_read_it_as_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "replaced", "")
    modes = [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in names(tmp_path)]
    assert modes[0] == modes[1]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_kill_while_writing_keeps_the_former_content(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"former")
    code = (
        "import sys, time; from pathlib import Path\n"
        "from napari_unet.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as part:\n"
        "    part.write_bytes(b'half'); print('half', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert path.read_bytes() == b"former"
    write_text(path, "next")
    assert path.read_text() == "next"
