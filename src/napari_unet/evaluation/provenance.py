"""Where a prediction comes from, and whether its model has seen the truth before."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet.data.fingerprint import fingerprint
from napari_unet.model import find_model, read_info

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from napari_unet.data.stack import Stack


@dataclass(frozen=True)
class Provenance:
    """What is known of the model that made a prediction.

    Attributes
    ----------
    name : str
    file : str
    sha256 : str
        Of the model file.
    network : str
        Its architecture in words.
    run : str or None
        The run folder, where the model lies in one.
    training, validation : str or None
        Which part of its data trained, and which was held out, in words.
    data : tuple of str
        What it was trained on.
    data_sha256 : str or None
        Of all pixels it was trained and judged on.
    step : int or None
    score : float or None
        On the part that was held out.
    versions : dict of str to str
        Of the programs that trained it.
    classes : dict of int to str
        The name of each mask value.
    seen, held_out : frozenset of str
        Fingerprints of the sections that trained, and of those held out; see
        `napari_unet.data.fingerprint`.
    """

    name: str
    file: str
    sha256: str
    network: str
    run: str | None = None
    training: str | None = None
    validation: str | None = None
    data: tuple[str, ...] = ()
    data_sha256: str | None = None
    step: int | None = None
    score: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[int, str] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    held_out: frozenset[str] = frozenset()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON takes them, without the fingerprints."""
        left_out = {"seen", "held_out"}
        facts = {k: v for k, v in asdict(self).items() if k not in left_out}
        return {**facts, "data": list(self.data)}


def find_provenance(model: str | Path) -> Provenance:
    """Read what a model file, and the run folder it lies in, say of a model.

    Raises
    ------
    ModelError
        If there is no such model.
    """
    file = find_model(model)
    info = read_info(file)
    history, network = info.get("history", {}), info["network"]
    run = _read_run(file.parent)
    pairs: list[dict[str, Any]] = run.get("data", {}).get("pairs", [])
    split = run.get("split", {})
    dims = network.get("dims", 2)
    return Provenance(
        name=info.get("name") or file.stem,
        file=str(file),
        sha256=_hash(file),
        network=f"{network.get('name')}, {dims}-D, depth {network.get('depth')}, "
        f"width {network.get('width')}",
        run=str(file.parent) if run else None,
        training=split.get("training"),
        validation=split.get("validation"),
        data=tuple(_name(pair) for pair in pairs),
        data_sha256=run.get("data", {}).get("sha256") or history.get("data"),
        step=history.get("step"),
        score=history.get("score"),
        versions=history.get("versions", {}),
        classes=_named(info.get("classes") or {}),
        seen=_fingerprints(pairs, "training"),
        held_out=_fingerprints(pairs, "validation"),
    )


def remarks_on_training(known: Provenance, sections: Sequence[set[str]]) -> list[str]:
    """Say so where sections that are judged on have trained the model.

    Parameters
    ----------
    known : Provenance
    sections : sequence of set of str
        The fingerprints by which each section may be known, as `fingerprints` gives
        them.
    """
    trained = [i for i, prints in enumerate(sections) if prints & known.seen]
    chosen = [i for i, prints in enumerate(sections) if prints & known.held_out]
    remarks = []
    if trained:
        remarks.append(
            f"The model was trained on {_of(trained, len(sections))}: there, scores "
            "say how well it remembers, not how well it predicts. Judge it by sections "
            "that it has not seen."
        )
    if only := [i for i in chosen if i not in trained]:
        remarks.append(
            f"By {_of(only, len(sections))} the training chose its best model: scores "
            "there may be a little too good."
        )
    return remarks


def fingerprints(*stacks: Stack) -> list[set[str]]:
    """Return by what each section of stacks of the same sections may be known."""
    first = stacks[0]
    found: list[set[str]] = []
    for index in range(first.n_sections):
        planes = [each.section(index) for each in stacks]
        found.append({fingerprint(plane) for plane in planes} - {""})
    return found


def _of(numbers: Collection[int], every: int) -> str:
    """Name some of all sections in words."""
    if len(numbers) == every:
        return "this section" if every == 1 else f"all of these {every} sections"
    listed = _ranges(sorted(numbers))
    return f"{len(numbers)} of these {every} sections ({listed})"


def _ranges(numbers: Sequence[int]) -> str:
    """Write ``0, 1, 2, 5`` as ``0 to 2, 5``."""
    groups: list[list[int]] = []
    for number in numbers:
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    words = [
        str(each[0]) if len(each) == 1 else f"{each[0]} to {each[-1]}"
        for each in groups[:6]
    ]
    return ", ".join(words) + (" …" if len(groups) > 6 else "")


def _read_run(folder: Path) -> dict[str, Any]:
    """Return what a run folder's config.json holds, nothing where there is none."""
    try:
        run = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return run if isinstance(run, dict) else {}


def _name(pair: Mapping[str, Any]) -> str:
    image = pair.get("image", {})
    return str(image.get("source") or image.get("name") or "an array")


def _named(classes: Mapping[str, Any]) -> dict[int, str]:
    return dict(zip(classes.get("values", ()), classes.get("names", ()), strict=False))


def _fingerprints(pairs: Sequence[Mapping[str, Any]], use: str) -> frozenset[str]:
    return frozenset(
        each for pair in pairs for each in pair.get("fingerprints", {}).get(use, ())
    )


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
