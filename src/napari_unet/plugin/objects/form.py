"""The options of objects as fields, of which those are seen that matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout
from superqt import QCollapsible, QLabeledDoubleSlider

from napari_unet.plugin.objects.input import BORDER, CELLS, DISTANCE, PIECES, SPLIT
from napari_unet.plugin.parts.forms import OptionsForm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_unet.config import Option

_SLIDERS = ("object_threshold", "seed_threshold", "neck")
_STEP = 0.01
_FARTHEST = 50.0  # pixels, where a threshold is a distance
_USED = {  # which of the options that not every method uses
    PIECES: {"object_threshold"},
    SPLIT: {"object_threshold", "seed_threshold", "neck"},
    CELLS: {"seed_threshold", "neck", "with_border"},
    BORDER: {"object_threshold", "seed_threshold", "neck", "with_border"},
    DISTANCE: {"object_threshold", "seed_threshold"},
}
_OF_PROBABILITIES = {"object_threshold", "seed_threshold"}


class SliderField(QLabeledDoubleSlider):
    """A number on a slider, which can be typed as well."""

    changed = Signal()

    def __init__(self, value: float) -> None:
        super().__init__()
        self.setRange(0, 1)
        self.setDecimals(2)
        self.setSingleStep(_STEP)
        self.setValue(value)
        self.valueChanged.connect(self.changed)


class ObjectForm(OptionsForm):
    """The options of `napari_unet.config.ObjectConfig`, unfolded.

    Parameters
    ----------
    options : iterable of Option
    """

    def __init__(self, options: Iterable[Option]) -> None:
        given = list(options)
        sliders = {
            each.name: SliderField(each.default)
            for each in given
            if each.name in _SLIDERS
        }
        # Whether objects are split is what the method says.
        super().__init__(given, elsewhere=["split"], made=sliders)
        self.field("split").hide()
        for each in self.findChildren(QCollapsible):
            each.expand(animate=False)
        self._method = ""

    def suit(self, method: str, layer: Any) -> None:
        """Show the options of a method, from which it starts with values of its own."""
        shown = set(_USED[method])
        if isinstance(layer, Labels):
            shown -= _OF_PROBABILITIES
        for name in set().union(*_USED.values()):
            field = self.field(name)
            form = field.parentWidget().layout()
            assert isinstance(form, QFormLayout)
            form.setRowVisible(field, name in shown)
        if method == self._method:
            return
        self._method = method
        farthest = _FARTHEST if method == DISTANCE else 1.0
        for name in _OF_PROBABILITIES:
            self.field(name).setRange(0, farthest)
        # A cell's own shape may have necks; only a membrane parts it.
        neck = 1.0 if method == CELLS else 0.25
        self.enter({"split": method == SPLIT, "neck": neck})
