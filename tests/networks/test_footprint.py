from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_unet.networks.footprint import measure_features


@pytest.mark.parametrize(
    ("layers", "features"),
    [
        ([nn.Conv2d(2, 5, 1)], 5),
        ([nn.Conv2d(2, 5, 1), nn.Conv2d(5, 3, 1), nn.Conv2d(3, 1, 1)], 8),
        ([nn.Conv2d(2, 5, 1), nn.ReLU()], 10),
        ([nn.Conv2d(2, 5, 1), nn.ReLU(inplace=True)], 5),
        ([nn.Conv2d(2, 8, 1), nn.Flatten(), nn.Unflatten(1, (8, 4, 6))], 8),
        ([nn.Conv2d(2, 4, 1), nn.AvgPool2d(2), nn.Upsample(scale_factor=2)], 5),
        ([nn.Flatten(2), nn.Flatten()], 0),
    ],
)
def test_features_held_at_once_by_hand(layers: list[nn.Module], features: int) -> None:
    # The input is not counted; a pooled feature is a quarter of a feature.
    found = measure_features(nn.Sequential(*layers), torch.zeros(1, 2, 4, 6))
    assert found == features


def test_a_skip_is_held_until_it_is_used() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv3d(1, 3, 1), nn.Conv3d(3, 4, 1)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            skip = self.first(image)
            return torch.cat([skip, self.second(skip)], dim=1)

    # The skip's 3, the 4 and the 7 of both.
    assert measure_features(Skip(), torch.zeros(1, 1, 2, 3, 4)) == 14
