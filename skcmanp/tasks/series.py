"""Functions as series have them: cycles, trends, change points."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skcmanp.tasks.base import log_uniform
from skcmanp.tasks.gp import RandomGP, random_relevance


class RandomPeriodic:
    """Cycles of a random shape along a random direction, about half of them with a trend that is a `RandomGP`.

    Parameters
    ----------
    period : tuple of float, default=(0.2, 4.0)
        Range of the period in units of a standardised feature, log-uniform.
    n_harmonics : int, default=6
        Largest number of harmonics.
    """

    def __init__(self, period: tuple[float, float] = (0.2, 4.0), n_harmonics: int = 6) -> None:
        self.period = period
        self.n_harmonics = n_harmonics

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one function per task and evaluate it, (B, N, d) -> (B, N)."""
        batch_size, _, d = x.shape
        # Mostly one feature has the cycle, as the time of day does.
        direction = torch.nn.functional.one_hot(torch.randint(d, (batch_size,), generator=generator), d)
        direction = direction + 0.05 * torch.randn(batch_size, d, generator=generator)
        period = log_uniform(*self.period, (batch_size, 1, 1), generator)
        harmonic = torch.arange(1, self.n_harmonics + 1)
        phase = 2 * math.pi * torch.rand(batch_size, 1, self.n_harmonics, generator=generator)
        angle = 2 * math.pi * harmonic * (x @ direction.unsqueeze(-1)) / period + phase  # (B, N, harmonics)
        amplitude = torch.randn(batch_size, 1, self.n_harmonics, generator=generator)
        cycle = (angle.cos() * amplitude / harmonic).sum(-1)
        trend = RandomGP((0.5, 5.0))(x, generator)
        share = torch.rand(batch_size, 1, generator=generator) * (torch.rand(batch_size, 1, generator=generator) < 0.5)
        return cycle + 2 * share * trend


class RandomGates:
    """Two draws of `RandomGP`, and a border from one to the other: change points, jumps and regimes.

    Parameters
    ----------
    lengthscale : tuple of float, default=(0.1, 3.0)
        See `RandomGP`.
    width : tuple of float, default=(0.01, 1.0)
        Range of the border's width in units of a standardised feature, log-uniform.
    """

    def __init__(self, lengthscale: tuple[float, float] = (0.1, 3.0), width: tuple[float, float] = (0.01, 1.0)) -> None:
        self.process = RandomGP(lengthscale)
        self.width = width

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one function per task and evaluate it, (B, N, d) -> (B, N)."""
        batch_size, _, d = x.shape
        direction = random_relevance(batch_size, d, generator) * torch.randn(batch_size, d, generator=generator)
        direction = torch.nn.functional.normalize(direction, dim=1).unsqueeze(-1)
        border = torch.randn(batch_size, 1, generator=generator)
        width = log_uniform(*self.width, (batch_size, 1), generator)
        gate = torch.sigmoid(((x @ direction).squeeze(-1) - border) / width)  # (B, N)
        low, high = self.process(x, generator), self.process(x, generator)
        jump = torch.randn(batch_size, 1, generator=generator)
        return (1 - gate) * low + gate * (high + jump)
