"""Ranks of the features among the first rows, and cosines of these.

Outliers and skew spend none of the resolution of ranks. Cosines of a rank are
an orthogonal basis of what one feature does.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skcmanp.adaptation.base import Array
from skcmanp.kernels import matern52_of

# Values of a feature whose ranks are kept; between them ranks are interpolated.
N_KNOTS = 17

# Values that differ by less, in standard deviations, are the same, as a few rounding errors are.
_SAME = 2.0**-18

# How far beyond the range of the first rows cosines are known, relative to the range, and at least.
_REACH = 0.25
_LEAST_REACH = 1e-3


class Cosines(NamedTuple):
    """Cosines of the features' ranks, and where these are known."""

    waves: Tensor  # of variance one if ranks are uniform, (..., N, d, n)
    inside: Tensor  # the features, clamped to the range of the first rows, (..., N, d)
    fading: Tensor  # from one within the range to zero far beyond it, (..., N, d)


def fall_off(smoothness: float, n: int) -> Array:
    """Variances of cosines' coefficients as a Matern-5/2 process has them, of sum one, (n,)."""
    density = (1 + np.square(smoothness * np.arange(1, n + 1))) ** -3.0
    return density / density.sum()


def fit_ranks(x: Array, weight: Array) -> tuple[Array, Array]:
    """Values of every feature that represent all, and their ranks, (n, d) and (n,) -> (d, N_KNOTS) twice.

    A rank is the share of the weight below, and half of that which is equal, but for rounding.
    Features are in their standard deviations.
    """
    knots, ranks = np.zeros((2, x.shape[1], N_KNOTS))
    for j, column in enumerate(x.T):
        values, inverse = np.unique(column, return_inverse=True)
        level = _levels(values)
        values, inverse = values[np.flatnonzero(np.diff(level, prepend=-1))], level[inverse]
        mass = np.bincount(inverse, weight)
        rank = (np.cumsum(mass) - mass / 2) / mass.sum()
        if len(values) > N_KNOTS:
            chosen = np.searchsorted(rank, np.linspace(rank[0], rank[-1], N_KNOTS))
        else:
            chosen = np.minimum(np.arange(N_KNOTS), len(values) - 1)
        knots[j], ranks[j] = values[chosen], rank[chosen]
    return knots, ranks


def are_ranks(knots: Array, ranks: Array) -> bool:
    """Whether both may be what `fit_ranks` returned."""
    return bool((np.diff(knots) >= 0).all() and (np.diff(ranks) >= 0).all() and ((ranks >= 0) & (ranks <= 1)).all())


def _levels(values: Array) -> NDArray[np.int64]:
    """Numbers of ascending values, those that differ by rounding being one, (n,)."""
    starts = np.r_[True, np.diff(values) > _SAME]
    level = np.cumsum(starts) - 1
    first, last = values[starts], values[np.r_[starts[1:], True]]
    starts |= (last - first > 8 * _SAME)[level]  # close together, but not equal
    return np.cumsum(starts) - 1


def cosines(x: Tensor, knots: Tensor, ranks: Tensor, n: int) -> Cosines:
    """Cosines of the ranks of rows, (..., N, d) with knots and ranks (d, N_KNOTS), float64."""
    columns = x.double().mT.contiguous()  # (..., d, N)
    low, high = knots[:, :1], knots[:, -1:]
    inside = columns.clamp(low, high)
    knots_of_all, ranks_of_all = (t.expand(*columns.shape[:-1], -1).contiguous() for t in (knots, ranks))
    above = torch.searchsorted(knots_of_all, inside, right=True).clamp(1, N_KNOTS - 1)
    (left, right), (rank, next_rank) = (
        (t.gather(-1, above - 1), t.gather(-1, above)) for t in (knots_of_all, ranks_of_all)
    )
    width = right - left
    share = ((inside - left) / torch.where(width > 0, width, torch.ones_like(width))).clamp(0, 1)
    rank = (rank + share * (next_rank - rank)).mT.unsqueeze(-1)  # (..., N, d, 1)
    numbers = torch.arange(1, n + 1, device=x.device, dtype=torch.float64)
    beyond = (columns - inside).abs() / (_REACH * (high - low)).clamp(min=_LEAST_REACH)
    return Cosines(math.sqrt(2) * (math.pi * numbers * rank).cos(), inside.mT, matern52_of(beyond).mT)


def row_cosines(x: Array, knots: Array, ranks: Array, n: int) -> Array:
    """The cosines of an array of rows within the range, (n_rows, d) -> (n_rows, d, n)."""
    rows, at, values = (torch.from_numpy(np.ascontiguousarray(array)) for array in (x, knots, ranks))
    return cosines(rows, at, values, n).waves.numpy()
