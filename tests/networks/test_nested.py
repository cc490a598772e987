from __future__ import annotations

import torch

from napari_unet.config import NetworkConfig
from napari_unet.networks import build_network

CONFIG = NetworkConfig(classes=3, depth=3, width=4, name="unet++")


def test_it_trains_every_head_and_predicts_their_mean() -> None:
    torch.manual_seed(0)
    network = build_network(CONFIG)
    image = torch.randn(1, 1, 16, 16)
    assert [each.shape for each in network(image)] == [(1, 3, 16, 16)] * 3
    network.eval()
    mean = network(image)
    network.training = True
    torch.testing.assert_close(torch.stack(network(image)).mean(dim=0), mean)


def test_nodes_form_the_triangle_of_the_paper() -> None:
    network = build_network(CONFIG)
    assert sorted(network.node) == ["0-1", "0-2", "0-3", "1-1", "1-2", "2-1"]  # type: ignore[arg-type]
    # Node (0, 3) joins three nodes of its level and the enlarged one below.
    assert network.node["0-3"][0].in_channels == 4 * 4  # type: ignore[index,union-attr]
    assert network.node["1-2"][0].in_channels == 3 * 8  # type: ignore[index,union-attr]
