"""The curves of a training, and what is said beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from by_hand import add_tissue, open_widget
from qtpy.QtCore import QPoint, Qt
from superqt.utils import qimage_to_array

from napari_unet.events import StepDone, Validated
from napari_unet.plugin.train.loss_plot import LOSS, SCORE, LossPlot, RunningMean
from napari_unet.plugin.train.loss_plot import thin as thin_out
from napari_unet.plugin.train.report import TrainReport
from napari_unet.plugin.train.scale import Scale, nice_ceiling

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from pytestqt.qtbot import QtBot
    from qtpy.QtGui import QColor


def picture(plot: LossPlot) -> np.ndarray:
    return qimage_to_array(plot.grab().toImage())[:, :, :3].astype(int)


def pixels_of(plot: LossPlot, colour: QColor) -> int:
    """Count the pixels of a colour within the frame of the plot."""
    frame = picture(plot)[25:145, 45:255]
    difference = np.abs(frame - colour.getRgb()[:3]).max(axis=-1)
    return int((difference < 60).sum())


def filled(qtbot: QtBot) -> LossPlot:
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.resize(300, 190)
    for step in range(1, 100):
        plot.add_loss(step, 0.7)
    plot.add_score(40, 0.5, {"membrane": 0.25, "cell": 0.75})
    plot.add_score(80, float("nan"))
    plot.add_score(99, 0.5)
    return plot


def test_running_mean_has_no_bias_and_ignores_what_is_not_finite() -> None:
    mean = RunningMean(span=2)
    assert mean.add(6) == 6
    assert mean.add(float("nan")) == 6
    assert mean.add(3) == pytest.approx(4)  # (6 / 2 + 3) / 1.5


def test_thinning_keeps_the_last_point() -> None:
    points = [(step, 0.0) for step in range(1, 1001)]
    thin = thin_out(points, 300)
    assert len(thin) == 250
    assert thin[-1] == (1000, 0)
    assert thin_out(points[:5], 300) == points[:5]


def test_axes_end_at_round_numbers() -> None:
    values = [0.07, 0.69, 1, 1.2, 2.4, 9, 0, float("inf")]
    expected = [0.08, 0.8, 1, 1.5, 3, 10, 1, 1]
    assert [nice_ceiling(each) for each in values] == pytest.approx(expected)


def test_a_logarithmic_axis_spans_powers_of_ten() -> None:
    scale = Scale.over([0.02, 0.5, 0, float("nan")], log=True)
    assert [scale.value(share) for share in (0, 0.5, 1)] == pytest.approx(
        [0.01, 0.1, 1]
    )
    assert [scale.share(value) for value in (0.01, 0.1, 1, 0)] == [0, 0.5, 1, 0]
    linear = Scale.over([0.02, 0.5], log=False)
    assert (linear.share(0.25), linear.value(1)) == (0.5, 0.5)
    assert Scale.over([], log=True).value(1) == 10
    assert Scale.over([1, 1], log=True).value(0) == 1


def test_the_plot_draws_both_curves(qtbot: QtBot) -> None:
    plot = filled(qtbot)
    loss, score = plot.colours()
    assert pixels_of(plot, loss) > 100
    assert pixels_of(plot, score) > 50
    plot.clear()
    assert pixels_of(plot, loss) == pixels_of(plot, score) == 0


def test_the_mouse_reads_values(qtbot: QtBot) -> None:
    plot = filled(qtbot)
    plot.show()
    before = picture(plot)
    line = plot.fontMetrics().height() * 0.85
    middle = round((2.6 * line + 300 - 1.8 * line) / 2)
    qtbot.mouseMove(plot, QPoint(middle, 90))
    qtbot.waitUntil(lambda: plot._mouse is not None, timeout=5000)
    assert (picture(plot) != before).any()
    assert plot.read(49.5) == [
        "step 49 · loss 0.7",
        "score 0.500 at step 40",
        "IoU membrane 0.25 · cell 0.75",
    ]
    assert plot.read(98)[1:] == ["score 0.500 at step 99"]  # of classes none was said
    plot.clear()
    assert plot.read(3) == []


@pytest.mark.parametrize("double", [True, False])
def test_a_double_click_or_the_box_makes_the_axis_logarithmic(
    qtbot: QtBot, double: bool
) -> None:
    plot = filled(qtbot)
    plot.show()
    before = picture(plot)
    if double:
        qtbot.mouseDClick(plot, Qt.MouseButton.LeftButton, pos=QPoint(150, 120))
    else:
        qtbot.keyClick(plot.log, Qt.Key.Key_Space)
    assert plot.log.isChecked()
    assert (picture(plot)[60:145] != before[60:145]).any()


def test_the_colours_are_those_of_the_theme(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    train.plot.show()
    seen = {}
    for theme in ("dark", "light"):
        viewer.theme = theme
        qtbot.waitUntil(
            lambda light=theme == "light": (
                train.plot.colours() == (LOSS[light], SCORE[light])
            ),
            timeout=5000,
        )
        seen[theme] = train.plot.palette().windowText().color().lightness()
    assert seen["dark"] > 128 > seen["light"]


def test_speed_time_left_and_score_are_said(qtbot: QtBot) -> None:
    report = TrainReport()
    qtbot.addWidget(report)
    assert report.plot.isHidden()
    report.begin("Preparing …", training=True)
    assert not report.plot.isHidden()
    scores = ({"a": 0.5, "b": 0.7}, {}, {}, {}, 0.6, 0.6)
    for step in (1, 2, 3):
        report.show_event(StepDone(step, 1.0, 0.1, step / 10, 2.0 * step, 61.0))
    report.show_event(Validated(3, 1.0, *scores, best=True))
    report.show_event(StepDone(4, 1.0, 0.1, 0.4, 8.0, 61.0))
    words = report.progress.words
    qtbot.waitUntil(lambda: "step 4" in words.text(), timeout=5000)
    assert words.text() == "1:01 left · step 4 · 0.5/s · best 0.600"
    assert report.plot.read(3)[-1] == "IoU a 0.50 · b 0.70"
