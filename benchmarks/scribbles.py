"""Score what scribbles teach, round by round: paint, train, look, paint where it fails.

``python benchmarks/scribbles.py DATA {isbi,nuclei_sparse} --budget 1m`` prints a line
for each round. It does what the widgets do, without a window: 0 means not annotated,
each round goes on from the model of the last one, and strokes are added at those of
the unsure places of Correct where the prediction is wrong. Only pixels that are painted
are learnt from; images and sections that are scored are never painted on.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import binary_dilation, binary_opening
from skimage.morphology import skeletonize

import napari_unet as nu
from napari_unet.data.strokes import draw_strokes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Scores = dict[str, float]

PLACES = 20  # looked at between two rounds, of all images together
LENGTH = 24  # of a stroke
SQUARE = np.ones((3, 3), bool)  # the brush


@dataclass
class Painting:
    """Sections that a person paints on.

    Attributes
    ----------
    image, strokes : Stack
        The stack, and what is painted on it; 0 is not annotated.
    sections : tuple of int
        Those that are painted on.
    truth : ndarray, shape (Z, Y, X) or (Y, X)
        What the person knows; 0 where the truth is not known.
    """

    image: nu.Stack
    strokes: nu.Stack
    sections: tuple[int, ...]
    truth: Array

    def share(self) -> float:
        """Return which part of the sections is painted."""
        return float(np.mean(_planes(self.strokes.pixels)[list(self.sections)] > 0))

    def add(self, model: nu.Model, share: float, n: int) -> None:
        """Look at the `n` most unsure places, and paint there.

        At most that share of the pixels is painted anew.
        """
        strokes, truth = _planes(self.strokes.pixels), _planes(self.truth)
        shape = truth.shape[1:]
        budget = int(share * len(self.sections) * truth[0].size)
        probabilities = np.stack(
            [self._probabilities(model, each) for each in self.sections]
        )
        values = np.array(model.classes.values)
        predicted = values[probabilities.argmax(axis=1)]
        known = strokes[list(self.sections)]
        for place in nu.find_unsure(probabilities, n, axes="ZCYX", annotated=known):
            number, *middle = place.position
            box = tuple(
                slice(max(0, at - 24), min(side, at + 24))
                for at, side in zip(middle, shape, strict=True)
            )
            section = self.sections[number]
            for stroke, value in _correct(truth[section][box], predicted[number][box]):
                if stroke.sum() <= budget:
                    budget -= int(stroke.sum())
                    strokes[section][box][stroke] = value

    def _probabilities(self, model: nu.Model, section: int) -> Array:
        shape = self.truth.shape
        bounds = [(section, section + 1), *((0, side) for side in shape[-2:])]
        region = bounds[-len(shape) :]
        found = nu.predict(model, self.image, output="probabilities", region=region)
        return np.asarray(found).reshape(-1, *np.shape(found)[-2:])


def _planes(pixels: Any) -> Array:
    array = np.asarray(pixels)
    return array.reshape(-1, *array.shape[-2:])


def _correct(truth: Array, predicted: Array) -> Iterator[tuple[Array, int]]:
    """Paint a stroke of each class at a place, through what is wrong if anything is.

    Strokes on what is wrong alone would teach that dark lines are no membranes. Yields
    strokes, as masks, and their values.
    """
    for value in np.unique(truth[truth > 0]):
        region = truth == value
        wrong = binary_opening(region & (predicted != value), SQUARE)
        middle = np.argwhere(skeletonize(wrong if wrong.any() else region))
        if not len(middle):
            continue
        first = middle[_distances(middle, np.divide(truth.shape, 2)).argmin()]
        rows, columns = middle[_distances(middle, first).argsort()[:LENGTH]].T
        stroke = np.zeros_like(region)
        stroke[rows, columns] = True
        yield binary_dilation(stroke, SQUARE) & region, int(value)


def _distances(places: Array, place: Array) -> Array:
    return np.linalg.norm(places - place, axis=1)


def rounds(
    paintings: Sequence[Painting],
    score: Callable[[nu.Model], Scores],
    *,
    added: float,
    n_rounds: int,
    options: dict[str, Any],
) -> list[Scores]:
    """Paint, train and score, again and again; each model starts from the last one."""
    told = []
    with tempfile.TemporaryDirectory() as folder:
        start: dict[str, Any] = {}
        for number in range(1, n_rounds + 1):
            run = Path(folder) / f"round {number}"
            model = nu.train(
                [each.image for each in paintings],
                [each.strokes for each in paintings],
                run=run,
                zero_is_unlabelled=True,
                **start,
                **options,
            )
            share = float(np.mean([each.share() for each in paintings]))
            told.append({"annotated": share, **score(model)})
            print(f"  round {number}: {describe([told[-1]])}", flush=True)
            start = {"init": run}
            for each in paintings if number < n_rounds else ():
                each.add(model, added, PLACES // len(paintings))
    return told


def describe(scores: Sequence[Scores]) -> str:
    """Write the means of some scores."""
    means = {name: np.mean([each[name] for each in scores]) for name in scores[0]}
    return "; ".join(
        f"{name} {value:.2%}" if name == "annotated" else f"{name} {value:.3f}"
        for name, value in means.items()
    )


def isbi(data: Path, seed: int, **how: Any) -> list[list[Scores]]:
    """Paint on three sections of 0 to 17, and score sections 18 to 23."""
    painted, scored = (3, 9, 15), slice(18, 24)
    image = nu.open_stack(data / "isbi2012" / "train-volume.tif")
    mask = nu.open_stack(data / "isbi2012" / "train-labels.tif")
    truth = np.where(np.asarray(mask) > 0, 2, 1).astype(np.uint8)
    strokes = draw_strokes(mask, painted, share=0.005, seed=seed)
    region = [(scored.start, scored.stop), *((0, side) for side in truth.shape[1:])]

    def score(model: nu.Model) -> Scores:
        found = nu.predict(model, image, output="probabilities", region=region)
        assert isinstance(found, np.ndarray)
        told = nu.evaluate(nu.Stack(found, "ZCYX"), truth[scored])
        assert told.membranes
        return {"mean IoU": told.overlap.mean_iou, "V_rand": told.membranes.rand}

    painting = Painting(image, strokes, painted, truth)
    return [rounds([painting], score, added=0.004, n_rounds=4, **how)]


def nuclei_sparse(data: Path, seed: int, **how: Any) -> list[list[Scores]]:
    """Paint on four of six images, and score the other two: three times.

    The strokes are the dots of the data set on nuclei of two kinds, 1 and 2, and a
    few of our own on the background, 3. A person who corrects knows the background, and
    the kind of those nuclei that have a dot.
    """
    every = [_nuclei(data / "nuclei_sparse", number, seed) for number in range(1, 7)]
    told = []
    for first in (0, 2, 4):
        scored = every[first : first + 2]
        trained = [
            replace(
                each,
                strokes=replace(each.strokes, pixels=np.array(each.strokes.pixels)),
            )
            for each, _ in every[:first] + every[first + 2 :]
        ]
        print(f" images {first + 1} and {first + 2} held out", flush=True)

        def score(model: nu.Model, scored: Any = scored) -> Scores:
            return _score_nuclei(model, scored)

        told.append(rounds(trained, score, added=0.004, n_rounds=3, **how))
    return told


def _nuclei(folder: Path, number: int, seed: int) -> tuple[Painting, Array]:
    """Return an image to paint on, and the numbers of its nuclei."""
    image, dots, nuclei = (
        nu.open_stack(folder / kind / f"image_{number:02}.tif")
        for kind in ("raw_images", "annotations", "label_images")
    )
    numbers, kinds = np.asarray(nuclei), np.asarray(dots).astype(np.uint8)
    truth = np.where(numbers > 0, 0, 3).astype(np.uint8)
    for each in np.unique(numbers[(kinds > 0) & (numbers > 0)]):
        found = kinds[(numbers == each) & (kinds > 0)]
        truth[numbers == each] = np.bincount(found).argmax()
    background = draw_strokes(
        replace(nuclei, pixels=(numbers == 0).astype(np.uint8)),
        [0],
        share=0.01,
        seed=seed,
    )
    strokes = np.where(np.asarray(background) == 2, 3, kinds).astype(np.uint8)
    strokes[(truth == 3) & (strokes < 3)] = 0  # a dot beside its nucleus
    return Painting(image, replace(dots, pixels=strokes), (0,), truth), numbers


def _score_nuclei(model: nu.Model, scored: Sequence[tuple[Painting, Array]]) -> Scores:
    """Return the IoU of nuclei, and the share of the nuclei of the right kind."""
    hit = either = right = dotted = 0
    for painting, numbers in scored:
        found = np.asarray(nu.predict(model, painting.image, output="probabilities"))
        values = np.array(model.classes.values)
        nuclei, true = values[found.argmax(axis=0)] < 3, numbers > 0
        hit, either = hit + (nuclei & true).sum(), either + (nuclei | true).sum()
        for each in np.unique(numbers[np.isin(painting.truth, (1, 2))]):
            inside = numbers == each
            kind = 1 + found[:2, inside].sum(axis=1).argmax()
            right, dotted = right + (kind == painting.truth[inside][0]), dotted + 1
    return {"IoU of nuclei": hit / either, "kind right": right / dotted}


CASES = {"isbi": isbi, "nuclei_sparse": nuclei_sparse}


def main() -> None:
    """Run a data set and print the means of each round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("name", choices=[*CASES])
    parser.add_argument("--budget", default="1m", help="of each round")
    parser.add_argument("--steps", type=int, help="of each round, instead of a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validation", type=float, help="share that is held out")
    given = parser.parse_args()
    length = {"steps": given.steps} if given.steps else {"budget": given.budget}
    options = {**length, "seed": given.seed}
    if given.validation is not None:
        options["validation"] = given.validation
    told = CASES[given.name](given.data, given.seed, options=options)
    for number, scores in enumerate(zip(*told, strict=True), start=1):
        print(f"round {number}: {describe(scores)}")


if __name__ == "__main__":
    main()
