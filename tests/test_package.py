"""The package as pip, napari and an import see it."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_unet
from napari_unet.config import NetworkConfig
from napari_unet.data import Classes
from napari_unet.model import Model
from napari_unet.networks import build_network

ROOT = Path(__file__).parents[1]
PACKAGE = Path(napari_unet.__file__).parent


def modules_loaded_by(statement: str) -> set[str]:
    """Return the modules a fresh interpreter loads for a statement."""
    code = (
        "import json, sys; before = set(sys.modules)\n"
        f"{statement}\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing_but_itself() -> None:
    loaded = modules_loaded_by("import napari_unet")
    foreign = {
        name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names
    }
    assert foreign == {"napari_unet"}


@pytest.mark.parametrize(
    "module", ["config", "data", "errors", "prediction.plan", "batch.run"]
)
def test_light_modules_load_no_torch(module: str) -> None:
    loaded = modules_loaded_by(f"import napari_unet.{module}")
    assert not loaded & {"torch", "napari", "qtpy", "magicgui"}


def test_predicting_a_file_loads_torch_and_little_else(tmp_path: Path) -> None:
    # Of one small image, most of the time goes into loading what is not needed.
    config = NetworkConfig(depth=1, width=2)
    model = Model(build_network(config).eval(), config, Classes((0, 255)))
    path = model.save(tmp_path / "model.safetensors")
    tifffile.imwrite(tmp_path / "image.tif", np.eye(16, dtype=np.uint8))
    words = ["predict", path, tmp_path / "image.tif", "--out", tmp_path, "--quiet"]
    loaded = modules_loaded_by(
        "import torch; before = set(sys.modules)\n"
        "from napari_unet.cli import main\n"
        f"assert main({[*map(str, words)]}) == 0"
    )
    assert (tmp_path / "image.labels.tif").exists()
    foreign = {name.split(".")[0] for name in loaded} - sys.stdlib_module_names
    expected = {"imagecodecs", "napari_unet", "rich", "safetensors", "tifffile"}
    assert {name for name in foreign if name[0] != "_"} - expected <= {"cython_runtime"}


@pytest.mark.parametrize("name", napari_unet.__all__)
def test_public_name_is_found(name: str) -> None:
    assert getattr(napari_unet, name) is not None
    assert name in dir(napari_unet)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Unet'"):
        _ = napari_unet.Unet


def test_version_is_that_of_the_distribution() -> None:
    version = importlib.metadata.version("napari-unet-lab")
    assert napari_unet.__version__ == version


def test_module_and_command_are_the_same() -> None:
    (command,) = importlib.metadata.entry_points(
        group="console_scripts", name="napari-unet"
    )
    assert command.value == "napari_unet.cli:main"
    assert find_spec("napari_unet.__main__") is not None


def test_package_is_marked_as_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_top_level_manifest_is_the_packaged_one() -> None:
    top = ROOT / "napari.yaml"
    assert top.read_bytes() == (PACKAGE / "napari.yaml").read_bytes()


def test_napari_finds_a_valid_manifest() -> None:
    pytest.importorskip("PyQt6.QtWidgets", exc_type=ImportError)
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-unet-lab")
    assert manifest.name == "napari-unet-lab"
    assert manifest.display_name == "U-Net"
    manifest.validate_imports()


def test_what_napari_loads_is_free_of_torch() -> None:
    pytest.importorskip("PyQt6.QtWidgets", exc_type=ImportError)
    loaded = modules_loaded_by(
        "from npe2 import PluginManifest\n"
        "PluginManifest.from_distribution('napari-unet-lab').validate_imports()"
    )
    assert "torch" not in loaded


def test_constraints_name_versions_and_no_places() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
