from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_unet

MANIFEST = Path(napari_unet.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(MANIFEST)


def test_everything_it_names_exists(manifest: PluginManifest) -> None:
    manifest.validate_imports()


def test_the_installed_distribution_announces_it() -> None:
    points = distribution("napari-unet-lab").entry_points
    (point,) = [each for each in points if each.group == "napari.manifest"]
    assert point.name == "napari-unet-lab"
    assert point.value == "napari_unet:napari.yaml"


def test_titles_read_as_actions(manifest: PluginManifest) -> None:
    verbs = {"Open", "Save", "Make", "Download", "Train", "Predict", "Correct"}
    verbs |= {"Evaluate", "Find"}
    assert {each.title.split()[0] for each in manifest.contributions.commands} <= verbs


def test_no_reader_claims_every_tiff(manifest: PluginManifest) -> None:
    (reader,) = manifest.contributions.readers
    tiffs = [each for each in reader.filename_patterns if ".tif" in each]
    assert all("volume" in each or "labels" in each for each in tiffs)


def test_widgets_are_in_the_menus(manifest: PluginManifest) -> None:
    menus = manifest.contributions.menus
    widgets = manifest.contributions.widgets
    commands = [each.command for each in widgets]
    listed = [
        each.command
        for name in ("napari/layers/segment", "napari/layers/measure")
        for each in menus[name]
    ]
    assert {*listed} == {*commands}
    names = [each.display_name for each in widgets]
    assert names == ["Train", "Predict", "Correct", "Objects", "Evaluate", "Batch"]


def test_plugin_modules_import_no_torch() -> None:
    import subprocess
    import sys

    program = (
        "import sys; import napari_unet.plugin.train.widget; "
        "import napari_unet.plugin.predict.widget, napari_unet.plugin.samples; "
        "import napari_unet.plugin.show; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
