"""Bayesian linear regression that forgets: sums of products of rows, discounted with a half-life."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ITERATIONS = 8
_RESTART = 0.05
# Prior precision of standardised coefficients relative to the noise's: what evidence may choose.
_LEAST_RIDGE, _LARGEST_RIDGE = 1e-4, 1e6
# A column varies if its standard deviation is more than this share of its size.
_CONSTANT = 1e-9


def discounts(n_rows: int, half_life: float) -> Array:
    """Weights of consecutive rows after the last of them, (n_rows,)."""
    return np.exp2(-np.arange(n_rows - 1, -1, -1) / half_life)


class Solution(NamedTuple):
    """What sums say of the coefficients of standardised columns."""

    centre: Array  # (p,)
    scale: Array  # (p,), infinite for columns that do not vary
    level: float
    coefficients: Array  # (p,)
    noise: float  # variance
    vectors: Array  # V (p, p) and
    shrinkage: Array  # s (p,): coefficients have covariance noise V diag(s) V^T
    n_effective: float


@dataclass(frozen=True, eq=False)
class DiscountedRegression:
    """Bayesian linear regression on the rows of a stream, of which older ones count less.

    A row counts half after `half_life` further ones, so cuts of the stream into
    chunks do not matter. Coefficients of standardised columns have one normal
    prior, whose scale, as that of the noise, maximises the evidence (MacKay,
    "Bayesian interpolation", Neural Computation 4, 1992).

    Parameters
    ----------
    half_life : float
        In rows.
    origin : ndarray (p + 2,)
        Subtracted from columns before their products are summed, which keeps digits.
    sums : ndarray (p + 2, p + 2)
        Discounted products of 1, the columns and the target.
    last : float, default=1.0
        Prior scale of the last column's coefficient relative to the others': where
        it is small, another column that says the same is preferred.
    """

    half_life: float
    origin: Array
    sums: Array
    last: float = 1.0

    @classmethod
    def empty(cls, n_columns: int, half_life: float, last: float = 1.0) -> DiscountedRegression:
        """Of no rows."""
        return cls(half_life, np.zeros(n_columns + 2), np.zeros((n_columns + 2, n_columns + 2)), last)

    def learned(self, Z: Array, y: Array) -> DiscountedRegression:
        """With further rows, (n, p) and (n,)."""
        rows = np.column_stack([np.ones(len(y)), Z, y])
        origin = self.origin
        if not self.n_effective:
            origin = np.concatenate([[0.0], rows[:, 1:].mean(axis=0)])
        rows = rows - origin
        new = (rows * discounts(len(y), self.half_life)[:, None]).T @ rows
        return replace(self, origin=origin, sums=self.sums * np.exp2(-len(y) / self.half_life) + new)

    def restarted(self, Z: Array, y: Array) -> DiscountedRegression:
        """With nothing but these rows, (n, p) and (n,), which count little: some of them may be of the old world."""
        fresh = self.empty(Z.shape[1], self.half_life, self.last).learned(Z, y)
        return replace(fresh, sums=_RESTART * fresh.sums)

    @property
    def n_effective(self) -> float:
        """Sum of the discounts of all rows."""
        return float(self.sums[0, 0])

    def solve(self) -> Solution:
        """Coefficients of largest evidence."""
        n = self.n_effective
        mean = self.sums[0, 1:] / n
        covariance = self.sums[1:, 1:] / n - np.outer(mean, mean)
        std = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
        size = np.abs(mean) + np.abs(self.origin[1:])
        scale = np.where(std > _CONSTANT * size, std, np.inf)[:-1]
        scale[-1:] /= self.last
        spread = max(std[-1], _CONSTANT * size[-1], 1e-150)
        eigenvalues, vectors = np.linalg.eigh(covariance[:-1, :-1] / scale[:, None] / scale)
        eigenvalues = n * np.maximum(eigenvalues, 0.0)
        projected = n * (vectors.T @ (covariance[:-1, -1] / scale / spread))
        ridge = 1.0
        for _ in range(_ITERATIONS):
            mode = projected / (eigenvalues + ridge)
            n_determined = (eigenvalues / (eigenvalues + ridge)).sum()
            unexplained = n - 2 * mode @ projected + (eigenvalues * mode**2).sum()
            # The prior's pseudo-rows keep the noise positive where rows are as few as columns.
            noise = max(unexplained + 0.1, 1e-9) / max(n - 1 - n_determined, 0.5 * n)
            ridge = np.clip((n_determined + 1e-3) * noise / (mode @ mode + 1e-3 * noise), _LEAST_RIDGE, _LARGEST_RIDGE)
        return Solution(
            mean[:-1] + self.origin[1:-1],
            scale,
            mean[-1] + self.origin[-1],
            vectors @ mode * spread,
            noise * spread**2,
            vectors,
            1 / (eigenvalues + ridge),
            n,
        )

    def predict(self, Z: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, noise included, (m, p) -> (m,), (m,)."""
        found = self.solve()
        rows = (Z - found.centre) / found.scale
        uncertain = 1 / found.n_effective + (rows @ found.vectors) ** 2 @ found.shrinkage
        return found.level + rows @ found.coefficients, np.sqrt(found.noise * (1 + uncertain))
