"""The shell line and the script say what was done, no less and no more."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import napari_unet as nu
from napari_unet.batch import run
from napari_unet.cli import build_parser, flags
from napari_unet.cli.batch import _order
from napari_unet.config import OutputConfig, PredictionConfig, TrainingConfig
from napari_unet.presets import PRESETS
from napari_unet.replay.batch import Batch
from napari_unet.replay.objects import MeasureObjects
from napari_unet.replay.prediction import Prediction
from napari_unet.replay.training import Training
from napari_unet.replay.unsure import FindUnsure
from napari_unet.replay.words import THEN, Told, minimal, quoted

if TYPE_CHECKING:
    from napari_unet.config import Config

PAIR = ("/data/my image.tif", "/data/mäsks.tif")


def options(config: type[Config] = TrainingConfig, **changed: Any) -> dict[str, Any]:
    """Return every option by name, as a widget does."""
    return config.from_dict(changed).to_dict()


def parsed(words: list[str]) -> Any:
    return build_parser().parse_args(words[1:])


def run_script(source: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Run a script, and return how it called the functions of the package."""
    calls: list[Any] = []

    def called(name: str) -> Any:
        return lambda *args, **named: calls.append((name, args, named))

    monkeypatch.setattr(nu, "train", called("train"))
    monkeypatch.setattr(nu, "predict", called("predict"))
    exec(compile(source, "script.py", "exec"), {})
    return calls


def test_only_what_is_not_usual_is_said() -> None:
    words = Training([PAIR], "/runs/a", options(steps=20)).command()
    expected = ["napari-unet", "train", *PAIR, "--run", "/runs/a"]
    assert words == [*expected, "--steps", "20", "--seed", "0"]


def test_a_time_is_left_out_where_steps_say_how_long() -> None:
    words = Training([PAIR], "r", options(steps=20) | {"budget": "120s"}).command()
    assert "--budget" not in words
    words = Training([PAIR], "r", options(budget="120s")).command()
    assert words[words.index("--budget") + 1] == "120s"


CHANGES: list[dict[str, Any]] = [
    {"ignore": (-1, 255), "steps": 3, "class_names": "-2=a b, 7=ä"},
    {"flip": False, "rotate": True, "epochs": 2, "steps_per_epoch": 5},
    {"learning_rate": 1.25e-5, "network": "unet-3d", "anisotropy": 12.5},
    {"init": "/runs/a b", "freeze": 0.25, "pretrained": False},
    {"task": "regression", "loss": "mae", "class_balance": None, "border_weight": 0.0},
    {"budget": "90s", "zero_is_unlabelled": True, "device": "cpu"},
]


@pytest.mark.parametrize("preset", [None, *PRESETS])
@pytest.mark.parametrize("changed", [{}, *CHANGES])
def test_the_command_is_understood_as_the_same_options(
    changed: dict[str, Any], preset: str | None
) -> None:
    asked = options(preset=preset, **changed)
    got = flags.chosen(parsed(Training([PAIR], "r", asked).command()), TrainingConfig)
    understood = options(**got)
    # Where steps or epochs say how long, the time means nothing; and a preset's name
    # nothing beside all its options.
    for each in (asked, understood):
        each.pop("preset")
        if each["steps"] or each["epochs"]:
            each.pop("budget")
    assert understood == asked


def test_what_takes_back_a_preset_is_said_by_all_options() -> None:
    asked = options(preset="ronneberger2015") | {"class_balance": None}
    fewest = minimal(TrainingConfig, asked)
    assert "preset" not in fewest
    assert TrainingConfig.from_dict(fewest).to_dict() == asked | {"preset": None}


def test_several_pairs_are_said_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ("b.tif", "c.tif")
    done = Training([PAIR, other], "r", options(steps=1))
    understood = parsed(done.command())
    assert [list(map(str, each)) for each in understood.also] == [list(other)]
    ((_, (images, masks), _),) = run_script(done.script(), monkeypatch)
    assert list(zip(images, masks, strict=True)) == [PAIR, other]


def test_a_script_gives_the_same_options(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = options(steps=4, ignore=(254,), flip=False, learning_rate=1e-3)
    ((name, pair, named),) = run_script(
        Training([PAIR], "/runs/a", asked).script(), monkeypatch
    )
    assert (name, pair, named.pop("run")) == ("train", PAIR, "/runs/a")
    assert options(**named) == asked


def test_a_run_is_resumed_with_what_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {"steps": 40, "epochs": None, "budget": "2m"}
    done = Training([PAIR], "/runs/a", changed, resume=True)
    assert done.command()[4:] == ["--run", "/runs/a", "--resume", "--steps", "40"]
    ((_, _, named),) = run_script(done.script(), monkeypatch)
    assert named == {"run": "/runs/a", "resume": True, "steps": 40}


def test_a_prediction_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    done = Prediction(
        "/runs/a",
        "/data/b c.tif",
        "/out",
        options(PredictionConfig, tile=64, uncertainty="entropy"),
        ["probabilities", "objects"],
        [(0, 1), (8, 40), (0, 96)],
    )
    understood = parsed(done.command())
    assert understood.probabilities
    assert understood.objects
    assert understood.region == "0:1,8:40,0:96"
    assert flags.chosen(understood, PredictionConfig) == {
        "tile": 64,
        "uncertainty": "entropy",
    }
    ((_, given, named),) = run_script(done.script(), monkeypatch)
    assert given == ("/runs/a", "/data/b c.tif")
    assert named == {
        "out": "/out",
        "output": ("labels", "probabilities", "objects"),
        "region": "0:1,8:40,0:96",
        "tile": 64,
        "uncertainty": "entropy",
    }


@pytest.mark.parametrize(
    ("size", "unit", "said"),
    [
        ({"Z": 50.0, "Y": 4.0, "X": 4.5}, "nm", "50.0,4.0,4.5,nm"),
        ({"Y": 0.1, "X": 0.1}, "µm", "0.1,0.1,µm"),
        ({"Z": 3.0, "Y": 1.0, "X": 1.0}, None, "3.0,1.0,1.0"),
        ({}, None, "none"),
    ],
)
def test_a_pixel_size_is_understood(
    size: dict[str, float], unit: str | None, said: str
) -> None:
    told = Told("ZYX", size, unit)
    assert told.flags() == ["--axes", "ZYX", "--pixel-size", said]
    assert flags.pixel_size(said) == (size, unit)


def test_a_script_opens_images_as_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    import numpy as np

    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 5, 3), np.uint8))
    told = Told("YXC", {"Y": 2.0, "X": 2.0}, "nm")
    done = Training([(str(path), str(path))], "r", options(steps=1), Told("ZYX", {}))
    ((_, (image, labels), _),) = run_script(done.script(), monkeypatch)
    assert (image.axes, labels.axes, image.pixel_size) == ("ZYX", "ZYX", {})
    predicted = Prediction("m", str(path), "o", options(PredictionConfig), told=told)
    ((_, (_, image), _),) = run_script(predicted.script(), monkeypatch)
    assert (image.axes, image.unit) == ("YXC", "nm")
    assert image.pixel_size == {"Y": 2.0, "X": 2.0}


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"))))
def test_a_posix_shell_takes_the_words_apart_again(words: list[str]) -> None:
    assert shlex.split(quoted(words, windows=False)) == words


def test_a_windows_shell_does_so_too() -> None:
    words = ["napari-unet", r"C:\my data\ä.tif", r"C:\plain\b.tif", 'a"b']
    line = quoted(words, windows=True)
    assert line == r'napari-unet "C:\my data\ä.tif" C:\plain\b.tif a\"b'


def test_a_search_that_asks_the_model_is_two_commands() -> None:
    asked = options(PredictionConfig, uncertainty="entropy")
    predicted = Prediction("m", "/data/my a.tif", "/out", asked)
    search = FindUnsure("/out/a.tif", "/p.csv", 5, 48, None, "l.tif", 254, predicted)
    words = search.command()
    first, second = words[: words.index(THEN)], words[words.index(THEN) + 1 :]
    assert first == predicted.command()
    given = parsed(second)
    assert (given.prediction, given.out) == (Path("/out/a.tif"), Path("/p.csv"))
    assert (given.n, given.size, given.annotated, given.unlabelled) == (
        *(5, 48, Path("l.tif"), 254),
    )
    assert "'/data/my a.tif' --out /out --uncertainty entropy && napari-unet" in quoted(
        words, windows=False
    )
    assert search.script().count("import napari_unet") == 1


def test_objects_are_measured_by_what_is_told() -> None:
    told = Told(None, {"Y": 0.5, "X": 0.5}, "µm")
    given = parsed(MeasureObjects("o.tif", "o.csv", "i.tif", 3, told).command())
    assert (given.objects, given.image, given.out) == (
        *(Path("o.tif"), Path("i.tif"), Path("o.csv")),
    )
    assert given.object_dims == 3
    assert given.pixel_size == ({"Y": 0.5, "X": 0.5}, "µm")
    assert parsed(MeasureObjects("o.tif", "o.csv", None).command()).image is None


def test_a_batch_is_said_as_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch(
        "/runs/a",
        ["/data/my images", "/data/*.tif"],
        "/out",
        options(PredictionConfig, tile=64, memory="2GB"),
        options(OutputConfig, format="ome-zarr"),
        {"workers": 3, "scheduler": None},
        ["objects"],
        {"truth": "/data/truth", "table": "parquet", "overwrite": True},
    )
    given = parsed(batch.command())
    assert (given.model, given.input, given.out) == (
        Path("/runs/a"),
        ["/data/my images", "/data/*.tif"],
        Path("/out"),
    )
    assert (given.tile, given.workers) == (64, 3)
    orders: list[run.Order] = []
    monkeypatch.setattr(run, "run_batch", lambda order: orders.append(order) or ())
    exec(compile(batch.script(), "script.py", "exec"), {})
    assert orders == [_order(given)]
    assert orders[0].truth == Path("/data/truth")


def test_a_batch_without_wishes_is_short() -> None:
    batch = Batch("m", ["a"], "o", options(PredictionConfig), options(OutputConfig))
    assert batch.command() == ["napari-unet", "batch", "m", "a", "--out", "o"]
