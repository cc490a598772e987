from __future__ import annotations

import pytest
import torch

from napari_unet.prediction.orientations import ORIENTATIONS, ask
from napari_unet.prediction.uncertainty import entropy


@pytest.mark.parametrize("shape", [(1, 1, 2, 3), (1, 2, 2, 2, 3)])
def test_what_is_seen_can_be_turned_back(shape: tuple[int, ...]) -> None:
    window = torch.arange(torch.Size(shape).numel()).reshape(shape)
    seen = [each.see(window) for each in ORIENTATIONS]
    for orientation, turned in zip(ORIENTATIONS, seen, strict=True):
        assert torch.equal(orientation.back(turned), window)
    assert len({tuple(each.flatten().tolist()) for each in seen}) == 8  # all differ
    assert {each.shape[-2:] for each in seen[:4]} == {(2, 3)}
    assert {each.shape[-2:] for each in seen[4:]} == {(3, 2)}


def test_the_eight_are_the_flips_and_quarter_turns() -> None:
    square = torch.tensor([[1, 2], [3, 4]])
    turns = [square.rot90(times) for times in range(4)]
    expected = {tuple(each.flatten().tolist()) for each in turns}
    expected |= {tuple(each.fliplr().flatten().tolist()) for each in turns}
    seen = {tuple(each.see(square).flatten().tolist()) for each in ORIENTATIONS}
    assert seen == expected


def first_pixel(windows: torch.Tensor) -> torch.Tensor:
    """A network that is sure of class 1 at the first pixel it sees, else of class 0."""
    logits = torch.zeros(len(windows), 2, *windows.shape[2:])
    logits[:, 0] = 50
    logits[:, :, 0, 0] = torch.tensor([0.0, 50.0])
    return logits


@pytest.mark.parametrize(
    ("count", "corners"), [(1, [1, 0, 0, 0]), (4, [0.25] * 4), (8, [0.25] * 4)]
)
def test_probabilities_are_averaged(count: int, corners: list[float]) -> None:
    answer = ask(first_pixel, torch.zeros(1, 1, 3, 4), count, entropies=True)
    assert answer.shape == (1, 3, 3, 4)
    shares = answer[:, :2].softmax(dim=1)
    torch.testing.assert_close(answer[:, :2].exp(), shares)  # they are logarithms
    inside = shares[0, 1]
    assert inside[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == pytest.approx(corners)
    assert inside.sum().item() == pytest.approx(1)
    torch.testing.assert_close(answer[:, 2], torch.zeros(1, 3, 4))  # each is sure


def test_one_orientation_has_its_own_entropy() -> None:
    logits = torch.randn(2, 3, 4, 4)
    answer = ask(lambda windows: logits, torch.zeros(2, 1, 4, 4), 1, entropies=True)
    torch.testing.assert_close(answer[:, :3], logits.log_softmax(dim=1))
    torch.testing.assert_close(answer[:, 3], entropy(logits.softmax(dim=1)))


def test_values_are_averaged() -> None:
    windows = torch.arange(6.0).reshape(1, 1, 2, 3)
    answer = ask(lambda seen: seen[..., :1] + seen, windows, 4)
    # Each pixel and the mean of both ends of its row.
    expected = windows + torch.tensor([1.0, 4.0]).reshape(2, 1)
    torch.testing.assert_close(answer, expected)
