"""How sure a network is of each pixel."""

from __future__ import annotations

import math

import torch


def entropy(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the entropy of each pixel, from 0, sure, to 1, all classes alike.

    Parameters
    ----------
    probabilities : Tensor of float32, shape (N, classes, *spatial)
        At least 2 classes, together 1.

    Returns
    -------
    Tensor of float32, shape (N, *spatial)
        -Σ p log p / log(classes).
    """
    surprise: torch.Tensor = torch.special.entr(probabilities).sum(dim=1)
    return surprise / math.log(probabilities.shape[1])


def disagreement(mean: torch.Tensor, entropies: torch.Tensor) -> torch.Tensor:
    """Return how far several predictions of each pixel differ, from 0 to 1.

    It is the mutual information of class and prediction (Houlsby et al. 2011,
    https://arxiv.org/abs/1112.5745, equation 2), in the unit of `entropy`: what is
    uncertain because the predictions contradict each other, not because each of them
    is unsure. Over orientations, see Wang et al. 2019,
    https://doi.org/10.1016/j.neucom.2019.01.103.

    Parameters
    ----------
    mean : Tensor of float32, shape (N, classes, *spatial)
        The mean of their probabilities.
    entropies : Tensor of float32, shape (N, *spatial)
        The mean of their entropies.

    Returns
    -------
    Tensor of float32, shape (N, *spatial)
    """
    return (entropy(mean) - entropies).clamp(min=0)


def measure(
    kind: str, probabilities: torch.Tensor, entropies: torch.Tensor
) -> torch.Tensor:
    """Return the uncertainty that an option names, of what `ask` gives.

    Parameters
    ----------
    kind : {"entropy", "disagreement"}
    probabilities : Tensor of float32, shape (N, classes, *spatial)
    entropies : Tensor of float32, shape (N, *spatial)
        Heeded for disagreement.
    """
    if kind == "entropy":
        return entropy(probabilities)
    return disagreement(probabilities, entropies)
