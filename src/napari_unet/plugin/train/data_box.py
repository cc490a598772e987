"""The data that the Train widget learns from."""

from __future__ import annotations

from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtWidgets import QGroupBox

from napari_unet.config import write_names
from napari_unet.data.masks.annotations import STROKES, are_strokes
from napari_unet.data.masks.classes import share
from napari_unet.errors import UNetError
from napari_unet.plugin.parts.choices import LayerChoice
from napari_unet.plugin.parts.fields import at_top, choice, form_in, paragraph
from napari_unet.plugin.train.classes_view import ClassesView
from napari_unet.plugin.train.job import stacks_of
from napari_unet.plugin.train.pairs import LayerPair, PairList

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.data import Stack
    from napari_unet.plugin.parts.forms import OptionsForm
    from napari_unet.plugin.replay.train_recipe import TrainedPair

ZERO_KEY = "napari-unet zero"
"""In a labels layer's metadata: whether the user said that 0 is not annotated."""

_ZERO = {"a class, such as background": False, "not annotated (scribbles)": True}
_ALIKE = 3  # letters with which two names begin that belong together


class DataBox(QGroupBox):
    """An image, its labels, and what these mean.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    options : OptionsForm
        Of `TrainingConfig`; its fields `SHOWN` are put here.
    """

    SHOWN = ("objects",)

    def __init__(self, viewer: ViewerModel, options: OptionsForm) -> None:
        super().__init__("Data")
        self._viewer, self._options = viewer, options
        self._suggesting = False
        self.image = LayerChoice(viewer, Image, "open an image first")
        self.image.setToolTip("<p>The image layer to learn from.</p>")
        self.labels = LayerChoice(viewer, Labels, "open or paint labels first")
        self.labels.setToolTip("<p>The layer that says what is where in it.</p>")
        self.classes = ClassesView()
        self.zero = choice(_ZERO, "What the value 0 in the labels means.")
        self.pairs = PairList(lambda: (self.image.layer, self.labels.layer))
        self.note, self.about_zero = paragraph(), paragraph()
        self._make_rows()
        self.image.rank, self.labels.rank = self._rank_image, self._rank_labels
        for each in (self.image, self.labels):
            each.chosen.connect(partial(self._on_chosen, each))
        self.zero.currentIndexChanged.connect(self._on_zero)
        self.classes.counted.connect(self._on_counted)
        self.classes.picked.connect(self._paint)
        options.changed.connect(self._on_options)
        self._suggesting = True
        self.image.suggest()
        self.labels.suggest()
        self._suggesting = False
        self._on_options()
        self._on_chosen()

    def _make_rows(self) -> None:
        self._form = form = form_in(self)
        form.setVerticalSpacing(4)
        form.addRow("Image", self.image)
        form.addRow("Labels", self.labels)
        form.addRow(self.note)
        form.addRow(at_top("And"), self.pairs)
        form.addRow(at_top("Classes"), self.classes)
        form.addRow("Objects", self._options.field("objects"))
        form.addRow("0 means", self.zero)
        form.addRow(self.about_zero)

    def stacks(self) -> list[tuple[Stack, Stack]]:
        """Return the image with its labels, and all others to train on besides.

        Raises
        ------
        UNetError
            If one is missing, or they do not belong to each other.
        """
        first = stacks_of(self.image.layer, self.labels.layer)
        return [first, *self.pairs.stacks()]

    def layers(self) -> list[tuple[Any, Any]]:
        """Return the layers of `stacks`, None for files."""
        return [(self.image.layer, self.labels.layer), *self.pairs.layers()]

    def replayed(self) -> list[TrainedPair]:
        """Return what a copied command names of `stacks`.

        Raises
        ------
        UNetError
            As `stacks`.
        """
        self.stacks()  # says what is missing
        first = LayerPair.of(self.image.layer, self.labels.layer)
        return [first.replayed(), *self.pairs.replayed()]

    def values(self) -> dict[str, Any]:
        """Return the options that are entered here, by name."""
        return {
            "zero_is_unlabelled": self.zero.currentData(),
            "class_names": write_names(self.classes.names()),
        }

    def refresh(self) -> None:
        """Follow the layers of the viewer."""
        self._suggesting = True  # each with the other in view: both lists come first
        self.image.refresh()
        self.labels.refresh()
        self._suggesting = False
        self.pairs.refresh(self._viewer.layers)
        self._on_chosen()

    # -- which layers --------------------------------------------------------------

    def _on_chosen(self, by_user: LayerChoice | None = None) -> None:
        if self._suggesting:
            return
        self._suggesting = True
        if not fit(self.image.layer, self.labels.layer):
            for kept in [by_user] if by_user else [self.image, self.labels]:
                if self._match(kept):
                    break
        self._suggesting = False
        self._say_what_is_unclear()
        self._follow()

    def _match(self, kept: LayerChoice) -> bool:
        """Choose in the other list what fits the layer in one, if there is any."""
        by_image = kept is self.image
        other = self.labels if by_image else self.image
        pairs = [
            (kept.layer, each) if by_image else (each, kept.layer)
            for each in reversed(other.given)
        ]
        fitting = [pair for pair in pairs if fit(*pair)]
        if fitting:
            other.choose(max(fitting, key=lambda pair: _alike(*pair))[by_image])
            other.by_hand = False  # it was taken for the other's sake
        return bool(fitting)

    def _rank_image(self, image: Any) -> bool:
        return any(fit(image, each) for each in self.labels.given)

    def _rank_labels(self, labels: Any) -> tuple[bool, int]:
        image = self.image.layer
        return (fit(image, labels), _alike(image, labels) if image else 0)

    def _say_what_is_unclear(self) -> None:
        image, labels = self.image.layer, self.labels.layer
        text = ""
        if image is not None and labels is not None and not fit(image, labels):
            text = (
                f"{labels.name!r} {tuple(labels.data.shape)} does not fit "
                f"{image.name!r} {tuple(image.data.shape)}, and no other layer does."
            )
        elif labels is not None and not self.labels.by_hand:
            best = self._rank_labels(labels)
            rivals = [
                each.name
                for each in self.labels.given
                if each != labels and self._rank_labels(each) == best
            ]
            if rivals and image is not None:
                others = " and ".join(map(repr, rivals[:2]))
                text = f"{others} would fit as well: choose which to learn from."
        self.note.setText(text)
        self._form.setRowVisible(self.note, bool(text))

    # -- what they mean ------------------------------------------------------------

    def _on_options(self) -> None:
        entered = self._options.values()
        regresses = entered["task"] == "regression"
        # The values to regress are more often an image.
        self.labels.offer(*((Labels, Image) if regresses else (Labels,)))
        self._form.setRowVisible(self.classes, not regresses)
        self._follow()
        self.classes.set_options(
            **{name: entered[name] for name in ("ignore", "objects", "border_width")},
            zero_is_unlabelled=self.zero.currentData(),
        )
        self._on_counted()

    def _follow(self) -> None:
        counted = self._form.isRowVisible(self.classes)
        layer = self.labels.layer if counted else None
        if layer is not None and not self.classes.follows(layer):
            self._suggest_zero(bool(layer.metadata.get(ZERO_KEY, False)))
        self.classes.follow(layer)

    def _on_zero(self) -> None:
        if not self._suggesting and self.labels.layer is not None:
            self.labels.layer.metadata[ZERO_KEY] = self.zero.currentData()
        self._on_options()

    def _on_counted(self) -> None:
        counts = self.classes.counts  # none where an error is shown, perhaps due to it
        self.zero.setEnabled(not counts or 0 in counts)
        # Two values are no numbers of objects, and strokes are none either.
        entered = self._options.values()
        numbered = len(counts) != 2 and not are_strokes(counts)
        numbered |= entered["objects"] != "no"
        self._form.setRowVisible(self._options.field("objects"), numbered)
        text = ""
        if counts and entered["objects"] == "no" and entered["task"] == "classes":
            text = self._explain_zero(counts)
        self.about_zero.setText(text)
        self._form.setRowVisible(self.about_zero, bool(text))

    def _explain_zero(self, counts: dict[int, int]) -> str:
        """Choose what 0 means where the user has not; return why, if that helps."""
        strokes = are_strokes(counts)
        if ZERO_KEY in self.labels.layer.metadata:
            return ""
        if self.zero.currentData() != strokes:
            self._suggest_zero(strokes)
        total = sum(counts.values())
        painted = share(total - counts.get(0, 0), total)
        few = total - counts.get(0, 0) < STROKES * total
        if strokes:
            return (
                f"Only {painted} is painted, so 0 was taken for not annotated. "
                "Choose otherwise if it is the background."
            )
        if len(counts) == 2 and 0 in counts and few:
            return (
                f"Only {painted} is painted: if these are strokes, paint some of "
                "the background with a value of its own, too."
            )
        return ""

    def _suggest_zero(self, unlabelled: bool) -> None:
        before, self._suggesting = self._suggesting, True
        self.zero.setCurrentIndex(self.zero.findData(unlabelled))
        self._suggesting = before

    def _paint(self, value: int) -> None:
        layer = self.labels.layer
        self._viewer.layers.selection.active = layer
        layer.selected_label = value
        layer.mode = "paint"


def fit(image: Any, labels: Any) -> bool:
    """Tell whether two layers, of which none need be there, belong to each other."""
    try:
        stacks_of(image, labels)
    except UNetError:
        return False
    return True


def _alike(image: Any, labels: Any) -> int:
    """Return how many letters two names begin with alike, where that says anything."""
    letters = zip(image.name.lower(), labels.name.lower(), strict=False)
    alike = len(list(takewhile(lambda pair: pair[0] == pair[1], letters)))
    return alike if alike >= _ALIKE else 0
