"""What the README and the documents tell a user to type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from torch.distributed import run as torchrun

import napari_unet as nu
from napari_unet.cli import build_parser
from napari_unet.config import TrainingConfig
from napari_unet.networks.family import FAMILY, VOLUMES
from napari_unet.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TINY = {"depth": 1, "width": 2, "patch_size": 16, "batch_size": 1, "steps": 2}


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in that language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def command_lines() -> Iterator[tuple[str, str]]:
    """Find each command line, by page: those of blocks and those within sentences."""
    for page in PAGES:
        lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        lines += re.findall(r"`([^`]*)`", text)
        for line in lines:
            if line.startswith(("napari-unet ", "torchrun ")) and "…" not in line:
                yield page.name, " ".join(line.split())


@pytest.mark.parametrize(("page", "line"), [*command_lines()])
def test_a_command_line_is_understood(page: str, line: str) -> None:
    # Brackets mark what may be left out.
    program, *arguments = shlex.split(re.sub(r"[\[\]]", "", line), comments=True)
    if program == "torchrun":
        started = torchrun.get_args_parser().parse_args(arguments)
        if not started.module:
            return
        assert started.training_script == "napari_unet"
        arguments = started.training_script_args
    if arguments[-1] == "--help":
        arguments.pop()
        assert arguments[0] in build_parser().format_help()
        return
    build_parser().parse_args(arguments)


def flags() -> set[str]:
    actions: list[Any] = build_parser()._actions
    commands = actions[-1].choices.values()
    return {
        name
        for parser in (build_parser(), *commands)
        for action in parser._actions
        for name in action.option_strings
    }


def test_each_flag_named_exists() -> None:
    elsewhere = {"--upgrade", "--no-deps", "--scheduler-file"}  # of pip and Dask
    elsewhere |= {*torchrun.get_args_parser()._option_string_actions}
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    assert named - flags() - elsewhere == set()


@pytest.mark.parametrize(
    "source",
    [block for page in PAGES for block in blocks(page, "python")],
)
def test_a_snippet_of_python_runs(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, sample = nu.train, nu.synthetic_em
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        nu,
        "train",
        lambda *given, budget="", **options: train(*given, **(options | TINY)),
    )
    monkeypatch.setattr(nu, "synthetic_em", lambda: sample(4, 48))
    exec(compile(source, "README.md", "exec"), {})
    assert list(tmp_path.glob("*.safetensors"))


def test_the_table_of_networks_is_that_of_the_program() -> None:
    page = (ROOT / "docs" / "networks.md").read_text("utf-8")
    members = FAMILY | VOLUMES
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    named: set[str] = set()
    for row in rows:
        names = [each for each in re.findall(r"`([^`]+)`", row[1]) if each in members]
        named |= {*names}
        for name in names:
            own = f"{members[name].depth}, {members[name].width}"
            assert own in row[3], name
    assert named == {*members}


def test_all_losses_and_presets_are_described() -> None:
    page = (ROOT / "docs" / "training.md").read_text("utf-8")
    choices = TrainingConfig.__dataclass_fields__["loss"].metadata["choices"]
    for name in (*choices, *PRESETS):
        assert f"`{name}`" in page, name
