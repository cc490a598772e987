"""The options of the Train widget, and how they hang together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from napari_unet.config import TrainingConfig, options, seconds
from napari_unet.errors import ConfigError
from napari_unet.plugin.parts.fields import BudgetField, choice
from napari_unet.plugin.parts.forms import OptionsForm
from napari_unet.plugin.parts.models import ModelChoice, told_by
from napari_unet.plugin.settings import Follower, preferences
from napari_unet.plugin.train.data_box import DataBox
from napari_unet.presets import (
    AUGMENTATIONS,
    PRESETS,
    RATES,
    TITLES,
    usual_sizes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_unet.plugin.session import Session

_SHOWN_ELSEWHERE = {"budget", "zero_is_unlabelled", "class_names"}
_USUAL = {o.name: o.usual for o in options(TrainingConfig) if o.usual is not None}


class TrainOptions(QObject):
    """The fields of `TrainingConfig`: each changes what suits in the others.

    Parameters
    ----------
    session : Session
        Its models are offered to continue from.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.init = ModelChoice("nothing: start afresh", session)
        self.preset = choice(
            {title: name for name, title in TITLES.items()} | {"Own": None}, ""
        )
        self.preset.setMinimumContentsLength(5)  # the minutes are beside it
        self.advanced = OptionsForm(
            (o for o in options(TrainingConfig) if o.name not in _SHOWN_ELSEWHERE),
            elsewhere=("preset", "init", *DataBox.SHOWN),
            made={"init": self.init, "preset": self.preset},
        )
        Follower(self.advanced)
        self.budget = BudgetField()
        minutes = preferences().get("training", "minutes")
        alike = [
            each for each in ("quick", "good") if _minutes(PRESETS[each]) == minutes
        ]
        self.advanced.enter({"preset": alike[0] if alike else None})
        self.budget.setValue(minutes)
        self.advanced.changed.connect(self._on_changed)
        self.preset.currentIndexChanged.connect(self._on_preset)
        self.init.box.activated.connect(self._on_continue)
        self._on_changed()

    def values(self) -> dict[str, Any]:
        """Return all that is entered, by option name."""
        return {**self.advanced.values(), "budget": self.budget.budget()}

    def enter_stored(self, stored: Mapping[str, Any]) -> None:
        """Enter the options of a run that was chosen, to be resumed with them."""
        try:
            TrainingConfig.from_dict({**stored})
        except (ConfigError, TypeError):
            return  # of another version, or damaged: the worker will say what is wrong
        self.advanced.enter(stored)
        if "budget" in stored:
            self.budget.setValue(_minutes(stored))

    def _on_changed(self) -> None:
        entered = self.advanced.values()
        self.budget.setEnabled(not (entered["steps"] or entered["epochs"]))
        self.advanced.suggest(
            {
                **_USUAL,
                **usual_sizes(entered["network"]),
                **RATES[entered["optimizer"]],
                **AUGMENTATIONS[entered["augment"]],
            }
        )

    def _on_preset(self) -> None:
        """Enter what the preset says, and the default of what it leaves open."""
        asked = set().union(*PRESETS.values())
        usual = {o.name: o.default for o in options(TrainingConfig) if o.name in asked}
        says = PRESETS.get(self.preset.currentData(), {})
        self.advanced.enter({**usual, **says})
        if "budget" in says:
            self.budget.setValue(_minutes(says))

    def _on_continue(self) -> None:
        """Enter what the network of an earlier run is like, and what it was told."""
        path = self.init.path()
        if path is not None and (told := told_by(path)):
            self.advanced.enter(told)


def _minutes(options: Mapping[str, Any]) -> float:
    return seconds(options["budget"]) / 60
