"""How the noise varies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from skcmanp.adaptation.base import Array, Frozen, Values
from skcmanp.adaptation.ranks import N_KNOTS, are_ranks, cosines
from skcmanp.kernels import matern52

# Inducing points that carry the noise's profile.
NOISE_POINTS = 50

# Cosines of every feature's rank that it has beside them, for features that the function ignores, or follows more
# slowly than the noise does.
NOISE_COSINES = 4

# Largest logarithm of a relative standard deviation whose square is a number by far.
MAX_LOG_STD = 300.0

# Weights of inducing points, in all, with which rounding errors of kernels do not show. Points that all but coincide
# have large ones, which cancel.
_MOST_WEIGHT = 1e8


@dataclass(frozen=True, eq=False)
class NoiseProfile(Frozen):
    """The noise's variance, relative to its mean among the first rows: heteroscedastic noise.

    Its logarithm is a combination of kernels at inducing points, which vanishes
    far from all of them, and of cosines of the features' ranks.

    Parameters
    ----------
    points : ndarray (q, d)
    lengthscale : ndarray (d,)
        In units of the features.
    weights : ndarray (q,)
    knots, ranks : ndarray (d, N_KNOTS)
        See `skcmanp.adaptation.ranks.fit_ranks`.
    coefficients : ndarray (d, NOISE_COSINES)
    """

    name = "noise"
    shapes: ClassVar = {
        "points": "q d",
        "lengthscale": "d",
        "weights": "q",
        "knots": f"d {N_KNOTS}",
        "ranks": f"d {N_KNOTS}",
        "coefficients": "d c",
    }
    positive = ("lengthscale",)
    points: Values
    lengthscale: Values
    weights: Values
    knots: Values
    ranks: Values
    coefficients: Values

    def check_rest(self, n_columns: int) -> None:
        self.require("ranks", are_ranks(self.knots, self.ranks), "ranks of ascending knots")
        points = self.points / self.lengthscale
        square = self.weights @ matern52(points, points) @ self.weights  # of the local part's norm, which it is within
        largest = math.sqrt(max(square, 0.0)) + math.sqrt(2) * np.abs(self.coefficients).sum()  # of a log-std
        is_number = largest < MAX_LOG_STD and np.abs(self.weights).sum() < _MOST_WEIGHT
        self.require("weights", is_number, "of a noise that is a number")

    def variance(self, x: Tensor) -> Tensor:
        """At rows, (..., N, d) -> (..., N), float64."""
        x = x.double()
        local = matern52(x / self.lengthscale, self.points / self.lengthscale) @ self.weights
        waves, _, fading = cosines(x, self.knots, self.ranks, self.coefficients.shape[1])
        by_feature = torch.einsum("...dm,dm->...d", waves, self.coefficients) * fading
        return (2 * (local + by_feature.sum(-1))).exp()

    def log_std(self, x: Array) -> Array:
        """Logarithm of the relative standard deviation at an array of rows, (n, d) -> (n,)."""
        return 0.5 * self.to("cpu").variance(torch.from_numpy(np.ascontiguousarray(x))).log().numpy()
