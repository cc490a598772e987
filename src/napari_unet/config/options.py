"""What an option is, and a frozen set of them that is checked when it is built."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self, get_origin, get_type_hints

from napari_unet.config.values import whole_numbers
from napari_unet.errors import ConfigError

GROUPS = {
    "device": "computing",
    "preset": "how long, and from what",
    "task": "what is learnt from the mask",
    "network": "network",
    "batch_size": "optimiser",
    "loss": "loss",
    "augment": "augmentation",
    "validation": "validation and checkpoints",
    "membranes": "scores",
    "object_dims": "objects",
    "tile": "computing",
    "format": "files",
    "workers": "cluster",
}
"""Titles under which the options are shown, by the first option of each."""


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


def same(config: type[Config], name: str) -> Any:
    """Take over an option that another config class defines."""
    other = config.__dataclass_fields__[name]
    return field(default=other.default, metadata=other.metadata)


def own(config: type[Config], name: str) -> Any:
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
