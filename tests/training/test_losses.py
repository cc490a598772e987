from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from monai.losses import DiceCELoss, DiceLoss, FocalLoss, TverskyLoss

from napari_unet.config import TrainingConfig, options
from napari_unet.data import IGNORE
from napari_unet.training.losses import (
    choose_loss,
    cross_entropy,
    cross_entropy_dice,
    dice,
    focal,
    tversky,
)

if TYPE_CHECKING:
    from napari_unet.training.losses import Loss

NAMES = [
    name
    for each in options(TrainingConfig)
    if each.name == "loss"
    for name in each.choices
    if name not in {"auto", "mse", "mae"}  # of the task, of values
]


def loss_of(name: str, **parameters: float) -> Loss:
    return choose_loss(TrainingConfig(loss=name, **parameters))  # type: ignore[arg-type]


every_loss = pytest.mark.parametrize(
    "loss", [loss_of(name) for name in NAMES], ids=NAMES
)
both_dims = pytest.mark.parametrize("shape", [(6, 7), (3, 4, 5)], ids=["2-D", "3-D"])


def by_hand() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three pixels: p(right) = 3/4, 1/4 and 1/2, with the weights 1, 2 and 5."""
    odds = torch.tensor([[0.0, 0.0, 0.0], [math.log(3), math.log(3), 0.0]])
    labels = torch.tensor([[[1, 0, 0]]])
    return odds.reshape(1, 2, 1, 3), labels, torch.tensor([[[1.0, 2.0, 5.0]]])


def example(
    shape: tuple[int, ...] = (6, 7), classes: int = 3, ignored: bool = True
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, classes, *shape, generator=generator)
    labels = torch.randint(classes, (2, *shape), generator=generator)
    if ignored:
        labels[torch.rand(labels.shape, generator=generator) < 0.3] = IGNORE
    return logits, labels, torch.rand(labels.shape, generator=generator) + 0.1


# -- worked by hand ------------------------------------------------------------------


def test_cross_entropy_by_hand() -> None:
    expected = -(math.log(3 / 4) + 2 * math.log(1 / 4) + 5 * math.log(1 / 2)) / 8
    assert cross_entropy(*by_hand()).item() == pytest.approx(expected, rel=1e-6)


def test_focal_by_hand() -> None:
    expected = -math.log(3 / 4) / 16 + 2 * 9 / 16 * -math.log(1 / 4)
    expected += 5 / 4 * -math.log(1 / 2)
    loss = focal(*by_hand(), gamma=2).item()
    assert loss == pytest.approx(expected / 8, rel=1e-6)


def test_dice_by_hand() -> None:
    # Class 0: hits 2/4 + 5/2 = 3, found 1/4 + 2/4 + 5/2 = 3.25, true 7.
    # Class 1: hits 3/4, found 3/4 + 2·3/4 + 5/2 = 4.75, true 1.
    expected = 1 - (2 * 3 / (3.25 + 7) + 2 * 0.75 / (4.75 + 1)) / 2
    assert dice(*by_hand()).item() == pytest.approx(expected, rel=1e-6)


def test_tversky_by_hand() -> None:
    # FP 0.25 and FN 4 of class 0, FP 4 and FN 0.25 of class 1
    first = 3 / (3 + 0.2 * 0.25 + 0.8 * 4)
    second = 0.75 / (0.75 + 0.2 * 4 + 0.8 * 0.25)
    loss = tversky(*by_hand(), alpha=0.2).item()
    assert loss == pytest.approx(1 - (first + second) / 2, rel=1e-6)


def test_losses_that_are_special_cases() -> None:
    data = example()
    plain, half = cross_entropy(*data), dice(*data)
    torch.testing.assert_close(focal(*data, gamma=0), plain)
    torch.testing.assert_close(tversky(*data, alpha=0.5), half)
    torch.testing.assert_close(cross_entropy_dice(*data), plain + half)


def test_parameters_come_from_the_options() -> None:
    data = example()
    torch.testing.assert_close(
        loss_of("focal", focal_gamma=0.5)(*data), focal(*data, gamma=0.5)
    )
    torch.testing.assert_close(
        loss_of("tversky", tversky_alpha=0.9)(*data), tversky(*data, alpha=0.9)
    )


def test_low_alpha_punishes_missing_a_rare_class() -> None:
    labels = torch.zeros(1, 10, 10, dtype=torch.int64)
    labels[0, 0, :5] = 1
    weights = torch.ones(1, 10, 10)
    right = torch.stack([labels == 0, labels == 1], 1) * 20.0
    missed = right.clone()
    missed[:, :, 0, :3] = right[:, :, 5, :3]
    invented = right.clone()
    invented[:, :, 5, :3] = right[:, :, 0, :3]
    low, high = (
        tversky(missed, labels, weights, alpha=alpha)
        - tversky(invented, labels, weights, alpha=alpha)
        for alpha in (0.3, 0.7)
    )
    assert low > high


# -- the same loss elsewhere ---------------------------------------------------------

_TINY: dict[str, Any] = {"smooth_nr": 0.0, "smooth_dr": 1e-8, "batch": True}
_SOFTMAX: dict[str, Any] = {"softmax": True, "to_onehot_y": True}
MONAI = {
    "dice": DiceLoss(**_SOFTMAX, **_TINY),
    "cross-entropy-dice": DiceCELoss(**_SOFTMAX, **_TINY),
    "focal": FocalLoss(gamma=2.0, use_softmax=True, to_onehot_y=True),
    "tversky": TverskyLoss(alpha=0.3, beta=0.7, **_SOFTMAX, **_TINY),
}


@both_dims
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("name", MONAI)
def test_monai_gives_the_same(name: str, classes: int, shape: tuple[int, ...]) -> None:
    """MONAI knows no ignored pixels: it gets the others, as one row."""
    logits, labels, _ = example(shape, classes)
    logits.requires_grad_()
    mine = loss_of(name)(logits, labels, torch.ones(labels.shape))
    annotated = labels != IGNORE
    row = logits.movedim(1, -1)[annotated].T[None]
    its = MONAI[name](row, labels[annotated][None, None])
    if name == "focal":
        its = its * classes  # the mean over the classes, of which one counts
    torch.testing.assert_close(mine, its)
    slopes = [torch.autograd.grad(each, logits)[0] for each in (mine, its)]
    torch.testing.assert_close(*slopes)


# -- what all losses promise ---------------------------------------------------------


@every_loss
@both_dims
def test_ignored_pixels_do_not_count(loss: Loss, shape: tuple[int, ...]) -> None:
    logits, labels, weights = example(shape, ignored=False)
    half = loss(logits[..., :3], labels[..., :3], weights[..., :3])
    labels[..., 3:] = IGNORE
    logits.requires_grad_()
    whole = loss(logits, labels, weights)
    whole.backward()
    torch.testing.assert_close(whole, half)
    assert logits.grad is not None
    assert not logits.grad[..., 3:].any()
    assert logits.grad[..., :3].any()


@every_loss
def test_weight_counts_like_a_pixel_seen_as_often(loss: Loss) -> None:
    logits, labels, _ = example()
    weights = torch.ones(labels.shape)
    weights[..., 0] = 3
    again = [
        torch.cat([each, each[..., :1], each[..., :1]], -1)
        for each in (logits, labels, torch.ones(labels.shape))
    ]
    torch.testing.assert_close(loss(logits, labels, weights), loss(*again))


@every_loss
def test_scale_of_the_weights_does_not_matter(loss: Loss) -> None:
    logits, labels, weights = example()
    torch.testing.assert_close(
        loss(logits, labels, weights), loss(logits, labels, 100 * weights)
    )


@every_loss
@both_dims
def test_nothing_annotated_is_no_loss(loss: Loss, shape: tuple[int, ...]) -> None:
    logits, labels, weights = example(shape)
    logits.requires_grad_()
    value = loss(logits, torch.full_like(labels, IGNORE), weights)
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@every_loss
def test_class_that_does_not_occur_costs_nothing_where_it_is_not_found(
    loss: Loss,
) -> None:
    """Neither a perfect score nor a lost one, and still punished where it is found."""
    labels = torch.tensor([[[0, 1], [1, 0]]])
    right = 30.0 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1)
    weights = torch.ones(1, 2, 2)
    assert loss(right, labels, weights).item() == pytest.approx(0, abs=1e-5)
    wrong = right.clone()
    wrong[0, :, 0, 0] = torch.tensor([0.0, 0.0, 30.0])
    assert loss(wrong, labels, weights) > 0.15


@every_loss
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_slope_points_down_and_is_finite_in_bf16(loss: Loss, size: float) -> None:
    """At certain and wrong pixels, too, where probabilities are 0 and 1."""
    logits, labels, weights = example()
    head = torch.nn.Conv2d(3, 3, 1)
    with torch.autocast("cpu", torch.bfloat16):
        found = head(size * logits)
        assert found.dtype == torch.bfloat16
        value = loss(found, labels, weights)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert head.weight.grad is not None
    assert torch.isfinite(head.weight.grad).all()
    assert value > 0


@every_loss
def test_following_the_slope_finds_the_labels(loss: Loss) -> None:
    _, labels, weights = example()
    logits = torch.zeros(2, 3, 6, 7, requires_grad=True)
    optimizer = torch.optim.Adam([logits], 0.1)
    for _ in range(60):
        optimizer.zero_grad()
        loss(logits, labels, weights).backward()
        optimizer.step()
    annotated = labels != IGNORE
    assert (logits.argmax(1) == labels)[annotated].all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 5.0])
def test_focal_has_a_slope_at_certain_pixels(gamma: float) -> None:
    logits = torch.tensor([[[[90.0, -90.0]], [[-90.0, 90.0]]]], requires_grad=True)
    labels = torch.tensor([[[0, 0]]])
    focal(logits, labels, torch.ones(1, 1, 2), gamma=gamma).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 0, 0, 1] < 0
