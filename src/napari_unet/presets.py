"""Named sets of options, as plain values."""

from __future__ import annotations

from typing import Any

AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {
        "flip": False,
        "rotate": False,
        "deformed": 0.0,
        "scale": 0.0,
        "elastic": 0.0,
        "intensity": 0.0,
        "gamma": 0.0,
        "blur": 0.0,
    },
    "light": {
        "flip": True,
        "rotate": True,
        "deformed": 0.5,
        "scale": 0.05,
        "elastic": 0.0,
        "intensity": 0.1,
        "gamma": 0.0,
        "blur": 0.0,
    },
    "default": {
        "flip": True,
        "rotate": True,
        "deformed": 0.5,
        "scale": 0.1,
        "elastic": 4.0,
        "intensity": 0.3,
        "gamma": 0.0,
        "blur": 0.0,
    },
    # For microscopes that differ: staining, exposure and focus vary by as much.
    "strong": {
        "flip": True,
        "rotate": True,
        "deformed": 0.75,
        "scale": 0.25,
        "elastic": 8.0,
        "intensity": 0.5,
        "gamma": 0.3,
        "blur": 1.0,
    },
}
"""What each word of the option ``augment`` stands for."""

NETWORK_SIZES: dict[str, dict[str, Any]] = {
    "unet-2015": {"width": 64, "dropout": 0.5, "patch_size": 572},
    "unet-keras": {"width": 64, "dropout": 0.5},
    "unet-small": {"width": 8},
    "unet-xception": {"width": 32, "patch_size": 160},
}
"""See `usual_sizes`."""

VOLUME_SIZES = {"depth": 3, "patch_size": 48}
"""Likewise of networks for volumes; the patch is one of cubic voxels."""


def usual_sizes(network: str) -> dict[str, Any]:
    """Return what a network takes where nothing is said, if it is not the usual."""
    sizes = NETWORK_SIZES.get(network.removesuffix("-3d"), {})
    return {**sizes, **VOLUME_SIZES} if network.endswith("-3d") else sizes


RATES: dict[str, dict[str, float]] = {
    "adamw": {"learning_rate": 2e-3, "weight_decay": 1e-2},
    "adam": {"learning_rate": 2e-3, "weight_decay": 0.0},
    "rmsprop": {"learning_rate": 1e-3, "weight_decay": 0.0},  # as Keras
    "sgd": {"learning_rate": 1e-2, "weight_decay": 0.0},
}
"""What an optimiser takes where nothing is said."""

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"budget": "2m"},
    "good": {"budget": "10m"},
    # As long as it pays: the step size is halved when the score no longer rises, and
    # the training ends when that did not help twice more.
    "best": {"budget": "1h", "schedule": "plateau", "patience": 6},
    # Momentum 0.99, one large tile at a time, border weights with w_0 = 10 and
    # sigma = 5, 3 by 3 displacements of 10 pixels. The paper names no learning rate.
    "ronneberger2015": {
        "network": "unet-2015",
        "patch_size": 572,
        "batch_size": 1,
        "optimizer": "sgd",
        "averaging": 0.0,
        "loss": "border-cross-entropy",
        "class_balance": True,
        "border_weight": 10.0,
        "border_sigma": 5.0,
        "deformed": 1.0,
        "scale": 0.0,
        "elastic": 10.0,
        "elastic_grid": 3,
    },
    # Binary cross-entropy of one output is cross-entropy of two.
    "keras-isbi": {
        "network": "unet-keras",
        "patch_size": 512,
        "batch_size": 2,
        "optimizer": "adam",
        "learning_rate": 1e-4,
        "schedule": "constant",
        "averaging": 0.0,
        "loss": "cross-entropy",
        "epochs": 3,
        "steps_per_epoch": 100,
        "augment": "light",
    },
    # RMSprop as Keras has it, 1000 of 7390 images held out, no augmentation.
    "xception-pets": {
        "network": "unet-xception",
        "patch_size": 160,
        "batch_size": 32,
        "optimizer": "rmsprop",
        "learning_rate": 1e-3,
        "schedule": "constant",
        "averaging": 0.0,
        "loss": "cross-entropy",
        "epochs": 15,
        "seed": 1337,
        "validation": 0.135,
        "augment": "none",
    },
    "multiscale": {"multiscale": True},
}
"""Options that go together, as in published trainings, by the word that the option
``preset`` takes."""

TITLES: dict[str, str] = {
    "quick": "Quick",
    "good": "Good",
    "best": "Best: while it improves",
    "ronneberger2015": "As in the 2015 paper",
    "keras-isbi": "As in the Keras ISBI example",
    "xception-pets": "As in the Keras pets example",
    "multiscale": "Patches of many scales",
}
"""What the widgets call each preset."""
