"""Train, predict and score public data sets: the table of results in the README.

``python benchmarks/results.py DATA [NAME ...] --budget 3m --seeds 0 1 2`` prints the
commands and a line for each data set. Nothing that is scored was seen in training:
stacks are split by section, folders by file, in the order of their names.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

import napari_unet as nu
from napari_unet.evaluation import score_objects

if TYPE_CHECKING:
    from collections.abc import Callable

    Scores = dict[str, float]


@dataclass(frozen=True)
class Case:
    """A data set, how it is split, and what is reported of it.

    Attributes
    ----------
    image, labels : str
        Stacks, or folders of images, below the data folder.
    trained : int
        Sections or files that train; the others are scored.
    score : callable
        Takes the folder of predictions and the folder of truths.
    options : tuple of str
        Flags of the training, besides budget and seed.
    flags : tuple of str
        Flags of the prediction.
    """

    image: str
    labels: str
    trained: int
    score: Callable[[Path, Path], Scores]
    options: tuple[str, ...] = ()
    flags: tuple[str, ...] = ("--probabilities",)


def main() -> None:
    """Run the chosen data sets and print their mean scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", help=", ".join(CASES))
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--with", dest="extra", default="", help="more training flags")
    given = parser.parse_args()
    for name in given.names or CASES:
        runs = [
            run(CASES[name], given.data, given.budget, seed, given.extra.split())
            for seed in given.seeds
        ]
        print(f"{name}, {given.budget}, {len(runs)} seed(s): {mean(runs)}", flush=True)


def run(case: Case, data: Path, budget: str, seed: int, extra: list[str]) -> Scores:
    """Train with one seed, predict what was left out, and score it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, source in (("image", case.image), ("labels", case.labels)):
            split(data / source, case.trained, folder, kind)
        (image, labels), (seen, truth) = (
            [folder / part / kind for kind in ("image", "labels")]
            for part in ("train", "test")
        )
        options = ["--budget", budget, "--seed", str(seed), *case.options, *extra]
        command("train", only(image), only(labels), "--run", folder / "run", *options)
        out = folder / "out"
        command("predict", folder / "run", only(seen), "--out", out, *case.flags)
        scores = case.score(out, truth)
    print(f"  seed {seed}: {mean([scores])}", flush=True)
    return scores


def split(source: Path, trained: int, folder: Path, kind: str) -> None:
    """Copy the sections or files that train and those that do not."""
    for part in ("train", "test"):
        (folder / part / kind).mkdir(parents=True)
    if source.is_dir():
        for index, file in enumerate(sorted(source.iterdir())):
            shutil.copy(file, folder / ("train" if index < trained else "test") / kind)
        return
    sections = np.asarray(nu.open_stack(source))
    for part, chosen in (("train", sections[:trained]), ("test", sections[trained:])):
        path = folder / part / kind / f"{source.stem}.tif"
        tifffile.imwrite(path, chosen, metadata={"axes": "ZYX"})


def only(folder: Path) -> Path:
    """Return the only file of a folder, or the folder."""
    files = list(folder.iterdir())
    return files[0] if len(files) == 1 else folder


def command(*arguments: Any) -> None:
    """Run a command of napari-unet, and show it."""
    words = [str(each) for each in arguments]
    print("  napari-unet", *(Path(word).name for word in words), flush=True)
    subprocess.run([sys.executable, "-m", "napari_unet", *words, "--quiet"], check=True)


def predicted(out: Path, truth: Path, kind: str) -> tuple[list[Path], list[Path]]:
    """Return the predictions of a kind and their truths, in the same order."""
    found = sorted(out.glob(f"*.{kind}.tif"))
    true = sorted(truth.iterdir())
    assert len(found) == len(true), (found, true)
    return found, true


def membranes(out: Path, truth: Path) -> Scores:
    scores = nu.evaluate(*predicted(out, truth, "prob"))
    assert scores.membranes
    return {
        "V_rand": scores.membranes.rand,
        "V_info": scores.membranes.info,
        "mean IoU": scores.overlap.mean_iou,
    }


def classes(out: Path, truth: Path) -> Scores:
    scores = nu.evaluate(*predicted(out, truth, "labels"), membranes=False).overlap
    return {"mean IoU": scores.mean_iou, "mean Dice": scores.mean_dice}


def foreground(out: Path, truth: Path) -> Scores:
    scores = nu.evaluate(*predicted(out, truth, "labels"), membranes=False)
    last = scores.overlap.classes[-1]
    return {"Dice": last.dice, "IoU": last.iou}


def vessels(out: Path, truth: Path) -> Scores:
    scores = nu.evaluate(*predicted(out, truth, "prob"), membranes=False)
    assert scores.auc
    return {
        "Dice": scores.overlap.classes[-1].dice,
        "AUC": float(scores.auc["255"] or 0),
    }


def nuclei(out: Path, truth: Path) -> Scores:
    files = zip(*predicted(out, truth, "objects"), strict=True)
    pairs = [tuple(np.asarray(nu.open_stack(each)) for each in pair) for pair in files]
    hit = sum(int(((a > 0) & (b > 0)).sum()) for a, b in pairs)
    both = sum(int((a > 0).sum() + (b > 0).sum()) for a, b in pairs)
    objects = score_objects(pairs)
    return {
        "Dice": 2 * hit / both,
        "AP50": objects.matches[0].ap,
        "mean AP": objects.mean_ap,
    }


def scribbles(out: Path, truth: Path) -> Scores:
    files = predicted(out, truth, "labels")
    scores = nu.evaluate(*files, ignore=0, membranes=False).overlap
    return {"accuracy on scribbles": scores.accuracy, "mean Dice": scores.mean_dice}


def mean(runs: list[Scores]) -> str:
    """Write the means, and the single values where there are several."""
    parts = []
    for name in runs[0]:
        values = [scores[name] for scores in runs]
        single = ", ".join(f"{value:.3f}" for value in values)
        detail = f" ({single})" if len(values) > 1 else ""
        parts.append(f"{name} {statistics.mean(values):.3f}{detail}")
    return "; ".join(parts)


OBJECTS = ("--objects", "border")
CASES = {
    "isbi2012": Case(
        "isbi2012/train-volume.tif", "isbi2012/train-labels.tif", 18, membranes
    ),
    "em_vnc": Case(
        "em_vnc/raw.tif",
        "em_vnc/labels_9class_grey.tif",
        7,
        classes,
    ),
    "mitochondria": Case("em_vnc/raw.tif", "em_vnc/mitochondria.tif", 7, foreground),
    "nuclei_dsb2018": Case(
        "nuclei_dsb2018/images",
        "nuclei_dsb2018/labels",
        40,
        nuclei,
        (*OBJECTS, "--augment", "light"),
        ("--objects",),
    ),
    "nuclei_sparse": Case(
        "nuclei_sparse/raw_images",
        "nuclei_sparse/annotations",
        4,
        scribbles,
        ("--zero-is-unlabelled",),
    ),
    "retina_drive": Case(
        "retina_drive/images",
        "retina_drive/vessels",
        7,
        vessels,
    ),
    "nuclei3d_bbbc050": Case(
        "nuclei3d_bbbc050/images",
        "nuclei3d_bbbc050/instances",
        2,
        nuclei,
        (*OBJECTS, "--network", "unet-3d"),
        ("--objects", "--object-dims", "3"),
    ),
}

if __name__ == "__main__":
    main()
