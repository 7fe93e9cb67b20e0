"""Main effects: what every feature does alone, whatever the others are.

A process of all features together knows a function near its points alone. That
part of a function which is a sum over features is known wherever each feature
by itself has been seen, and takes few numbers: cosines of the feature's rank
among the first rows, so that outliers and skew spend none of them. Beyond the
range of these rows they fade, and what they no longer carry is uncertain.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

# Values of a feature whose ranks are kept; between them ranks are interpolated.
N_KNOTS = 17

# Most cosines of a feature, and the share of the memory's features that all together may be.
MAX_COSINES = 8
_SHARE = 5

# How far beyond the range of the first rows effects are known, relative to the range, and at least.
_REACH = 0.25
_LEAST_REACH = 1e-3


class Effects(NamedTuple):
    """Ranks of the features, and how large their effects may be, of a batch of contexts."""

    knots: Tensor  # values of the features, not decreasing, (B, d, N_KNOTS)
    ranks: Tensor  # of these among the rows, from 0 to 1, (B, d, N_KNOTS)
    scale: Tensor  # prior standard deviations of the cosines' coefficients, (B, d, n)

    def features(self, x: Tensor) -> Tensor:
        """Features whose standard normal combinations are the effects, (B or 1, N, at least d) -> (B, N, e)."""
        return (self.waves(x, self.scale.shape[-1]) * self.scale.unsqueeze(1)).flatten(-2)[..., self._used()]

    @property
    def n_features(self) -> int:
        """How many of d * n cosines have a coefficient, at most."""
        return int(self._used().sum())

    def _used(self) -> Tensor:
        return (self.scale != 0).flatten(-2).any(0)  # (d * n,)

    def missing(self, x: Tensor) -> Tensor:
        """Variance that effects lose beyond the ranges of the first rows, (B or 1, N, at least d) -> (B, N)."""
        lost = 1 - _fading(x[..., : self.knots.shape[1]], self.knots).square()  # (B, N, d)
        return (lost * self.scale.square().sum(-1).unsqueeze(1)).sum(-1)

    def waves(self, x: Tensor, n: int) -> Tensor:
        """Cosines of the features' ranks, (B or 1, N, at least d) -> (B, N, d, n)."""
        return cosines(x[..., : self.knots.shape[1]], self.knots, self.ranks, n)

    def carried(self) -> Tensor:
        """Of a variance of one, what the effects have, (B,)."""
        return self.scale.square().sum((-2, -1))


def n_cosines(n_features: int, n_points: int) -> int:
    """Cosines of every feature, in a memory of so many points and cosines.

    None of fewer than three features: points cover a plane well, and on maps
    effects would run across the gaps.

    Examples
    --------
    >>> from skcmanp.effects import n_cosines
    >>> [n_cosines(n_features, 415) for n_features in (2, 5, 10, 32)]
    [0, 8, 8, 2]
    """
    return min(MAX_COSINES, n_points // _SHARE // n_features) if n_features > 2 else 0


def fall_off(smoothness: float, n: int) -> Array:
    """Variances of cosines' coefficients as a Matern-5/2 process has them, of sum one, (n,)."""
    density = (1 + np.square(smoothness * np.arange(1, n + 1))) ** -3.0
    return density / density.sum()


def fit_ranks(x: Array, weight: Array) -> tuple[Array, Array]:
    """Values of every feature that represent all, and their ranks, (n, d) and (n,) -> (d, N_KNOTS) twice.

    A rank is the share of the weight below, and half of that which is equal.
    """
    knots, ranks = np.zeros((2, x.shape[1], N_KNOTS))
    for j, column in enumerate(x.T):
        values, inverse = np.unique(column, return_inverse=True)
        mass = np.bincount(inverse, weight)
        rank = (np.cumsum(mass) - mass / 2) / mass.sum()
        if len(values) > N_KNOTS:
            chosen = np.searchsorted(rank, np.linspace(rank[0], rank[-1], N_KNOTS))
        else:
            chosen = np.minimum(np.arange(N_KNOTS), len(values) - 1)
        knots[j], ranks[j] = values[chosen], rank[chosen]
    return knots, ranks


def row_cosines(x: Array, knots: Array, ranks: Array, n: int) -> Array:
    """`cosines` of arrays without a batch, (n_rows, d) -> (n_rows, d, n)."""
    rows, at, values = (torch.tensor(array).unsqueeze(0) for array in (x, knots, ranks))
    return cosines(rows, at, values, n)[0].numpy()


def cosines(x: Tensor, knots: Tensor, ranks: Tensor, n: int) -> Tensor:
    """Cosines of the features' ranks, of variance one if these are uniform, (B or 1, N, d) -> (B, N, d, n), float64."""
    knots, ranks, fading = knots.double(), ranks.double(), _fading(x, knots).unsqueeze(-1)
    x = x.double().mT.expand(len(knots), -1, -1).contiguous()  # (B, d, N)
    above = torch.searchsorted(knots.contiguous(), x, right=True).clamp(1, N_KNOTS - 1)
    (low, high), (rank, next_rank) = ((t.gather(-1, above - 1), t.gather(-1, above)) for t in (knots, ranks))
    width = high - low
    share = ((x - low) / torch.where(width > 0, width, torch.ones_like(width))).clamp(0, 1)
    rank = (rank + share * (next_rank - rank)).mT.unsqueeze(-1)  # (B, N, d, 1)
    return fading * math.sqrt(2) * (math.pi * torch.arange(1, n + 1, device=x.device) * rank).cos()


def _fading(x: Tensor, knots: Tensor) -> Tensor:
    """From one in the range of a feature's knots to zero far from it, as a Matern-5/2 process, (B, N, d)."""
    x, low, high = x.double(), knots[..., 0].double().unsqueeze(1), knots[..., -1].double().unsqueeze(1)
    beyond = (low - x).clamp(min=0) + (x - high).clamp(min=0)
    r = math.sqrt(5) * beyond / (_REACH * (high - low)).clamp(min=_LEAST_REACH)
    return matern52(r)


def matern52(r: Tensor) -> Tensor:
    """Matern-5/2 kernel of unit variance at distances times the root of five, any shape."""
    return (1 + r + r.square() / 3) * (-r).exp()
