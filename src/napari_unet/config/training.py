"""The options of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from napari_unet.config.network import NETWORKS, ComputeConfig, NetworkConfig
from napari_unet.config.options import option, own, same
from napari_unet.config.values import read_names, seconds
from napari_unet.errors import ConfigError
from napari_unet.presets import AUGMENTATIONS, PRESETS


@dataclass(frozen=True)
class TrainingConfig(ComputeConfig):
    """Everything a training can be told."""

    preset: str | None = option(
        None,
        "How thorough, or options of a published training; those given besides count "
        "more.",
        choices=tuple(PRESETS),
    )
    budget: str = option(
        "3m",
        "Time to train for, such as 90s, 3m or 1h30m; ignored when steps or epochs "
        "is set.",
    )
    steps: int | None = option(
        None, "Steps to train for, instead of a time.", usual=1000, minimum=1
    )
    epochs: int | None = option(
        None,
        "Epochs to train for, instead of a time; one shows as many patches as cover "
        "the annotated pixels once.",
        usual=10,
        minimum=1,
    )
    steps_per_epoch: int | None = option(
        None,
        "Steps of an epoch, instead of those that cover the pixels.",
        usual=100,
        minimum=1,
    )
    init: str | None = option(
        None, "Model to start from: a run folder or .safetensors file."
    )
    seed: int = option(0, "Start of all random numbers.", minimum=0, maximum=2**31 - 1)
    task: str = option(
        "classes",
        "What is learnt: the class of each pixel, or by regression a value.",
        choices=("classes", "regression"),
    )
    ignore: tuple[int, ...] = option(
        (),
        "Mask values that are neither trained nor scored, such as 254,255.",
        minimum=-(2**31),
    )
    zero_is_unlabelled: bool = option(
        False, "Whether mask value 0 means not annotated (scribbles)."
    )
    class_names: str | None = option(
        None,
        "Names of the classes by mask value, such as 0=background,255=nucleus; by "
        "default those of a classes.yaml beside the masks.",
    )
    objects: str = option(
        "no",
        "What the numbers of objects become: no, as they are no numbers; foreground; "
        "foreground with a border, which keeps touching objects apart; or for "
        "regression the distance to the border in pixels.",
        choices=("no", "foreground", "border", "distance"),
    )
    border_width: int = option(
        2, "Pixels from the edge of an object that are border.", minimum=1, maximum=64
    )
    network: str = same(NetworkConfig, "name")
    depth: int | None = own(NetworkConfig, "depth")
    width: int | None = own(NetworkConfig, "width")
    dropout: float | None = own(NetworkConfig, "dropout")
    context: int = same(NetworkConfig, "context")
    anisotropy: float | None = option(
        None,
        "How many times deeper than wide a voxel is, for a 3-D network; by default as "
        "the pixel size says.",
        usual=1,
        minimum=0.01,
        maximum=100,
    )
    patch_size: int | None = option(
        None,
        "Rows and columns of a training patch; by default the network's own.",
        usual=256,
        minimum=16,
        maximum=2048,
    )
    patch_depth: int | None = option(
        None,
        "Sections of a training patch, for a 3-D network; by default what suits the "
        "voxels.",
        usual=16,
        minimum=1,
        maximum=512,
    )
    pretrained: bool = option(
        True, "Whether an encoder (unet-<encoder>) starts with its published weights."
    )
    freeze: float = option(
        0.0,
        "Share of the budget during which the encoder stays as it is.",
        minimum=0,
        maximum=1,
    )
    batch_size: int = option(2, "Patches in one step.", minimum=1, maximum=512)
    optimizer: str = option(
        "adamw",
        "How the weights are moved: AdamW, Adam, RMSprop, or SGD with momentum 0.99 "
        "(2015 paper).",
        choices=("adamw", "adam", "rmsprop", "sgd"),
    )
    learning_rate: float | None = option(
        None,
        "Step size after warm-up; by default the optimizer's: 0.002, of rmsprop 0.001, "
        "of sgd 0.01; a quarter of it with a pretrained encoder.",
        minimum=1e-7,
        maximum=1,
    )
    schedule: str = option(
        "cosine",
        "How the step size falls: as half a cosine, by half when the validation score "
        "no longer rises, or not at all.",
        choices=("cosine", "plateau", "constant"),
    )
    weight_decay: float | None = option(
        None,
        "Pull on the weights towards zero; by default the optimizer's: 0.01 of adamw, "
        "else 0.",
        minimum=0,
        maximum=1,
    )
    clip: float | None = option(
        None, "Largest norm of the gradient; by default any.", usual=1, minimum=1e-3
    )
    averaging: float = option(
        0.99,
        "Decay of the running average of the weights; 0 averages nothing.",
        minimum=0,
        maximum=0.9999,
    )
    loss: str = option(
        "auto",
        "What is minimised; border-cross-entropy is that of the 2015 paper, and auto "
        "takes it for membranes, for other classes cross-entropy-dice, for regression "
        "mse.",
        choices=(
            "auto",
            "border-cross-entropy",
            "cross-entropy",
            "dice",
            "cross-entropy-dice",
            "focal",
            "tversky",
            "mse",
            "mae",
        ),
    )
    focal_gamma: float = option(
        2.0,
        "How much less easy pixels count in the focal loss; 0 is cross-entropy.",
        minimum=0,
        maximum=5,
    )
    tversky_alpha: float = option(
        0.3,
        "Weight of false positives in the Tversky loss; false negatives have the rest "
        "to 1, and 0.5 is dice.",
        minimum=0,
        maximum=1,
    )
    class_balance: bool | None = option(
        None,
        "Whether rare classes weigh more (2015 paper, w_c), in any loss; by default "
        "in border-cross-entropy, and for scribbles.",
    )
    border_weight: float | None = option(
        None,
        "Extra weight of narrow gaps between objects (2015 paper, w_0), in any loss; "
        "by default 10 in border-cross-entropy, else 0.",
        usual=10,
        minimum=0,
        maximum=1000,
    )
    border_sigma: float = option(
        5.0,
        "Width of such a gap in pixels (2015 paper, sigma).",
        minimum=0.1,
        maximum=100,
    )
    augment: str = option(
        "default",
        "How much training patches are varied; each option from flip to blur "
        "changes one part of it.",
        choices=tuple(AUGMENTATIONS),
    )
    flip: bool | None = option(None, "Whether patches are mirrored at random.")
    rotate: bool | None = option(None, "Whether patches are turned at random.")
    deformed: float | None = option(
        None,
        "Share of patches turned by any angle, scaled and bent; the others keep the "
        "pixel grid.",
        minimum=0,
        maximum=1,
    )
    scale: float | None = option(
        None,
        "Largest random change of size; 0.1 is 0.9 to 1.1 times.",
        minimum=0,
        maximum=0.5,
    )
    elastic: float | None = option(
        None,
        "Standard deviation of the elastic displacements in pixels.",
        minimum=0,
        maximum=50,
    )
    intensity: float | None = option(
        None,
        "Strength of random brightness, contrast and noise, in image "
        "standard deviations.",
        minimum=0,
        maximum=2,
    )
    gamma: float | None = option(
        None,
        "Spread of the logarithm of a random gamma, which favours dark or bright.",
        minimum=0,
        maximum=2,
    )
    blur: float | None = option(
        None,
        "Largest random blur: a standard deviation in pixels.",
        minimum=0,
        maximum=10,
    )
    elastic_grid: int | None = option(
        None,
        "Elastic displacements along each side of a patch (3 in the 2015 paper); by "
        "default one every 64 pixels.",
        usual=3,
        minimum=2,
        maximum=64,
    )
    multiscale: bool = option(
        False,
        "Whether every patch is drawn at a random size, 0.5 to 1.5 times, instead of "
        "that of scale.",
    )
    validation: float | None = option(
        None,
        "Share of the annotated data held out to judge the model; by default 0.1, but "
        "nothing where a twentieth or less is annotated, as by strokes.",
        usual=0.1,
        minimum=0,
        maximum=0.5,
    )
    patience: int | None = option(
        None,
        "Validations without progress before stopping early (of about 20).",
        usual=5,
        minimum=1,
    )
    checkpoint_every: float = option(
        15.0, "Seconds between checkpoints to resume from.", minimum=0, maximum=3600
    )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build the config from `to_dict`'s result, or from some options.

        What is not given is taken from the preset, if one is named; a time or steps
        given also replace its epochs.

        Raises
        ------
        ConfigError
            If a name is unknown or a value out of range.
        """
        preset = PRESETS.get(str(values.get("preset")), {})
        if values.keys() & {"budget", "steps"}:
            preset = {name: preset[name] for name in preset if "epoch" not in name}
        return super().from_dict({**preset, **values})

    def __post_init__(self) -> None:
        super().__post_init__()
        seconds(self.budget)
        read_names(self.class_names)
        if self.steps and self.epochs:
            raise ConfigError(
                f"steps is {self.steps} and epochs is {self.epochs}, but only one of "
                "them can say how long to train: leave the other out."
            )
        self._check_task()
        if self.freeze and not self.init and self.network in NETWORKS:
            raise ConfigError(
                f"freeze is {self.freeze:g}, but {self.network} starts from random "
                "weights, which must learn: leave freeze out, or start from a model "
                "(init) or with a pretrained encoder (network unet-<encoder>)."
            )
        if self.steps_per_epoch and not self.epochs:
            raise ConfigError(
                f"steps_per_epoch is {self.steps_per_epoch}, but there are no epochs: "
                "say how many by epochs, or leave it out."
            )

    def _check_task(self) -> None:
        if self.loss != "auto" and self.regresses != (self.loss in ("mse", "mae")):
            raise ConfigError(
                f"The loss is {self.loss} and the task {self.task}, which do not go "
                "together: mse and mae are losses of regression, the others of classes."
            )
        if self.regresses != (self.objects == "distance") and self.objects != "no":
            raise ConfigError(
                f"objects is {self.objects} and the task {self.task}, which do not go "
                "together: distance is for regression, foreground and border for "
                "classes."
            )
        if self.class_names and (self.regresses or self.objects != "no"):
            raise ConfigError(
                f"class_names is {self.class_names!r}, but with task {self.task} and "
                f"objects {self.objects} there are no classes to name: leave it out."
            )
        if self.regresses and (self.class_balance or self.border_weight):
            raise ConfigError(
                f"class_balance is {self.class_balance} and border_weight "
                f"{self.border_weight}, but regression has no classes to weigh: leave "
                "them out."
            )

    @property
    def heeds_progress(self) -> bool:
        """Whether the score of what is held out decides how the training goes on."""
        return self.schedule == "plateau" or self.patience is not None

    @property
    def regresses(self) -> bool:
        """Whether values are predicted instead of classes."""
        return self.task == "regression"
