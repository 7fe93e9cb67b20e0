"""Main effects: what every feature does alone, whatever the others are.

A process of all features together knows a function near its inducing points
alone. That part of a function which is a sum over features is known wherever
each feature by itself has been seen, and takes few numbers: cosines of the
feature's rank among the first rows, without what the trend says already.
Beyond the range of these rows they fade, while the trend goes on, and what they
no longer carry is uncertain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from skcmanp.adaptation.base import Array, Part, Values
from skcmanp.adaptation.columns import RELATIVE_RESOLUTION
from skcmanp.adaptation.ranks import N_KNOTS, are_ranks, cosines, fit_ranks, row_cosines

# Most cosines of a feature, and the share of the memory's features that all together may be.
MAX_COSINES = 8
_SHARE = 5


def n_cosines(n_features: int, n_places: int) -> int:
    """Cosines of every feature, in a memory with so many places for them and for inducing points.

    None of fewer than three features: inducing points cover a plane well, and on
    maps effects would run across the gaps.

    Examples
    --------
    >>> from skcmanp.adaptation.main_effects import n_cosines
    >>> [n_cosines(n_features, 415) for n_features in (2, 5, 10, 32)]
    [0, 8, 8, 2]
    """
    return min(MAX_COSINES, n_places // _SHARE // n_features) if n_features > 2 else 0


@dataclass(frozen=True, eq=False)
class MainEffects(Part):
    """Cosines of the features' ranks, less their regressions on the features.

    Parameters
    ----------
    knots, ranks : ndarray (d, N_KNOTS)
        See `skcmanp.adaptation.ranks.fit_ranks`.
    scale : ndarray (d, m)
        Prior standard deviations of the cosines' coefficients.
    intercept, slope : ndarray (d, m)
        Of the cosines' regressions.
    used : ndarray (f,), int64
        Which of the d m cosines are features: those whose scale is not zero.
    """

    name = "main_effects"
    integers: ClassVar[dict[str, type]] = {"used": np.int64}
    shapes: ClassVar = {
        "knots": f"d {N_KNOTS}",
        "ranks": f"d {N_KNOTS}",
        "scale": "d m",
        "intercept": "d m",
        "slope": "d m",
        "used": "f",
    }
    knots: Values
    ranks: Values
    scale: Values
    intercept: Values
    slope: Values
    used: Values

    @classmethod
    def fit(cls, x: Array, weight: Array, n: int) -> MainEffects:
        """Find ranks and regressions of the features of different rows, (n_rows, d); the scale is one."""
        knots, ranks = fit_ranks(x, weight)
        waves, share = row_cosines(x, knots, ranks, n), (weight / weight.sum())[:, None]
        centre, mean = (share * x).sum(0), (share[..., None] * waves).sum(0)  # (d,), (d, m)
        moved = x - centre
        variance = (share * np.square(moved)).sum(0)
        varies = variance > np.square(RELATIVE_RESOLUTION * np.abs(x).max(0))  # by more than rounding
        slope = np.einsum("nd,ndm->dm", share * moved, waves) / np.where(varies, variance, np.inf)[:, None]
        return cls(knots, ranks, np.ones_like(slope), mean - slope * centre[:, None], slope, np.arange(slope.size))

    def rescaled(self, scale: Array, lengthscale: Array) -> MainEffects:
        """With prior standard deviations (d, m), for features divided by their length-scales (d,)."""
        stretch = lengthscale[:, None]
        used = np.flatnonzero(scale)
        return MainEffects(self.knots / stretch, self.ranks, scale, self.intercept, self.slope * stretch, used)

    def check_rest(self, n_columns: int) -> None:
        self.require("ranks", are_ranks(self.knots, self.ranks), "ranks of ascending knots")
        self.require("scale", (self.scale >= 0).all(), "at least zero")
        self.require("used", np.array_equal(self.used, np.flatnonzero(self.scale)), "where the scale is positive")

    @property
    def n_features(self) -> int:
        return len(self.used)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | float]:
        waves, inside, fading = cosines(x, self.knots, self.ranks, self.scale.shape[1])
        waves = (waves - self.intercept - self.slope * inside.unsqueeze(-1)) * fading.unsqueeze(-1)
        lost = (1 - fading.square()) @ self.scale.square().sum(-1)
        return (waves * self.scale).flatten(-2)[..., self.used], lost
