"""What the command palette and the sample menu show of us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from by_hand import PLUGIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer


def test_the_palette_offers_only_what_can_be_done_there(
    make_napari_viewer: Callable[..., Viewer],
) -> None:
    from napari._app_model import get_app_model

    make_napari_viewer()
    app = get_app_model()
    items = app.menus.get_menu(app.menus.COMMAND_PALETTE_ID)
    ours = [each.command for each in items if each.command.id.startswith(PLUGIN)]
    usable = {
        each.title
        for each in ours
        if each.enablement is None or each.enablement.eval({})
    }
    names = ("Train", "Predict", "Correct", "Objects", "Evaluate")
    assert {f"{name} (U-Net)" for name in names} <= usable
    assert not any(title.startswith(("Open", "Save")) for title in usable)


def test_the_sample_with_strokes_opens(
    make_napari_viewer: Callable[..., Viewer],
) -> None:
    image, strokes = make_napari_viewer().open_sample(PLUGIN, "synthetic_em_strokes")
    assert image.data.shape == strokes.data.shape == (30, 512, 512)
    assert (strokes.name, tuple(strokes.scale)) == ("synthetic EM strokes", (50, 4, 4))
    painted = [np.mean(each > 0) for each in strokes.data if each.any()]
    assert len(painted) == 3
    assert max(painted) < 0.02
