"""Functions as tables have them: linear and random-network ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skcmanp.tasks.base import log_uniform
from skcmanp.tasks.gp import random_relevance


class RandomLinear:
    """Linear functions of a random subset of the features."""

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one function per task and evaluate it, (B, N, d) -> (B, N)."""
        batch_size, _, d = x.shape
        sign = torch.randn(batch_size, d, generator=generator)
        slope = random_relevance(batch_size, d, generator) * sign
        return (x @ slope.unsqueeze(-1)).squeeze(-1)


class RandomMLP:
    """Networks with one hidden layer of random size, gain and activation.

    Parameters
    ----------
    n_hidden : int, default=32
        Largest number of hidden units.
    gain : tuple of float, default=(0.3, 4.0)
        Range of the standard deviation of the hidden units' inputs.
    """

    def __init__(self, n_hidden: int = 32, gain: tuple[float, float] = (0.3, 4.0)) -> None:
        self.n_hidden = n_hidden
        self.gain = gain

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one function per task and evaluate it, (B, N, d) -> (B, N)."""
        batch_size, _, d = x.shape
        weight = torch.randn(batch_size, d, self.n_hidden, generator=generator)
        weight = weight * random_relevance(batch_size, d, generator).unsqueeze(-1) / math.sqrt(d)
        gain = log_uniform(*self.gain, (batch_size, 1, 1), generator)
        bias = torch.randn(batch_size, 1, self.n_hidden, generator=generator)
        h = (x @ weight + bias) * gain  # (B, N, hidden)
        is_relu = torch.rand(batch_size, 1, 1, generator=generator) < 0.4
        h = torch.where(is_relu, h.relu(), h.tanh())
        n_used = torch.randint(1, self.n_hidden + 1, (batch_size, 1, 1), generator=generator)
        used = torch.arange(self.n_hidden).view(1, -1, 1) < n_used
        out = torch.randn(batch_size, self.n_hidden, 1, generator=generator) * used
        return (h @ out).squeeze(-1)
