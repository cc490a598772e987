from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_unet.config import NetworkConfig
from napari_unet.data import Classes
from napari_unet.errors import ModelError
from napari_unet.model import FORMAT, MODEL_FILE, Model, find_model, read_info
from napari_unet.networks import build_network

if TYPE_CHECKING:
    from pathlib import Path


def a_model() -> Model:
    config = NetworkConfig(channels=2, classes=3, depth=2, width=3, dropout=0.1)
    torch.manual_seed(0)
    network = build_network(config)
    network.train()(torch.randn(2, 2, 8, 8))  # statistics that are not 0 and 1
    return Model(
        network.eval(),
        config,
        Classes((0, 7, 300), ("sea", "land", "été"), ignore=(9,), dtype="uint16"),
        pixel_size={"Z": 50.0, "Y": 4.0, "X": 4.25},
        unit="µm",
        name="islands",
        history={"options": {"steps": 3}, "score": None, "step": 3},
    )


def test_model_comes_back_as_it_was(tmp_path: Path) -> None:
    model = a_model()
    path = model.save(tmp_path / "deep" / "islands.safetensors")
    loaded = Model.load(path)
    mine, its = model.network.state_dict(), loaded.network.state_dict()
    assert mine.keys() == its.keys()
    assert all(torch.equal(mine[name], its[name]) for name in mine)
    assert all(mine[name].dtype == its[name].dtype for name in mine)
    assert loaded.info() == model.info()
    assert (loaded.config, loaded.classes) == (model.config, model.classes)
    assert (loaded.pixel_size, loaded.unit) == (model.pixel_size, "µm")
    assert (loaded.name, loaded.history) == ("islands", model.history)
    assert not loaded.network.training
    image = torch.randn(1, 2, 8, 8)
    with torch.no_grad():
        assert torch.equal(model.network(image), loaded.network(image))


def test_memory_layout_of_the_weights_does_not_matter(tmp_path: Path) -> None:
    model = a_model()
    before = {n: each.clone() for n, each in model.network.state_dict().items()}
    model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.save(tmp_path / "a.safetensors")
    loaded = Model.load(tmp_path / "a.safetensors").network.state_dict()
    assert all(torch.equal(loaded[name], before[name]) for name in before)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_run_folder_stands_for_its_model(tmp_path: Path) -> None:
    model = a_model()
    model.save(tmp_path / MODEL_FILE)
    assert find_model(tmp_path) == find_model(str(tmp_path / MODEL_FILE))
    assert Model.load(tmp_path).info() == model.info()
    assert read_info(tmp_path) == model.info()


def test_name_must_say_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"islands\.pt.*\.safetensors"):
        a_model().save(tmp_path / "islands.pt")
    assert list(tmp_path.iterdir()) == []


def test_missing_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        Model.load(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match=r"holds no model\.safetensors"):
        Model.load(tmp_path)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.exit, ("code was run",))


def test_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    torch.save({"weights": Bomb()}, tmp_path / "evil2.safetensors")
    for each in (path, tmp_path / "evil2.safetensors"):
        with pytest.raises(ModelError, match="is not a model file"):
            Model.load(each)


@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.1, 0.5, 0.99])
def test_truncated_file_is_told(tmp_path: Path, share: float) -> None:
    path = a_model().save(tmp_path / "a.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match=r"a\.safetensors"):
        Model.load(path)


def rewrite(path: Path, change: Any) -> None:
    """Change the header of a safetensors file."""
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    change(header)
    new = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(new)) + new + whole[8 + length :])


def change_model(**values: Any) -> Any:
    def change(header: dict[str, Any]) -> None:
        model = json.loads(header["__metadata__"]["model"])
        header["__metadata__"]["model"] = json.dumps({**model, **values})

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header.pop("__metadata__"), "format is None"),
        (lambda h: h["__metadata__"].update(format="x 2"), "format is 'x 2'"),
        (lambda h: h["__metadata__"].pop("model"), "damaged"),
        (lambda h: h["__metadata__"].update(model="{"), "damaged"),
        (lambda h: h["__metadata__"].update(model="[1]"), "damaged"),
        (change_model(network={"depth": 99}), "depth is 99"),
        (change_model(network={"colour": 1}), "colour"),
        (change_model(network=None), "damaged"),
        (change_model(network={"depth": 3, "width": 3}), "damaged"),
        (change_model(classes={}), "damaged"),
        (change_model(classes=None), "damaged"),
        (lambda header: header.update(new=header.pop("head.bias")), "damaged"),
    ],
)
def test_other_content_is_told(tmp_path: Path, change: Any, message: str) -> None:
    path = a_model().save(tmp_path / "a.safetensors")
    rewrite(path, change)
    with pytest.raises(ModelError, match=message) as caught:
        Model.load(path)
    assert "a.safetensors" in str(caught.value)


def test_weights_of_another_program_are_told(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="not written by this program"):
        read_info(tmp_path / "other.safetensors")
    assert FORMAT == "napari-unet-lab model 1"  # in every file out there


def test_classes_must_be_those_of_the_network(tmp_path: Path) -> None:
    path = a_model().save(tmp_path / "a.safetensors")
    rewrite(path, change_model(classes=Classes((0, 1)).to_dict()))
    with pytest.raises(ModelError, match="damaged"):
        Model.load(path)


def test_info_needs_no_torch(tmp_path: Path) -> None:
    path = a_model().save(tmp_path / "a.safetensors")
    code = (
        "import sys; from napari_unet.model import read_info\n"
        "print(read_info(sys.argv[1])['name'], 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["islands", "False"]


def test_loading_leaves_random_numbers_alone(tmp_path: Path) -> None:
    path = a_model().save(tmp_path / "a.safetensors")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    Model.load(path)
    assert torch.equal(torch.rand(2), expected)
