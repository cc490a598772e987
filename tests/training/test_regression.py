from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_unet import Model, evaluate_regression, predict, train
from napari_unet.cli import main
from napari_unet.config import TrainingConfig
from napari_unet.data import Stack, open_stack
from napari_unet.data.masks.find import IGNORE
from napari_unet.errors import ConfigError, MaskError, TrainingError
from napari_unet.events import PredictionFinished, TrainingStarted, Validated
from napari_unet.training import train_events
from napari_unet.training.dataset import Dataset
from napari_unet.training.losses import mae, mse
from on_disk import save_stack

if TYPE_CHECKING:
    from pathlib import Path

TINY: dict[str, Any] = {
    "task": "regression",
    "depth": 1,
    "width": 8,
    "patch_size": 32,
    "batch_size": 4,
    "learning_rate": 1e-2,
    "averaging": 0.9,
    "intensity": 0,
    "precision": "fp32",
    "device": "cpu",
}


def smoothed(sections: int = 5, size: int = 64) -> tuple[Stack, Stack]:
    """Noise, and as its target the noise smoothed, in another unit."""
    noise = np.random.default_rng(0).normal(size=(sections, size, size))
    image = ndimage.gaussian_filter(noise, (0, 1, 1))
    target = 5000 + 300 * ndimage.gaussian_filter(noise, (0, 2, 2))
    facts: dict[str, Any] = {"pixel_size": {"Y": 2.0, "X": 2.0}, "unit": "nm"}
    return (
        Stack(image.astype(np.float32), "ZYX", name="noise", **facts),
        Stack(target.astype(np.float32), "ZYX", **facts),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    run = tmp_path_factory.mktemp("regression") / "run"
    config = TrainingConfig(steps=120, **TINY)
    return run, list(train_events([smoothed()], config, run=run))


def test_a_smooth_function_of_the_image_is_learnt(trained: Any) -> None:
    run, events = trained
    image, target = smoothed()
    model = Model.load(run)
    assert model.classes is None
    assert model.config.classes == 1
    values = predict(model, image, precision="fp32")
    assert values.dtype == np.float32
    assert values.shape == target.shape
    scores = evaluate_regression(values, target).regression
    assert scores.r2 is not None
    assert scores.r2 > 0.8
    assert 4900 < values.mean() < 5100  # in the target's own unit
    started = next(e for e in events if isinstance(e, TrainingStarted))
    assert started.classes == []
    assert started.mapping[0].startswith("mean 50")


def test_validation_says_r2_mae_and_rmse_of_what_is_held_out(trained: Any) -> None:
    run, events = trained
    validated = [e for e in events if isinstance(e, Validated)]
    assert len(validated) == 20
    best = [e for e in validated if e.best][-1]
    image, target = smoothed()
    held_out = slice(0, 1)
    values = predict(Model.load(run), image.select(held_out), precision="fp32")
    kept = evaluate_regression(values, np.asarray(target)[held_out]).regression
    # The image of one section alone is normalised by itself: nearly the same.
    assert best.r2 == pytest.approx(kept.r2, abs=0.05)
    assert best.score == best.r2
    assert best.rmse is not None
    assert best.mae is not None
    assert 0 < best.mae < best.rmse
    deviation = Model.load(run).target.to_dict()["deviation"]
    assert best.loss == pytest.approx((best.rmse / deviation) ** 2)
    assert best.iou == {}


def test_tiles_give_the_values_of_the_whole(trained: Any) -> None:
    image, _ = smoothed()
    model = Model.load(trained[0])
    whole = predict(model, image, precision="fp32", tile=64)
    tiled = predict(model, image, precision="fp32", tile=32)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-3 * whole.std())


def test_a_model_is_the_same_after_loading(trained: Any, tmp_path: Path) -> None:
    model = Model.load(trained[0])
    again = Model.load(model.save(tmp_path / "copy.safetensors"))
    assert again.scale == model.scale
    assert again.info() == model.info()
    assert again.info()["classes"] is None
    image, _ = smoothed(1)
    np.testing.assert_array_equal(predict(again, image), predict(model, image))


def test_what_is_not_annotated_is_neither_trained_nor_scored() -> None:
    image, target = smoothed()
    pixels = np.array(target.pixels)
    pixels[:, :, 32:] = np.nan
    pixels[:, :8] = -1
    pixels[2] = np.inf
    options = {**TINY, "ignore": -1}
    data = Dataset([(image, Stack(pixels, "ZYX"))], TrainingConfig(**options))
    known = np.delete(np.array(target.pixels), 2, axis=0)[:, 8:, :32]
    assert data.target.to_dict() == {
        "mean": pytest.approx(known.mean(dtype=float)),
        "deviation": pytest.approx(known.std(dtype=float), rel=1e-5),
        "ignore": [-1],
    }
    assert len(data.held_out[0].labels) + len(data.splits[0].training) == 4
    batch = data.batch(1)
    assert batch.labels.dtype == torch.float32
    assert (batch.labels == IGNORE).any()
    assert batch.labels[batch.labels != IGNORE].abs().max() < 6
    events = list(
        train_events(
            [(image, Stack(pixels, "ZYX"))], TrainingConfig(steps=2, **options)
        )
    )
    validated = [e for e in events if isinstance(e, Validated)]
    assert all(np.isfinite(e.score) and np.isfinite(e.loss) for e in validated)


def test_integers_are_targets_too() -> None:
    image, target = smoothed(2)
    counts = Stack(np.asarray(target).astype(np.uint16), "ZYX")
    model = train(image, counts, steps=2, **TINY)
    assert predict(model, image).dtype == np.float32


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_targets_without_variation_are_refused(value: float) -> None:
    image, target = smoothed(1)
    flat = Stack(np.full(target.shape, value, np.float32), "ZYX", name="flat")
    with pytest.raises(MaskError, match=r"flat holds (the one value 7|no value)"):
        train(image, flat, steps=1, **TINY)


@pytest.mark.parametrize(("task", "loss"), [("classes", "mse"), ("regression", "dice")])
def test_losses_belong_to_a_task(task: str, loss: str) -> None:
    with pytest.raises(ConfigError, match="do not go together"):
        TrainingConfig(task=task, loss=loss)


def test_classes_cannot_be_weighed_where_there_are_none() -> None:
    for weights in ({"class_balance": True}, {"border_weight": 5.0}):
        with pytest.raises(ConfigError, match="no classes to weigh"):
            TrainingConfig(task="regression", **weights)  # type: ignore[arg-type]


def test_target_that_is_only_held_out_is_told() -> None:
    image, target = smoothed(1, 96)
    values = np.array(target)
    values[:, :90] = np.nan
    config = TrainingConfig(**{**TINY, "validation": 0.2})
    with pytest.raises(TrainingError, match="held out"):
        Dataset([(image, Stack(values, "ZYX"))], config)


def test_colours_are_no_values() -> None:
    image, _ = smoothed(1, 64)
    colours = np.zeros((1, 64, 64, 3), np.uint8)
    with pytest.raises(MaskError, match="3 values per pixel"):
        Dataset([(image, Stack(colours, "ZYXC"))], TrainingConfig(**TINY))


def test_distances_are_those_in_the_patch() -> None:
    ids = np.zeros((128, 128), np.uint16)
    ids[:, 64:] = 1  # as deep as it is wide, to the edge of the image
    image = Stack(ids.astype(np.float32), "YX")
    options = {**TINY, "patch_size": 64, "augment": "none", "multiscale": True}
    config = TrainingConfig(objects="distance", validation=0, **options)
    data = Dataset([(image, Stack(ids, "YX"))], config)
    patches = [each for step in range(8) for each in data.batch(step).labels.numpy()]
    rows = [data.target.decode(each[0]) for each in patches]
    rows = [row[row > 0.1] for row in rows]
    slopes = [np.abs(np.diff(row)).mean() for row in rows if len(row) > 20]
    assert len(slopes) > 10
    np.testing.assert_allclose(slopes, 1, atol=0.15)  # else from 0.67 to 2


def test_losses_by_hand() -> None:
    logits = torch.tensor([[[[1.0, 2.0, 5.0]]]])
    labels = torch.tensor([[[0.0, 4.0, float(IGNORE)]]])
    weights = torch.tensor([[[1.0, 3.0, 1.0]]])
    assert mse(logits, labels, weights).item() == pytest.approx((1 + 3 * 4) / 4)
    assert mae(logits, labels, weights).item() == pytest.approx((1 + 3 * 2) / 4)
    nothing = torch.full_like(labels, IGNORE)
    assert mse(logits, nothing, weights).item() == 0


def test_mean_absolute_error_is_a_loss(tmp_path: Path) -> None:
    image, target = smoothed(2)
    model = train(image, target, steps=2, loss="mae", **TINY)
    assert model.history["options"]["loss"] == "mae"
    assert train(image, target, steps=1, **TINY).history["options"]["loss"] == "mse"


def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    image, target = smoothed(2)
    whole = train(image, target, steps=4, **TINY)
    stopped = {"stop": False}
    events = train_events(
        [(image, target)],
        TrainingConfig(steps=4, **TINY),
        run=tmp_path / "run",
        should_stop=lambda: stopped["stop"],
    )
    for event in events:
        stopped["stop"] |= getattr(event, "step", 0) == 2
    resumed = train(image, target, steps=4, run=tmp_path / "run", resume=True)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    assert resumed.scale == whole.scale


def test_probabilities_are_refused(trained: Any, tmp_path: Path) -> None:
    model = Model.load(trained[0])
    with pytest.raises(ConfigError, match="predicts values and no probabilities"):
        predict(model, smoothed(1)[0], output="both")


def test_objects_grow_from_predicted_distances(trained: Any) -> None:
    model = Model.load(trained[0])
    image, _ = smoothed(1)
    values = predict(model, image)
    how = {"object_threshold": 5000.0, "minimum_size": 0}
    objects = predict(model, image, output="objects", **how)
    np.testing.assert_array_equal(objects > 0, values > 5000)
    fewer = {**how, "seed_threshold": 50.0}
    assert 1 < predict(model, image, output="objects", **fewer).max() < objects.max()


def test_command_line_round_trip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, stack in zip(("image", "target"), smoothed(4), strict=True):
        save_stack(tmp_path / f"{name}.tif", stack)
    image, target = str(tmp_path / "image.tif"), str(tmp_path / "target.tif")
    run, out = str(tmp_path / "run"), str(tmp_path / "out")
    tiny = ["--depth", "1", "--width", "4", "--patch-size", "32", "--device", "cpu"]
    told = ["--task", "regression", "--steps", "3", "--run", run]
    assert main(["train", image, target, *told, *tiny]) == 0
    assert "Values to regress: mean 50" in " ".join(capsys.readouterr().err.split())
    assert main(["predict", run, image, "--out", out]) == 0
    file = tmp_path / "out" / "image.prediction.tif"
    assert capsys.readouterr().out.strip() == str(file)
    values = open_stack(file)
    assert (values.dtype, values.axes, values.unit) == (np.float32, "ZYX", "nm")
    np.testing.assert_array_equal(np.asarray(values), predict(run, image))
    assert main(["predict", run, image, "--out", out, "--probabilities"]) == 2
    assert "no probabilities" in capsys.readouterr().err
    assert main(["evaluate", str(file), target, "--regression"]) == 0
    assert "RMSE" in capsys.readouterr().out
    assert main(["info", run]) == 0
    assert "scale" in capsys.readouterr().out


def test_the_last_event_names_the_values(trained: Any, tmp_path: Path) -> None:
    from napari_unet.prediction import predict_to_files

    model, (image, _) = Model.load(trained[0]), smoothed(1)
    *_, last = predict_to_files(model, image, tmp_path, objects=True)
    assert last == PredictionFinished(
        objects=str(tmp_path / "noise.objects.tif"),
        prediction=str(tmp_path / "noise.prediction.tif"),
    )
