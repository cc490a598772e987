from __future__ import annotations

import json
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet import cli
from napari_unet.cli import describe, flags, main
from napari_unet.config import PredictionConfig, TrainingConfig, options
from napari_unet.data import open_stack, synthetic_em
from napari_unet.events import Event, PredictionFinished, StepDone, TrainingFinished
from on_disk import save_stack

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = ["train", "predict", "evaluate", "info", "networks", "demo"]
TINY = ["--depth=1", "--width=2", "--patch-size=16", "--batch-size=1"]
TINY += ["--precision=fp32", "--device=cpu"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with image.tif, labels.tif and a trained run."""
    folder = tmp_path_factory.mktemp("data")
    for name, stack in zip(("image", "labels"), synthetic_em(6, 48), strict=True):
        save_stack(folder / f"{name}.tif", stack)
    assert main([*train(folder, folder / "run"), "--quiet"]) == 0
    return folder


def train(data: Path, run: Path, *more: str, steps: int = 2) -> list[str]:
    files = [str(data / "image.tif"), str(data / "labels.tif")]
    return ["train", *files, "--run", str(run), f"--steps={steps}", *TINY, *more]


def predict(data: Path, out: Path, *more: str) -> list[str]:
    return [
        "predict",
        str(data / "run"),
        str(data / "image.tif"),
        f"--out={out}",
        *more,
    ]


def usage_error(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


# -- the way through -----------------------------------------------------------------


def test_train_predict_evaluate_info(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    assert main(train(data, run)) == 0
    output, errors = capsys.readouterr()
    assert "All steps are done." in output
    assert str(run / "model.safetensors") in output
    assert "held out: section 0" in " ".join(errors.split())
    assert "Traceback" not in errors

    files = [str(run), str(data / "image.tif"), "--out", str(out)]
    assert main(["predict", *files, "--probabilities"]) == 0
    written = capsys.readouterr().out.split()
    assert written == [str(out / "image.labels.tif"), str(out / "image.prob.tif")]
    labels = open_stack(written[0])
    assert (labels.axes, labels.shape) == ("ZYX", (6, 48, 48))
    assert dict(labels.pixel_size) == {"Z": 50.0, "Y": 4.0, "X": 4.0}
    assert set(np.unique(np.asarray(labels))) <= {0, 255}
    assert open_stack(written[1]).shape == (6, 2, 48, 48)

    assert main(["evaluate", written[0], str(data / "labels.tif")]) == 0
    table = capsys.readouterr().out
    assert "255" in table
    assert "IoU" in table

    assert main(["info", str(run)]) == 0
    about = capsys.readouterr().out
    assert "255" in about
    assert '"nm"' in about or "nm" in about
    assert main(["info", str(data / "image.tif")]) == 0
    about = capsys.readouterr().out
    assert "ZYX" in about
    assert "[6, 48, 48]" in about


def test_a_network_for_volumes_by_its_name(data: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    assert main(train(data, run, "--network", "unet-3d")) == 0
    network = json.loads((run / "config.json").read_text())["network"]
    assert (network["name"], network["dims"]) == ("unet-3d", 3)
    size = open_stack(data / "image.tif").pixel_size
    assert network["anisotropy"] == pytest.approx(size["Z"] / size["X"])
    assert main(["predict", str(run), str(data / "image.tif"), "--out", str(out)]) == 0
    found, labels = (
        open_stack(path) for path in (out / "image.labels.tif", data / "labels.tif")
    )
    assert (found.shape, found.dtype) == (labels.shape, labels.dtype)
    assert found.pixel_size == size


def test_json_lines_are_events(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train(data, tmp_path / "run", "--json", steps=3)) == 0
    output, errors = capsys.readouterr()
    events = [Event.from_json(line) for line in output.splitlines()]
    assert [each.step for each in events if isinstance(each, StepDone)] == [1, 2, 3]
    assert isinstance(events[-1], TrainingFinished)
    assert errors == ""
    assert main(predict(data, tmp_path / "out", "--json")) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    expected = str(tmp_path / "out" / "image.labels.tif")
    assert Event.from_json(last) == PredictionFinished(expected)


def test_json_of_evaluate_and_info(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = str(data / "labels.tif")
    assert main(["evaluate", labels, labels, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert "1.0" in json.dumps(scores)
    for file in (data / "image.tif", data / "run", data / "run" / "model.safetensors"):
        assert main(["info", str(file), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["name"]


def test_quiet_is_silent(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train(data, tmp_path / "run", "--quiet")) == 0
    assert main(predict(data, tmp_path / "out", "--quiet")) == 0
    assert capsys.readouterr() == ("", "")


def test_quiet_does_not_hide_a_failure(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_unet.training import learner, losses

    calls = []

    def spoiled(*arguments: Any) -> Any:
        calls.append(1)
        loss = losses.cross_entropy(*arguments)
        return loss * (float("nan") if len(calls) > 3 else 1)

    monkeypatch.setattr(learner, "choose_loss", lambda *_: spoiled)
    run = tmp_path / "run"
    assert main(train(data, run, "--quiet", steps=9)) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert "step 4" in errors
    assert str(run / "model.safetensors") in errors


def test_progress_goes_to_standard_error(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train(data, tmp_path / "run")) == 0
    output, errors = capsys.readouterr()
    assert "100%" in errors
    assert "%" not in output
    assert len(output.splitlines()) == 1


# -- options -------------------------------------------------------------------------


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert usage_error([command, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(command, capsys)
    for flag in ("--quiet", "--json", "--debug"):
        assert flag in text
    assert "==SUPPRESS==" not in text


def test_every_option_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    for command, config in {
        "train": TrainingConfig,
        "predict": PredictionConfig,
    }.items():
        text = " ".join(help_of(command, capsys).split())
        for each in options(config):
            flag = "--" + each.name.replace("_", "-")
            assert flag in text
            assert each.help.split(";")[0][:25] in text
            if each.type is bool:
                assert flag.replace("--", "--no-") in text


def other_value(each: Any) -> Any:
    """Return an allowed value that is not the default."""
    if each.choices:
        return each.choices[-1]
    if each.type is bool:
        return not each.default
    if each.type is str:
        return "77s"
    by_name = {"depth": 2, "patch_size": 32, "ignore": "5,7"}
    if each.name in by_name:
        return by_name[each.name]
    return each.type(each.minimum if each.minimum != each.default else each.minimum + 1)


@pytest.mark.parametrize("config", [TrainingConfig, PredictionConfig])
def test_flags_reach_the_config(config: type) -> None:
    command = "train" if config is TrainingConfig else "predict"
    expected = {each.name: other_value(each) for each in options(config)}
    given = ["a", "b", "--run=r" if command == "train" else "--out=o"]
    for name, value in expected.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            given.append(flag if value else flag.replace("--", "--no-"))
        else:
            given.append(f"{flag}={value}")
    parsed = cli.build_parser().parse_args([command, *given])
    assert flags.chosen(parsed, config) == expected
    parsed = cli.build_parser().parse_args([command, *given[:3]])
    assert flags.chosen(parsed, config) == {}


def test_options_given_are_kept_in_the_run(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main(train(data, run, "--quiet", "--no-flip", "--ignore=9", "--seed=4")) == 0
    kept = json.loads((run / "config.json").read_text())["options"]
    chosen = (kept["flip"], kept["ignore"], kept["seed"], kept["patch_size"])
    assert chosen == (False, [9], 4, 16)


def test_a_preset_is_kept_with_all_its_options(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = ("--quiet", "--width=2", "--patch-size=32")
    assert main(train(data, run, "--preset=xception-pets", *small)) == 0
    kept = json.loads((run / "config.json").read_text())["options"]
    assert kept["preset"] == "xception-pets"
    assert (kept["network"], kept["width"]) == ("unet-xception", 2)
    assert (kept["optimizer"], kept["loss"]) == ("rmsprop", "cross-entropy")
    assert (kept["flip"], kept["intensity"], kept["epochs"]) == (False, 0, None)


def test_sections_choose_a_part(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    assert main(train(data, run, "--quiet", "--sections=0:4")) == 0
    config = json.loads((run / "config.json").read_text())
    assert config["data"]["pairs"][0]["image"]["shape"] == [4, 48, 48]
    assert main(predict(data, out, "--quiet", "--sections", "4:")) == 0
    labels = out / "image.labels.tif"
    assert open_stack(labels).shape == (2, 48, 48)
    truth = str(data / "labels.tif")
    assert main(["evaluate", str(labels), truth, "--sections=4:6"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(labels), truth]) == 1
    assert "6" in capsys.readouterr().err


def test_resuming_goes_on_and_refuses_other_options(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(train(data, run, "--quiet", steps=2)) == 0
    files = [str(data / "image.tif"), str(data / "labels.tif")]
    again = ["train", *files, "--run", str(run), "--resume"]
    assert main([*again, "--steps=4", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    events = [Event.from_json(line) for line in lines]
    assert [each.step for each in events if isinstance(each, StepDone)] == [3, 4]
    assert main([*again, "--steps=5", "--width=8"]) == 2
    assert "width was 2, not 8" in capsys.readouterr().err
    files[0], files[1] = files[1], files[0]
    assert main(["train", *files, "--run", str(tmp_path / "none"), "--resume"]) == 1
    assert "holds no run" in capsys.readouterr().err


def test_curves_of_a_run(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(train(data, run, "--quiet", steps=2)) == 0
    assert main(["curves", str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'curves.png'}\n"
    assert main(["curves", str(run), "--out", str(tmp_path / "a.png")]) == 0
    same = [
        (path / name).read_bytes()
        for path, name in ((run, "curves.png"), (tmp_path, "a.png"))
    ]
    assert same[0][:4] == same[1][:4] == b"\x89PNG"
    capsys.readouterr()
    assert main(["curves", str(tmp_path)]) == 1
    assert "holds no run" in capsys.readouterr().err


# -- refusals ------------------------------------------------------------------------


def test_wrong_usage_is_2(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_error([]) == 2
    assert usage_error(["dance"]) == 2
    assert main(["train", "a.tif", "b.tif"]) == 2
    assert usage_error(train(data, data / "x", "--depth=two")) == 2
    assert usage_error(train(data, data / "x", "--sections=3")) == 2
    assert "is not a range such as 0:18" in capsys.readouterr().err
    assert main(train(data, data / "x", "--depth=9")) == 2
    assert "depth is 9" in capsys.readouterr().err
    assert main(train(data, data / "x", "--budget=2m", steps=3)) == 2
    assert "budget and steps were given" in capsys.readouterr().err
    assert not (data / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "nowhere.tif"], "does not exist"),
        (["predict", "nowhere", "{image}", "--out={out}"], "does not exist"),
        (["predict", "{image}", "{image}", "--out={out}"], "not a model file"),
        (["train", "{image}", "{image}", "--run={out}"], "values"),
        (["train", "no.tif", "{image}", "--run={out}"], "no.tif"),
        (["train", "{image}", "{labels}", "--run={out}", "--axes=YX"], "axes"),
        (["evaluate", "{image}", "{labels}"], ""),
        (["demo", "--data={out}", "--out={out}/demo"], "train-volume.tif"),
    ],
)
def test_failures_are_1_in_a_line_or_two(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    places = {"image": data / "image.tif", "labels": data / "labels.tif"}
    filled = [each.format(**places, out=tmp_path / "out") for each in arguments]
    assert main(filled) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    lines = [line for line in errors.splitlines() if line.strip()]
    assert any(line.startswith("napari-unet: ") for line in lines)
    assert "Traceback" not in errors
    assert words in errors
    assert "--debug" not in errors  # these explain themselves
    assert not (tmp_path / "out").exists()


def test_debug_shows_the_traceback(data: Path) -> None:
    from napari_unet.errors import StackFormatError

    with pytest.raises(StackFormatError):
        main(["info", "nowhere.tif", "--debug"])


def test_surprises_are_1_and_point_to_debug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(describe, "_facts", broken)
    assert main(["info", "x"]) == 1
    errors = capsys.readouterr().err
    assert errors == "napari-unet: ZeroDivisionError: by zero (--debug shows where).\n"
    with pytest.raises(ZeroDivisionError):
        main(["info", "x", "--debug"])


def test_results_are_not_overwritten_unless_told_to(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, labels = tmp_path / "out", tmp_path / "out" / "image.labels.tif"
    out.mkdir()
    labels.write_text("precious")
    assert main(predict(data, out)) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert labels.read_text() == "precious"
    assert main(predict(data, out, "--overwrite", "--quiet")) == 0
    assert open_stack(labels).shape == (6, 48, 48)

    run = tmp_path / "run"
    assert main(train(data, run, "--quiet")) == 0
    model = (run / "model.safetensors").read_bytes()
    assert main(train(data, run, "--seed=1")) == 1
    assert (run / "model.safetensors").read_bytes() == model
    assert main(train(data, run, "--seed=1", "--overwrite", "--quiet")) == 0
    assert (run / "model.safetensors").read_bytes() != model


def test_two_inputs_for_one_output_are_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "image.tif").write_bytes((data / "image.tif").read_bytes())
    inputs = [str(data / "image.tif"), str(other / "image.tif")]
    out = tmp_path / "out"
    assert main(["predict", str(data / "run"), *inputs, f"--out={out}"]) == 2
    assert "both be written" in capsys.readouterr().err
    assert not out.exists()


def test_one_bad_input_does_not_stop_the_others(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.tif"
    bad.write_text("no image")
    out = tmp_path / "out"
    run, image = str(data / "run"), str(data / "image.tif")
    assert main(["predict", run, str(bad), image, f"--out={out}"]) == 1
    output, errors = capsys.readouterr()
    assert "bad.tif" in errors
    assert output.split() == [str(out / "image.labels.tif")]
    assert [path.name for path in out.iterdir()] == ["image.labels.tif"]


# -- processes -----------------------------------------------------------------------


def test_help_and_version_load_no_torch() -> None:
    code = (
        "import sys; from napari_unet.cli import main\n"
        "helps = [[command, '--help'] for command in sys.argv[1:]]\n"
        "for words in (['--help'], ['--version'], *helps):\n"
        "    try: main(words)\n"
        "    except SystemExit as end: assert not end.code, words\n"
        "print('LOADED', *{'torch', 'napari', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *COMMANDS],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "LOADED"
    assert "napari-unet 0." in done.stdout


def test_module_runs_as_a_command(data: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "napari_unet", "info", str(data / "run"), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["classes"]["values"] == [0, 255]
    assert done.stderr == ""


def test_closed_pipe_is_no_traceback(data: Path) -> None:
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', "
        "'napari_unet', 'info', sys.argv[1]], stdout=subprocess.PIPE, "
        "stderr=subprocess.PIPE); p.stdout.close(); print(p.stderr.read().decode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(data / "run")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_second_interrupt_ends_at_once() -> None:
    from napari_unet.control import stop_on_interrupt

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with stop_on_interrupt() as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_a_prediction_is_1_and_leaves_nothing(
    number: int,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from napari_unet.prediction import engine

    blocks = engine.predict_blocks

    def interrupted(*arguments: Any, **more: Any) -> Any:
        for result in blocks(*arguments, **more):
            if isinstance(result, int):  # a second one would interrupt at once
                signal.raise_signal(number)
            yield result

    monkeypatch.setattr(engine, "predict_blocks", interrupted)
    assert main(predict(data, tmp_path / "out")) == 1
    assert "Stopped" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_networks_are_listed_as_a_table_and_as_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["networks"]) == 0
    table = capsys.readouterr().out
    assert "unet-2015" in table
    assert "31,030,658" in table
    assert table.rstrip().endswith("networks --encoders")
    assert main(["networks", "--channels=3", "--classes=3", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (xception,) = [each for each in lines if each["name"] == "unet-xception"]
    assert (xception["parameters"], xception["trained"]) == (2_058_979, 2_055_203)
    assert (xception["stride"], xception["exact"]) == (16, True)
    with pytest.raises(SystemExit, match="2"):
        main(["networks", "--classes=0"])
    assert "'0' is not a whole number of at least 1" in capsys.readouterr().err


def test_encoders_are_listed_by_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = SimpleNamespace(get_encoder_names=lambda: ["resnet18", "xception"])
    monkeypatch.setattr(
        "napari_unet.networks.encoders.import_smp",
        lambda: SimpleNamespace(encoders=library),
    )
    assert main(["networks", "--encoders"]) == 0
    # The family has an unet-xception of its own.
    assert capsys.readouterr().out == "unet-resnet18\n"
    assert main(["networks", "--encoders", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "unet-resnet18"}


def test_dry_run_needs_no_run_folder(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(data / "image.tif"), str(data / "labels.tif")]
    assert main(["train", *files, "--dry-run"]) == 0
    assert main(["train", *files]) == 2
    assert "--run" in capsys.readouterr().err


def test_a_usage_error_is_short(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_error(["train", "image.tif", "labels.tif", "--preset=unet"]) == 2
    assert len(capsys.readouterr().err.splitlines()) <= 4


def test_many_images_are_predicted_without_two_lines_each(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(data / "image.tif"), str(data / "labels.tif")]
    assert main(["predict", str(data / "run"), *files, f"--out={tmp_path}"]) == 0
    output, errors = capsys.readouterr()
    assert output.split() == [
        str(tmp_path / f"{name}.labels.tif") for name in ("image", "labels")
    ]
    assert "section(s)" not in errors


def test_a_pattern_names_images_of_their_own(data: Path, tmp_path: Path) -> None:
    run, pattern = str(data / "run"), str(data / "[il]*.tif")
    assert main(["predict", run, pattern, f"--out={tmp_path}", "--quiet"]) == 0
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["image.labels.tif", "labels.labels.tif"]


def test_patches_of_volumes_can_be_looked_at(data: Path, tmp_path: Path) -> None:
    files = [str(data / "image.tif"), str(data / "labels.tif"), f"--out={tmp_path}"]
    size = ["--patch-size=16", "--patch-depth=2", "--patches=3", "--network=unet-3d"]
    assert main(["preview", *files, *size, "--depth=1", "--width=2"]) == 0
    assert open_stack(tmp_path / "labels.tif").shape == (3, 2, 16, 16)
