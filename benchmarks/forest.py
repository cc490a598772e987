"""What a random forest on scikit-image's features reaches on the data of results.py.

``python benchmarks/forest.py DATA nuclei_dsb2018 retina_drive`` prints its scores: the
yardstick beside which those of a network can be read. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from results import CASES, mean
from scipy.ndimage import label
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

import napari_unet as nu
from napari_unet.evaluation import score_objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

PIXELS = 5_000  # learnt from, of each image


def main() -> None:
    """Train on the first images, as the networks do, and score the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="+")
    given = parser.parse_args()
    for name in given.names:
        case = CASES[name]
        folders = given.data / case.image, given.data / case.labels
        pairs = list(zip(*(sorted(each.iterdir()) for each in folders), strict=True))
        seen, unseen = pairs[: case.trained], pairs[case.trained :]
        print(f"{name}: {mean([score(learn(seen), unseen)])}")


def learn(pairs: list[tuple[Path, Path]]) -> RandomForestClassifier:
    """Fit a forest to some pixels of each image: foreground or not."""
    random = np.random.default_rng(0)
    features, truths = [], []
    for image, labels in pairs:
        truth = read(labels).ravel() > 0
        chosen = random.choice(truth.size, PIXELS, replace=False)
        features.append(describe(image)[chosen])
        truths.append(truth[chosen])
    forest = RandomForestClassifier(50, min_samples_leaf=2, n_jobs=-1, random_state=0)
    return forest.fit(np.concatenate(features), np.concatenate(truths))


def score(
    forest: RandomForestClassifier, pairs: list[tuple[Path, Path]]
) -> dict[str, float]:
    """Return Dice of the foreground, and AP of its connected pieces."""
    hit = both = 0
    objects = []
    for image, labels in pairs:
        truth = read(labels)
        found = forest.predict(describe(image)).reshape(truth.shape)
        hit += int((found & (truth > 0)).sum())
        both += int(found.sum() + (truth > 0).sum())
        objects.append((label(found)[0], truth))
    return {"Dice": 2 * hit / both, "AP50": score_objects(objects).matches[0].ap}


def describe(image: Path) -> Array:
    """Compute intensity, edges and texture at scales of 0.5 to 16 pixels."""
    stack = nu.open_stack(image)
    pixels = np.moveaxis(stack.section(0).astype(np.float32), 0, -1)
    features = multiscale_basic_features(pixels, channel_axis=-1)
    return features.reshape(-1, features.shape[-1])


def read(labels: Path) -> Array:
    return nu.open_stack(labels).section(0)[0]


if __name__ == "__main__":
    main()
