"""Targets: warped, centred and scaled, and what is said of them in their own units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from skcmanp.adaptation.base import Array
from skcmanp.adaptation.columns import Columns
from skcmanp.adaptation.warp import Warp

# Of fewer targets than this, the standard deviation says too little to be believed.
FEW = 5

# Nodes of the quadrature of warped targets, for a standard normal variable.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
WEIGHTS = WEIGHTS / WEIGHTS.sum()

# Hermite polynomials by which covariances of warped targets are expanded.
_ORDERS = 24


@dataclass(frozen=True, eq=False)
class Targets(Columns):
    """t targets: centre and scale of what the warp makes of them, and that.

    Parameters
    ----------
    centre, scale : ndarray (t,)
    bend, origin, top : ndarray (t,)
        See `Warp`.
    """

    name = "targets"
    shapes: ClassVar = dict.fromkeys(("centre", "scale", "bend", "origin", "top"), "t")
    positive = ("top",)
    bend: Array
    origin: Array
    top: Array

    @classmethod
    def fit_moments(cls, y: NDArray, weight: Array | None, bounds: ArrayLike | None, standardize: bool) -> Self:
        """As they are, centred and scaled.

        Raises
        ------
        ValueError
            If bounds are not a pair of finite numbers with low < high.
        """
        columns, warp = Columns.fit("y_bounds", y, weight, bounds, standardize, FEW), Warp.none(y.shape[1])
        return cls(columns.centre, columns.scale, *warp)

    def warped_by(self, warp: Warp, y: NDArray, weight: Array | None) -> Self:
        """With another warp; centre and scale of the targets that it bends are those of rows (n, t)."""
        if not warp.bend.any():
            return self
        columns = Columns.fit("y_bounds", warp(y.astype(np.float64)), weight)
        bent = warp.bend != 0
        centre, scale = np.where(bent, columns.centre, self.centre), np.where(bent, columns.scale, self.scale)
        return replace(self, centre=centre, scale=scale, bend=warp.bend, origin=warp.origin, top=warp.top)

    @property
    def warp(self) -> Warp:
        """What is done to them first."""
        return Warp(self.bend, self.origin, self.top)

    @property
    def is_warped(self) -> bool:
        """Whether any of them is bent."""
        return bool(self.bend.any())

    def scaled(self, values: NDArray) -> Array:
        """Values in the network's units, (n, t) -> (n, t)."""
        return super().scaled(self.warp(values.astype(np.float64, copy=False)) if self.is_warped else values)

    def original(self, scaled: Array) -> Array:
        """What `scaled` made of values, undone, (n, t, ...) -> (n, t, ...)."""
        columns = (-1, *(1,) * (scaled.ndim - 2))
        warped = scaled * self.scale.reshape(columns) + self.centre.reshape(columns)
        return self.warp.reshaped(columns).undone(warped) if self.is_warped else warped

    def log_slope(self, values: NDArray) -> Array:
        """Logarithm of the slope of `scaled` at values, by which densities differ, (n, t) -> (n, t)."""
        slope = np.broadcast_to(-np.log(self.scale), values.shape)
        return slope + self.warp.log_slope(values) if self.is_warped else slope

    # Of targets that are normal when scaled, in their own units:

    def moments(self, mean: Array, std: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, (n, t) each; by quadrature where targets are bent."""
        if not self.is_warped:
            return self.original(mean), std * self.scale
        values = self.original(mean[..., None] + std[..., None] * NODES)
        middle = values[..., len(NODES) // 2]
        off = values - middle[..., None]  # so that no digits are lost
        shift = off @ WEIGHTS
        return middle + shift, np.sqrt(np.square(off - shift[..., None]) @ WEIGHTS)

    def joint_moments(self, mean: Array, covariance: Array) -> tuple[Array, Array]:
        """Mean and covariance of all rows together, (n, t) and (n, n, t).

        Those of bent targets are sums over Hermite polynomials, by Mehler's
        formula; the diagonal holds the squares of the standard deviations of
        `moments`.
        """
        if not self.is_warped:
            return self.original(mean), covariance * np.square(self.scale)
        std = np.sqrt(np.diagonal(covariance).T)  # (n, t)
        moments = self.moments(mean, std)
        values = self.original(mean[..., None] + std[..., None] * NODES) - moments[0][..., None]
        correlation = covariance / (std[:, None] * std)
        total, power, order = np.zeros_like(covariance), np.ones_like(covariance), 1.0
        for k in range(1, _ORDERS + 1):
            power, order = power * correlation, order * k
            polynomial = np.polynomial.hermite_e.hermeval(NODES, [0.0] * k + [1.0])
            coefficient = values @ (WEIGHTS * polynomial) / np.sqrt(order)  # (n, t)
            total += coefficient[:, None] * coefficient * power
        np.einsum("iit->it", total)[...] = np.square(moments[1])
        return moments[0], total

    def quantiles(self, mean: Array, std: Array, levels: Array) -> Array:
        """Quantiles of q levels between 0 and 1, (n, t) each -> (n, t, q).

        As `scaled` is increasing, they are those of the scaled targets.
        """
        return self.original(mean[..., None] + std[..., None] * ndtri(levels))
