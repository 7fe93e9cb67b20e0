"""Functions of Gaussian processes, by random Fourier features."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skcmanp.tasks.base import log_uniform


def random_relevance(batch_size: int, n_features: int, generator: torch.Generator) -> Tensor:
    """How much each feature matters, (B, d), mean square 1: many tasks have idle features."""
    relevance = (0.7 * torch.randn(batch_size, n_features, generator=generator)).exp()
    p_idle = 0.6 * torch.rand(batch_size, 1, generator=generator)
    idle = torch.rand(batch_size, n_features, generator=generator) < p_idle
    relevance = relevance.masked_fill(idle, 0.0) + 1e-3
    return relevance / relevance.square().mean(1, keepdim=True).sqrt()


class RandomGP:
    """Draws of GPs with a Matern or RBF kernel and a length-scale per feature.

    A stationary kernel's spectral density gives the frequencies: normal for
    RBF, Student's t with ``2 nu`` degrees of freedom for Matern-nu. A finite
    number of cosines makes a draw cost O(N) instead of O(N^3), see Rahimi and
    Recht, "Random features for large-scale kernel machines" (2007).

    Parameters
    ----------
    lengthscale : tuple of float, default=(0.1, 3.0)
        Range of the length-scale in units of one standardised feature; with d
        features it grows by sqrt(d).
    n_features : int, default=256
        Number of cosines.
    """

    def __init__(self, lengthscale: tuple[float, float] = (0.1, 3.0), n_features: int = 256) -> None:
        self.lengthscale = lengthscale
        self.n_features = n_features

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one function per task and evaluate it, (B, N, d) -> (B, N)."""
        batch_size, _, d = x.shape
        frequency = torch.randn(batch_size, d, self.n_features, generator=generator)
        # chi2(2 nu) / (2 nu) as a mean of squared normals, 2 nu in {1, 3, 5, 7}; more is close to RBF
        degrees = 2 * torch.randint(0, 4, (batch_size, 1, 1), generator=generator) + 1
        squares = torch.randn(batch_size, 7, self.n_features, generator=generator).square()
        used = torch.arange(7).view(1, 7, 1) < degrees
        chi2 = (squares * used).sum(1, keepdim=True) / degrees  # (B, 1, F)
        is_rbf = torch.rand(batch_size, 1, 1, generator=generator) < 0.4
        frequency = torch.where(is_rbf, frequency, frequency / chi2.sqrt().clamp(min=1e-2))

        lengthscale = log_uniform(*self.lengthscale, (batch_size, 1), generator) * math.sqrt(d)
        relevance = random_relevance(batch_size, d, generator)
        frequency = frequency * (relevance / lengthscale).unsqueeze(-1)
        phase = 2 * math.pi * torch.rand(batch_size, 1, self.n_features, generator=generator)
        amplitude = torch.randn(batch_size, self.n_features, 1, generator=generator)
        return ((x @ frequency + phase).cos() @ amplitude).squeeze(-1)
