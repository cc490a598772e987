"""Every option of the program, defined once.

The command line flags, the widgets and the ``config.json`` of a run folder are all
derived from the dataclasses here, through `options`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self, get_origin, get_type_hints

from napari_unet.errors import ConfigError
from napari_unet.presets import AUGMENTATIONS, PRESETS


@dataclass(frozen=True)
class Option:
    """One option as the command line and the widgets see it.

    Attributes
    ----------
    name : str
        Field name, for example ``"learning_rate"``.
    type : type
        ``int``, ``float``, ``str`` or ``bool``.
    default : int, float, str, bool or None
        The value used when nothing is given.
    help : str
        One sentence for tooltips and ``--help``.
    minimum, maximum : float or None
        Inclusive bounds of a number.
    choices : tuple of str or int
        The allowed values; empty when any are.
    suggestions : tuple of str
        Words to choose from, where others are allowed too.
    optional : bool
        Whether ``None`` is allowed.
    many : bool
        Whether it is a list, of any length, of such values.
    usual : float or None
        A value to start from, for a number that is left out by default.
    group : str
        The title of `GROUPS` under which it is shown.
    """

    name: str
    type: type
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] | tuple[int, ...] = ()
    suggestions: tuple[str, ...] = ()
    optional: bool = False
    many: bool = False
    usual: float | None = None
    group: str = "options"

    def check(self, value: Any) -> None:
        """Raise `ConfigError` unless `value` is one this option allows."""
        if value is None and self.optional:
            return
        if self.many:
            for each in value:
                replace(self, many=False).check(each)
            return
        accepted: tuple[type, ...] = (
            (int, float) if self.type is float else (self.type,)
        )
        wrong_type = not isinstance(value, accepted) or (
            isinstance(value, bool) and self.type is not bool
        )
        if wrong_type or not self._in_range(value):
            raise ConfigError(
                f"{self.name} is {value!r}, but it must be {self.expectation}."
            )

    def _in_range(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if isinstance(value, float) and not math.isfinite(value):
            return False
        above = self.minimum is None or value >= self.minimum
        return above and (self.maximum is None or value <= self.maximum)

    @property
    def expectation(self) -> str:
        """The allowed values in words, for example ``"a whole number from 1 to 6"``."""
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        words = {int: "a whole number", float: "a number", bool: "true or false"}
        text = words.get(self.type, "text")
        if self.minimum is not None and self.maximum is not None:
            text += f" from {self.minimum:g} to {self.maximum:g}"
        elif self.minimum is not None:
            text += f" of at least {self.minimum:g}"
        return text + (" or nothing" if self.optional else "")


def option(
    default: Any,
    help: str,  # noqa: A002
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | tuple[int, ...] = (),
    suggestions: tuple[str, ...] = (),
    usual: float | None = None,
) -> Any:
    """Define one option of a config dataclass."""
    metadata = {
        "help": help,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "suggestions": suggestions,
        "usual": usual,
    }
    return field(default=default, metadata=metadata)


def _same(config: type[Config], name: str) -> Any:
    """Take over an option that another config class defines."""
    other = config.__dataclass_fields__[name]
    return field(default=other.default, metadata=other.metadata)


def _own(config: type[Config], name: str) -> Any:
    """Take over an option, by default left to the network chosen."""
    other = config.__dataclass_fields__[name]
    text = other.metadata["help"].removesuffix(".") + "; by default the network's own."
    own = {"help": text, "usual": other.default}
    return field(default=None, metadata={**other.metadata, **own})


def options(config: type[Config] | Config) -> list[Option]:
    """List the options of a config class, in the order they are defined."""
    hints = get_type_hints(config if isinstance(config, type) else type(config))
    found, group = [], "options"
    for each in fields(config):
        group = GROUPS.get(each.name, group)
        hint = hints[each.name]
        members = getattr(hint, "__args__", (hint,))
        found.append(
            Option(
                name=each.name,
                type=members[0],
                default=each.default,
                optional=type(None) in members,
                many=get_origin(hint) is tuple,
                group=group,
                **each.metadata,
            )
        )
    return found


@dataclass(frozen=True)
class Config:
    """A frozen set of options, each checked when it is built."""

    def __post_init__(self) -> None:
        for each in options(self):
            if each.many:
                given = whole_numbers(getattr(self, each.name), each.name)
                object.__setattr__(self, each.name, given)
            each.check(getattr(self, each.name))

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain values that JSON can hold."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build the config from `to_dict`'s result.

        Raises
        ------
        ConfigError
            If a name is unknown or a value out of range.
        """
        known = [each.name for each in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(
                f"Unknown option {', '.join(unknown)}; known are {', '.join(known)}."
            )
        return cls(**values)


GROUPS = {
    "device": "computing",
    "preset": "how long, and from what",
    "task": "what is learnt from the mask",
    "network": "network",
    "batch_size": "optimiser",
    "loss": "loss",
    "augment": "augmentation",
    "validation": "validation and checkpoints",
    "object_dims": "objects",
    "tile": "computing",
    "format": "files",
}
"""Titles under which the options are shown, by the first option of each."""


NETWORKS = (
    "unet",
    "unet-2015",
    "unet-keras",
    "unet-small",
    "unet-xception",
    "unet-attention",
    "unet-residual",
    "unet++",
    "unet-3d",
    "unet-small-3d",
    "unet-attention-3d",
    "unet-residual-3d",
    "unet++-3d",
)
"""The networks by name; `napari_unet.networks.family` builds them."""


@dataclass(frozen=True)
class NetworkConfig(Config):
    """The shape of a network: everything needed to build it again."""

    channels: int = option(1, "Channels of the input image.", minimum=1, maximum=64)
    classes: int = option(2, "Channels of the output.", minimum=1, maximum=64)
    depth: int = option(4, "How many times the image is halved.", minimum=1, maximum=6)
    width: int = option(
        16,
        "Features of the first level; each level doubles them.",
        minimum=1,
        maximum=256,
    )
    dropout: float = option(
        0.0, "Share of features dropped at the deepest level.", minimum=0, maximum=0.9
    )
    name: str = option(
        "unet",
        "Which network of the family; napari-unet networks lists them.",
        suggestions=NETWORKS,
    )
    dims: int = option(
        2, "2 for sections, 3 for volumes seen as a whole.", minimum=2, maximum=3
    )
    context: int = option(
        0,
        "Sections above and below each that a 2-D network sees besides.",
        minimum=0,
        maximum=16,
    )
    anisotropy: float = option(
        1.0,
        "How many times deeper than wide a voxel is, for a 3-D network.",
        minimum=0.01,
        maximum=100,
    )

    @property
    def inputs(self) -> int:
        """Channels that the first convolution sees: those of all sections it sees."""
        return self.channels * (2 * self.context + 1)


@dataclass(frozen=True)
class ComputeConfig(Config):
    """Where and how the network computes."""

    device: str = option(
        "auto",
        "Where to compute; auto takes a GPU when there is one.",
        choices=("auto", "cpu", "cuda", "mps"),
    )
    precision: str = option(
        "auto",
        "Number format; auto takes bf16 where the processor is made for it.",
        choices=("auto", "fp32", "bf16"),
    )


@dataclass(frozen=True)
class TrainingConfig(ComputeConfig):
    """Everything a training can be told."""

    preset: str | None = option(
        None,
        "Options of a published training, changed by those given besides.",
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
    network: str = _same(NetworkConfig, "name")
    depth: int | None = _own(NetworkConfig, "depth")
    width: int | None = _own(NetworkConfig, "width")
    dropout: float | None = _own(NetworkConfig, "dropout")
    context: int = _same(NetworkConfig, "context")
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
        "only in border-cross-entropy.",
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
    validation: float = option(
        0.1,
        "Share of the annotated data held out to judge the model.",
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
        if self.steps and self.epochs:
            raise ConfigError(
                f"steps is {self.steps} and epochs is {self.epochs}, but only one of "
                "them can say how long to train: leave the other out."
            )
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
        if self.regresses and (self.class_balance or self.border_weight):
            raise ConfigError(
                f"class_balance is {self.class_balance} and border_weight "
                f"{self.border_weight}, but regression has no classes to weigh: leave "
                "them out."
            )
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

    @property
    def regresses(self) -> bool:
        """Whether values are predicted instead of classes."""
        return self.task == "regression"


@dataclass(frozen=True)
class ObjectConfig(Config):
    """How objects are found in what a network predicts."""

    object_dims: int = option(
        2,
        "2 for objects of each section, 3 for objects that go through sections.",
        minimum=2,
        maximum=3,
    )
    object_threshold: float = option(
        0.5,
        "Probability above which a pixel belongs to an object, or for a distance map "
        "the distance.",
        minimum=0,
    )
    seed_threshold: float = option(
        0.5,
        "By how much the inside of an object is more probable than its border where it "
        "grows from, or for a distance map by how much its maximum stands out.",
        minimum=0,
    )
    neck: float = option(
        0.25,
        "By how much of its depth an object narrows where it is taken for two that "
        "touch; at 1 only a predicted border parts them.",
        minimum=0,
        maximum=1,
    )
    minimum_size: int = option(
        16, "Pixels below which an object is left out.", minimum=0
    )


@dataclass(frozen=True)
class PredictionConfig(ObjectConfig, ComputeConfig):
    """Everything a prediction can be told."""

    tile: int | None = option(
        None,
        "Largest rows and columns given to the network at once; by default as many as "
        "memory allows.",
        usual=512,
        minimum=16,
    )
    memory: str | None = option(
        None,
        "Memory to predict in, such as 2GB or 500MB, beside what is taken before; by "
        "default half of what is free.",
    )
    rescale: bool = option(
        False,
        "Resample the image to the pixel size that the model was trained at; results "
        "come back on the image's own grid.",
    )
    tta: int = option(
        1,
        "In how many orientations the network sees each tile, averaging what it says: "
        "4 are flips, 8 quarter turns too. Takes as many times as long.",
        choices=(1, 4, 8),
    )
    uncertainty: str = option(
        "none",
        "What is said of how sure each pixel is, from 0 to 1: the entropy of its "
        "probabilities, or how far the orientations (tta) disagree.",
        choices=("none", "entropy", "disagreement"),
    )
    engine: str = option(
        "torch",
        "What computes the network: torch; on a CPU openvino, which takes a second to "
        "start and is faster then; on an NVIDIA GPU compiled, by torch.",
        choices=("torch", "openvino", "compiled"),
    )

    def __post_init__(self) -> None:
        given: Any = self.memory
        if type(given) is int:  # bytes are as good
            object.__setattr__(self, "memory", str(given))
        super().__post_init__()
        if self.memory is not None:
            number_of_bytes(self.memory)
        if self.uncertainty == "disagreement" and self.tta == 1:
            raise ConfigError(
                "uncertainty is disagreement and tta 1, but one orientation cannot "
                "disagree: give tta 4 or 8, or take entropy."
            )


@dataclass(frozen=True)
class OutputConfig(Config):
    """How the results of a prediction are written."""

    format: str = option(
        "tiff",
        "What results are written as: TIFF files, or an OME-Zarr store, which an "
        "interrupted prediction goes on with.",
        choices=("tiff", "ome-zarr"),
    )
    ome_zarr: str = option(
        "0.5",
        "Version of OME-Zarr; older programs read 0.4.",
        choices=("0.5", "0.4"),
    )


def whole_numbers(given: Any, name: str) -> tuple[int, ...]:
    """Read ``"254,255"``, a number, several or nothing as a tuple of numbers.

    Raises
    ------
    ConfigError
        If there is anything else in it; the message calls the option `name`.
    """
    if given is None:
        return ()
    parts = (given,) if isinstance(given, int) else given
    try:
        if isinstance(given, str):
            parts = re.findall(r"[^,;\s]+", given)
        numbers = [int(part) if isinstance(part, str) else part for part in parts]
        if any(not isinstance(each, int) or isinstance(each, bool) for each in numbers):
            raise TypeError
    except (TypeError, ValueError):
        raise ConfigError(
            f"{name} is {given!r}, but it must be whole numbers, such as 254,255."
        ) from None
    return tuple(dict.fromkeys(numbers))


def seconds(budget: str | float) -> float:
    """Read a time budget such as ``"3m"``, ``"90s"``, ``"1h"`` or ``"1h30m"``.

    Parameters
    ----------
    budget : str or float
        The text, or a plain number of seconds.

    Returns
    -------
    float
        The budget in seconds, more than 0.

    Raises
    ------
    ConfigError
        If it cannot be read or is not positive.
    """
    text = str(budget).strip().lower()
    parts = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m(?:in)?)?(?:([\d.]+)s?)?", text)
    try:
        if not text or parts is None:
            raise ValueError
        hours, minutes, rest = (float(part or 0) for part in parts.groups())
        total = 3600 * hours + 60 * minutes + rest
        if not 0 < total < float("inf"):
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"The budget is {budget!r}, but it must be a time such as 90s, 3m or 1h30m."
        ) from None
    return total


def number_of_bytes(memory: str) -> int:
    """Read an amount of memory such as ``"2GB"``, ``"1.5 G"``, ``"500MB"`` or bytes.

    Raises
    ------
    ConfigError
        If it cannot be read, or is less than 1 MB.
    """
    text = memory.lower().replace(" ", "")
    found = re.fullmatch(r"(\d+\.?\d*)([kmgt]?)(?:i?b)?", text)
    power = " kmgt".index(found[2] or " ") if found else 0
    size = int(float(found[1]) * 1024**power) if found else 0
    if size < 2**20:
        raise ConfigError(
            f"memory is {memory!r}, but it must be at least 1MB, such as 2GB or 500MB."
        )
    return size
