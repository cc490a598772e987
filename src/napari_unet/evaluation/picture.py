"""One picture of a prediction: image, truth, prediction, errors and the training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import MaskError
from napari_unet.files import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

# Colours that people with any colour vision can tell apart: Okabe & Ito (2008),
# https://jfly.uni-koeln.de/color/
TWO_COLOURS = ("#000000", "#FFFFFF")
CLASS_COLOURS = (
    *("#202020", "#E69F00", "#56B4E9", "#009E73"),
    *("#F0E442", "#0072B2", "#D55E00", "#CC79A7"),
)
VERMILLION, SKY, BLUE = "#D55E00", "#56B4E9", "#0072B2"
NOT_ANNOTATED = "#8A8A8A"
MAX_LEGEND = 12  # classes; more would cover the picture

# The layout, in inches.
PANEL, GAP, MARGIN = 3.3, 0.15, 0.15
WIDTH = 4 * PANEL + 3 * GAP + 2 * MARGIN
LEGEND, PANEL_TITLE, TITLE = 0.65, 0.35, 0.4
CURVES, CURVE_SIDE, CURVE_FOOT = 2.0, 0.7, 0.5


def comparison_picture(
    path: str | Path,
    image: NDArray[Any],
    truth: NDArray[Any],
    prediction: NDArray[Any],
    *,
    title: str = "",
    names: Mapping[int, str] | None = None,
    ignore: int | None = None,
    losses: Sequence[tuple[float, float]] = (),
    scores: Sequence[tuple[float, float]] = (),
    score_name: str = "validation score",
) -> Path:
    """Draw a section beside its truth, its prediction and the errors, as a PNG.

    Below them the loss and validation curves are drawn, when they are given. With two
    classes the two kinds of error have a colour each, else all errors have one.

    Parameters
    ----------
    path : path
        The PNG; replaced at once when it is complete.
    image : (Y, X) or (Y, X, 3) array
        Grey values of any type, stretched to their range; or colours.
    truth, prediction : (Y, X) integer arrays
        Labels in mask values.
    title : str
        Line above the picture.
    names : mapping of int to str, optional
        What mask values mean, such as ``{0: "membrane", 255: "cell"}``.
    ignore : int, optional
        Value in `truth` of pixels that are not annotated: no errors are shown there.
    losses, scores : sequences of (step, value)
        Training loss and validation score.
    score_name : str
        What `scores` are.

    Returns
    -------
    Path
        Where the picture is.

    Raises
    ------
    MaskError
        When the shapes differ.
    """
    if not image.shape[:2] == truth.shape == prediction.shape:
        raise MaskError(
            f"The image has shape {image.shape}, its truth {truth.shape} and its "
            f"prediction {prediction.shape}; give one section of each, (Y, X)."
        )
    from matplotlib.figure import Figure

    # Sections far from square are fitted into a panel that is not.
    tall = PANEL * float(np.clip(truth.shape[0] / truth.shape[1], 0.3, 2.5))
    foot = CURVES + CURVE_FOOT if losses or scores else 0.0
    height = foot + LEGEND + tall + PANEL_TITLE + (TITLE if title else 0.0)
    figure = Figure((WIDTH, height), dpi=_dpi(truth.shape[1]))
    panels = [
        _place(figure, MARGIN + column * (PANEL + GAP), foot + LEGEND, PANEL, tall)
        for column in range(4)
    ]
    _draw_sections(panels, image, truth, prediction, names or {}, ignore)
    if losses or scores:
        width = WIDTH - 2 * CURVE_SIDE
        axes = _place(figure, CURVE_SIDE, CURVE_FOOT, width, CURVES)
        _draw_curves(axes, losses, scores, score_name)
    figure.suptitle(title, y=1 - 0.12 / height, va="top", fontsize=14, parse_math=False)
    return save(figure, Path(path))


def _dpi(columns: int) -> float:
    """Return a resolution at which a pixel of the section fills whole screen pixels."""
    exact = max(1, round(160 * PANEL / columns)) * columns / PANEL
    return exact if 120 <= exact <= 220 else 160


def _place(
    figure: Figure, left: float, bottom: float, width: float, height: float
) -> Axes:
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def _draw_sections(
    panels: Sequence[Axes],
    image: NDArray[Any],
    truth: NDArray[Any],
    prediction: NDArray[Any],
    names: Mapping[int, str],
    ignore: int | None,
) -> None:
    image = stretch(image)
    values = sorted({*np.unique(truth).tolist(), *np.unique(prediction).tolist()})
    values = [value for value in values if value != ignore]
    titles = {value: names.get(value, str(value)) for value in values}
    colours = dict(zip(values, palette(len(values)), strict=True))
    annotated = np.ones(truth.shape, bool) if ignore is None else truth != ignore
    wrong = (truth != prediction) & annotated
    share = np.count_nonzero(wrong) / max(int(np.count_nonzero(annotated)), 1)

    _show(panels[0], image, "Image")
    _show(panels[1], paint(truth, colours), "Truth")
    _show(panels[2], paint(prediction, colours), "Prediction")
    errors, kinds = _paint_errors(image, truth, prediction, wrong, titles)
    _show(panels[3], errors, f"Errors: {100 * share:.1f} % of the pixels")
    classes = {titles[value]: colour for value, colour in colours.items()}
    if not annotated.all():
        classes["not annotated"] = NOT_ANNOTATED
    if len(classes) <= MAX_LEGEND:
        between_both = 1 + GAP / PANEL / 2
        _add_legend(panels[1], classes, between_both, columns=4)
    _add_legend(panels[3], kinds, 0.5, columns=1)


def stretch(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return (Y, X, 3) colours, the darkest and brightest 0.5 % clipped."""
    low, high = np.percentile(image, (0.5, 99.5)).tolist()
    scaled = np.clip((image - low) / max(high - low, 1e-12), 0, 1)
    return scaled if image.ndim == 3 else np.stack([scaled] * 3, axis=-1)


def palette(n_classes: int) -> list[str]:
    """Return a colour for each class."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    if n_classes == 2:
        return list(TWO_COLOURS)
    if n_classes <= len(CLASS_COLOURS):
        return list(CLASS_COLOURS[:n_classes])
    return [
        to_hex(colour) for colour in colormaps["turbo"](np.linspace(0, 1, n_classes))
    ]


def paint(labels: NDArray[Any], colours: Mapping[int, str]) -> NDArray[np.float64]:
    """Return (Y, X, 3) colours, grey where a label has none."""
    from matplotlib.colors import to_rgb

    painted = np.full((*labels.shape, 3), to_rgb(NOT_ANNOTATED))
    for value, colour in colours.items():
        painted[labels == value] = to_rgb(colour)
    return painted


def _paint_errors(
    image: NDArray[np.float64],
    truth: NDArray[Any],
    prediction: NDArray[Any],
    wrong: NDArray[np.bool_],
    titles: Mapping[int, str],
) -> tuple[NDArray[np.float64], dict[str, str]]:
    """Return the picture, (Y, X, 3), and what each of its colours means."""
    from matplotlib.colors import to_rgb

    # Grey values from the middle of the range let the colours stand out.
    painted = np.stack([0.25 + 0.6 * image.mean(axis=-1)] * 3, axis=-1)
    painted[wrong] = to_rgb(VERMILLION)
    if len(titles) != 2:
        return painted, {"wrong class": VERMILLION}
    (low, low_title), (_, high_title) = titles.items()
    painted[wrong & (prediction == low)] = to_rgb(SKY)
    return painted, {
        f"{low_title} taken for {high_title}": VERMILLION,
        f"{high_title} taken for {low_title}": SKY,
    }


def _show(panel: Axes, picture: NDArray[np.float64], title: str) -> None:
    panel.imshow(picture)
    panel.set_title(title, fontsize=12)
    panel.set_xticks([])
    panel.set_yticks([])


def _add_legend(
    panel: Axes, colours: Mapping[str, str], centre: float, columns: int
) -> None:
    from matplotlib.patches import Patch

    patches = [
        Patch(facecolor=colour, edgecolor="black", linewidth=0.5, label=text)
        for text, colour in colours.items()
    ]
    panel.legend(
        handles=patches,
        loc="upper center",
        bbox_to_anchor=(centre, 0.0),
        borderaxespad=0.3,
        ncols=min(columns, len(patches)),
        frameon=False,
        fontsize=9,
    )


def _draw_curves(
    axes: Axes,
    losses: Sequence[tuple[float, float]],
    scores: Sequence[tuple[float, float]],
    score_name: str,
) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("training step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.margins(x=0.01)
    if losses:
        steps, values = np.array(losses, dtype=float).T
        axes.plot(steps, values, color=BLUE, alpha=0.25, linewidth=0.8)
        axes.plot(steps, smooth(values), color=BLUE, linewidth=2)
        axes.set_ylabel("training loss", color=BLUE)
    if scores:
        right = axes.twinx() if losses else axes
        steps, values = np.array(scores, dtype=float).T
        right.plot(steps, values, color=VERMILLION, marker="o", markersize=4)
        right.set_ylabel(score_name, color=VERMILLION)


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the running mean over about a thirtieth of the curve."""
    window = np.ones(2 * (len(values) // 60) + 1)
    count = np.convolve(np.ones_like(values), window, mode="same")
    smoothed: NDArray[np.float64] = np.convolve(values, window, mode="same") / count
    return smoothed


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG, whole or not at all."""
    with replacing(path) as part:
        figure.savefig(part, format="png")
    return path
