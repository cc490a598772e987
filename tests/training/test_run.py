from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import torch

from napari_unet.errors import OutputExistsError, TrainingError, UNetError
from napari_unet.events import CheckpointSaved, StepDone
from napari_unet.training.run import Progress, RunFolder, versions

if TYPE_CHECKING:
    from pathlib import Path


def step(number: int) -> StepDone:
    return StepDone(number, 0.5, 1e-3, 0.1, 1.0, 2.0)


def test_new_run_keeps_its_config(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "deep" / "run")
    run.create({"options": {"steps": 3}})
    assert run.config() == {"options": {"steps": 3}}
    assert run.log() == []
    assert run.load_last() is None


def test_former_run_is_not_replaced_unless_told_to(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.create({"number": 1})
    run.append(step(1))
    run.save_last(Progress(step=1), {"a": torch.ones(2)})
    run.model.write_text("model")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="holds a run already"):
        run.create({"number": 2})
    assert run.config() == {"number": 1}
    run.create({"number": 2}, overwrite=True)
    assert run.config() == {"number": 2}
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["config.json", "log.jsonl", "notes.txt"]
    assert run.log() == []


@pytest.mark.parametrize("name", ["file", "file/run"])
def test_a_file_in_the_way_of_the_folder_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    run = RunFolder(tmp_path / name)
    with pytest.raises(UNetError, match=rf"{name} cannot be the folder of a run"):
        run.create({})
    with pytest.raises(TrainingError, match="holds no run"):
        run.config()


def test_model_that_lies_in_the_folder_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("saved there by hand")
    with pytest.raises(OutputExistsError, match="another folder"):
        RunFolder(tmp_path).create({})
    assert (tmp_path / "model.safetensors").exists()


def test_state_comes_back_as_it_was(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.create({})
    progress = Progress(7, 12.5, 3, 6, 4, 0.75, 0.7, 2)
    tensors = {
        "network.weight": torch.randn(3, 2),
        "average.n_averaged": torch.tensor(7),
        "optimizer.0.step": torch.tensor(7.0),
    }
    run.save_last(progress, tensors)
    loaded = run.load_last()
    assert loaded is not None
    assert loaded[0] == progress
    assert loaded[1].keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded[1][name], tensor)
        assert loaded[1][name].dtype == tensor.dtype
    assert json.loads((tmp_path / "last.json").read_text())["step"] == 7


def test_failed_write_keeps_the_former_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path)
    run.create({})
    run.save_last(Progress(step=1), {"a": torch.ones(2)})

    def full(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(UNetError, match=r"last\.safetensors .*No space"):
        run.save_last(Progress(step=2), {"a": torch.zeros(2)})
    loaded = run.load_last()
    assert loaded is not None
    assert loaded[0].step == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "config.json",
        "last.json",
        "last.safetensors",
        "log.jsonl",
    ]


def test_broken_last_line_of_the_log_is_left_out(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.create({})
    for number in (1, 2, 3):
        run.append(step(number))
    run.append(CheckpointSaved(3, "last"))
    run.append(step(4))
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"event": "StepDone", "st')
    assert [event["step"] for event in run.log()] == [1, 2, 3, 3, 4]
    run.rewind_log(3)
    run.append(step(4))
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 3, 4]


def test_a_folder_that_was_removed_is_not_begun_anew(tmp_path: Path) -> None:
    """The training shall end, and leave no half of a run there."""
    run = RunFolder(tmp_path / "run")
    run.create({})
    shutil.rmtree(run.path)
    for write in (
        lambda: run.append(step(1)),
        run.check_there,
        lambda: run.save_last(Progress(), {}),
    ):
        with pytest.raises(TrainingError, match="could not be written"):
            write()
    assert not run.path.exists()


@pytest.mark.parametrize("content", ["", "{", "nonsense"])
def test_damaged_config_is_told(tmp_path: Path, content: str) -> None:
    run = RunFolder(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(TrainingError, match="damaged"):
        run.config()


def test_missing_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no run"):
        RunFolder(tmp_path / "none").config()


@pytest.mark.parametrize("length", [0, 5, 100])
def test_damaged_state_is_told(tmp_path: Path, length: int) -> None:
    run = RunFolder(tmp_path)
    run.create({})
    run.save_last(Progress(step=1), {"a": torch.ones(20)})
    run.last.write_bytes(run.last.read_bytes()[:length])
    with pytest.raises(TrainingError, match="damaged"):
        run.load_last()


def test_versions_name_what_a_result_depends_on() -> None:
    found = versions()
    assert found["torch"] == torch.__version__
    assert {"python", "numpy", "napari-unet-lab"} <= set(found)
    json.dumps(found)
