"""Several images with their labels, for one training."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QGridLayout, QLabel, QWidget
from superqt.utils import create_worker

from napari_unet.data import Stack, check_pair
from napari_unet.data.masks.annotations import as_mask
from napari_unet.data.masks.find import count_values
from napari_unet.errors import UNetError
from napari_unet.plugin.parts.fields import button, row_of
from napari_unet.plugin.replay.sources import FileRef, LayerRef
from napari_unet.plugin.replay.train_recipe import TrainedPair
from napari_unet.plugin.train.job import stacks_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Stacks = tuple[Stack, Stack]

_FILES = "Images (*.tif *.tiff *.png *.jpg *.npy *.zarr);;All files (*)"


@dataclass(frozen=True)
class LayerPair:
    """Two layers, which may go at any time."""

    image: weakref.ref[Any]
    labels: weakref.ref[Any]

    @classmethod
    def of(cls, image: Any, labels: Any) -> LayerPair:
        """Note two layers; napari hands out proxies, which do not last."""
        layers = [getattr(each, "__wrapped__", each) for each in (image, labels)]
        return cls(*map(weakref.ref, layers))

    def within(self, layers: Any) -> bool:
        """Tell whether both are in the viewer still."""
        return all(each() is not None and each() in layers for each in self._both)

    def stacks(self) -> Stacks:
        """Describe both as stacks, as they are now."""
        return stacks_of(self.image(), self.labels())

    def replayed(self) -> TrainedPair:
        """Return what a copied command names."""
        return TrainedPair(LayerRef(self.image()), LayerRef(self.labels()))

    @property
    def name(self) -> str:
        """Of the image, as it is called now."""
        image = self.image()
        return str(image.name) if image is not None else ""

    @property
    def _both(self) -> tuple[weakref.ref[Any], weakref.ref[Any]]:
        return self.image, self.labels


@dataclass(frozen=True)
class FilePair:
    """Two files."""

    image: Path
    labels: Path

    @property
    def name(self) -> str:
        """Of the image."""
        return self.image.stem

    def within(self, _: Any) -> bool:
        """Files stay."""
        return True

    def stacks(self) -> Stacks:
        """Open both under the names that the user knows them by."""
        image = FileRef(self.image).given().stack
        mask = FileRef(self.labels).given(image).stack
        check_pair(image, mask)
        return replace(image, name=self.name), mask

    def replayed(self) -> TrainedPair:
        """Return what a copied command names."""
        return TrainedPair(FileRef(self.image), FileRef(self.labels))


class PairList(QWidget):
    """Further images that are trained on with the one that is chosen.

    Parameters
    ----------
    chosen : callable
        Returns the image layer and the labels layer that are chosen now.
    """

    changed = Signal()

    def __init__(self, chosen: Callable[[], tuple[Any, Any]]) -> None:
        super().__init__()
        self._chosen = chosen
        self._pairs: list[LayerPair | FilePair] = []
        self._facts: dict[LayerPair | FilePair, tuple[str, str]] = {}
        self.add_layers = button(
            "+ These layers",
            "Keep the image and the labels above for this training, and choose others "
            "to train on besides.",
        )
        self.add_files = button(
            "+ Files …", "Train on an image and its labels in files, too."
        )
        self.add_layers.clicked.connect(self._on_layers)
        self.add_files.clicked.connect(self._on_files)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(0, 1)
        self._grid.addWidget(row_of(self.add_layers, self.add_files), 0, 0, 1, 4)

    def stacks(self) -> list[Stacks]:
        """Return the pairs that are listed besides the chosen one, as they are now.

        Raises
        ------
        UNetError
            If files cannot be read, or do not belong to each other.
        """
        return [each.stacks() for each in self._besides()]

    def layers(self) -> list[tuple[Any, Any]]:
        """Return the layers of the same pairs, None for files."""
        return [
            (each.image(), each.labels())
            if isinstance(each, LayerPair)
            else (None, None)
            for each in self._besides()
        ]

    def replayed(self) -> list[TrainedPair]:
        """Return what a copied command names of the same pairs."""
        return [each.replayed() for each in self._besides()]

    def _besides(self) -> list[LayerPair | FilePair]:
        image, labels = self._chosen()
        chosen = LayerPair.of(image, labels) if image and labels else None
        return [each for each in self._pairs if each != chosen]

    def text(self) -> str:
        """Return what is listed, a line for each pair."""
        return "\n".join(
            " ".join(
                self._grid.itemAtPosition(row, column).widget().text()
                for column in range(3)
            )
            for row in range(1, len(self._pairs) + 1)
        )

    def refresh(self, layers: Any) -> None:
        """Follow the layers of the viewer."""
        kept = [each for each in self._pairs if each.within(layers)]
        if kept != self._pairs:
            self._pairs = kept
            self.changed.emit()
        self._list()

    def add(self, pair: LayerPair | FilePair) -> None:
        """List a pair, and find out how much of it is annotated.

        Raises
        ------
        UNetError
            If its image and labels do not belong to each other.
        """
        if pair in self._pairs:
            return
        image, labels = pair.stacks()
        self._pairs.append(pair)
        size = " × ".join(map(str, image.shape))
        self._facts[pair] = (size, "…")
        self._list()
        self.changed.emit()
        # A method, and no partial, which would outlive the widget.
        create_worker(_share, pair, labels, _connect={"returned": self._keep_share})

    def remove(self, pair: LayerPair | FilePair) -> None:
        """List it no more."""
        self._pairs.remove(pair)
        self._list()
        self.changed.emit()

    def _on_layers(self) -> None:
        try:
            stacks_of(*self._chosen())  # says what is missing
            self.add(LayerPair.of(*self._chosen()))
        except UNetError as error:
            show_error(str(error))

    def _on_files(self) -> None:
        image, _ = QFileDialog.getOpenFileName(self, "An image", "", _FILES)
        if not image:
            return
        folder = str(Path(image).parent)
        labels, _ = QFileDialog.getOpenFileName(
            self, f"The labels of {Path(image).name}", folder, _FILES
        )
        if labels:
            try:
                self.add(FilePair(Path(image), Path(labels)))
            except UNetError as error:
                show_error(str(error))

    def _keep_share(self, found: tuple[LayerPair | FilePair, str]) -> None:
        pair, share = found
        self._facts[pair] = (self._facts[pair][0], share)
        self._list()

    def _list(self) -> None:
        for index in reversed(range(1, self._grid.count())):
            cell = self._grid.takeAt(index).widget()
            cell.hide()  # it goes for good only when the event loop runs
            cell.deleteLater()
        for row, pair in enumerate(self._pairs, start=1):
            size, share = self._facts[pair]
            drop = button("✕", f"Do not train on {pair.name}.")
            drop.setFixedWidth(28)
            drop.clicked.connect(lambda _=False, pair=pair: self.remove(pair))
            drawn = QLabel(share)
            drawn.setToolTip("<p>Share of its pixels with another value than 0.</p>")
            cells = (QLabel(pair.name), QLabel(size), drawn, drop)
            for column, cell in enumerate(cells):
                self._grid.addWidget(cell, row, column)


def _share(
    pair: LayerPair | FilePair, labels: Stack
) -> tuple[LayerPair | FilePair, str]:
    """Return how much of a mask is drawn on; what cannot be counted, nobody knows."""
    try:
        counts = count_values(as_mask(labels))
    except UNetError:
        return pair, "?"
    return pair, f"{1 - counts[0] / max(1, counts.total()):.1%}"
