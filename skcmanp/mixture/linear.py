"""Bayesian linear regressions that forget: sums of products of rows, discounted with half-lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ITERATIONS = 8
# Prior precision of standardised coefficients relative to the noise's: what evidence may choose.
_LEAST_RIDGE, _LARGEST_RIDGE = 1e-4, 1e6
# Coefficients do not leave a target less certain than so many of its own standard deviations, and what they say of it.
_WIDEST = 3.0
# A column varies if its standard deviation is more than this share of its size.
_CONSTANT = 1e-9


def discounts(n_rows: int, half_life: float) -> Array:
    """Weights of consecutive rows after the last of them, (n_rows,)."""
    return np.exp2(-np.arange(n_rows - 1, -1, -1) / half_life)


class Solution(NamedTuple):
    """What sums say of the coefficients of standardised columns, for H half-lives."""

    centre: Array  # (H, p)
    scale: Array  # (H, p), infinite for columns that do not vary
    level: Array  # (H,)
    coefficients: Array  # (H, p)
    noise: Array  # variance, (H,)
    vectors: Array  # V (H, p, p) and
    shrinkage: Array  # s (H, p): coefficients have covariance noise V diag(s) V^T
    n_effective: Array  # (H,)
    spread: Array  # standard deviation of the target, (H,)


@dataclass(frozen=True, eq=False)
class DiscountedRegressions:
    """Bayesian linear regressions on the rows of a stream, of which older ones count less.

    One for each of H half-lives: a row counts half after so many further ones,
    so cuts of the stream into chunks do not matter. Coefficients of standardised
    columns have one normal prior, whose scale, as that of the noise, maximises
    the evidence (MacKay, "Bayesian interpolation", Neural Computation 4, 1992).

    Parameters
    ----------
    half_lives : ndarray (H,)
        In rows, ascending.
    origin : ndarray (H, p + 2)
        Subtracted from columns before their products are summed, which keeps digits.
    sums : ndarray (H, p + 2, p + 2)
        Discounted products of 1, the columns and the target.
    last : float, default=1.0
        Prior scale of the last column's coefficient relative to the others': where
        it is small, another column that says the same is preferred.
    n_encoded : int, default=0
        How many of the first columns are in standard deviations. Those of them that
        have not varied yet may matter as much as others, once they do.
    """

    half_lives: Array
    origin: Array
    sums: Array
    last: float = 1.0
    n_encoded: int = 0

    @classmethod
    def empty(
        cls, n_columns: int, half_lives: Sequence[float], last: float = 1.0, n_encoded: int = 0
    ) -> DiscountedRegressions:
        """Of no rows."""
        h, q = len(half_lives), n_columns + 2
        return cls(np.array(half_lives), np.zeros((h, q)), np.zeros((h, q, q)), last, n_encoded)

    def learned(self, Z: Array, y: Array) -> DiscountedRegressions:
        """With further rows, (n, p) and (n,)."""
        n = len(y)
        rows = np.column_stack([np.ones(n), Z, y])
        origin, keep = self.origin.copy(), np.exp2(-n / self.half_lives)
        origin[self.n_effective == 0, 1:] = rows[:, 1:].mean(axis=0)
        shifted = rows - origin[:, None]  # (H, n, p + 2)
        weight = np.array([discounts(n, half_life) for half_life in self.half_lives])
        new = (shifted * weight[:, :, None]).transpose(0, 2, 1) @ shifted
        return replace(self, origin=origin, sums=self.sums * keep[:, None, None] + new)

    def restarted(self, Z: Array, y: Array, weight: Array) -> DiscountedRegressions:
        """With a regression that forgets fastest, and knows these rows alone, (n, p) and (n,), which weigh (n,)."""
        rows = np.column_stack([np.ones(len(y)), Z, y])
        origin, sums = self.origin.copy(), self.sums.copy()
        origin[0, 1:] = rows[:, 1:].mean(axis=0)
        shifted = rows - origin[0]  # (n, p + 2)
        sums[0] = (shifted.T * (weight * discounts(len(y), self.half_lives[0]))) @ shifted
        return replace(self, origin=origin, sums=sums)

    def replaced(self, start: int, column: int, old: Array, new: Array) -> DiscountedRegressions:
        """As if a column had been another one all along, so that forecasts go on as they were.

        The `new` one (n,) of some rows is taken for a regression on q columns from
        number `start` on, whose `old` values are (n, q), and noise. It takes the
        place of the one that is number `column` of these.
        """
        found = self.empty(old.shape[1], [np.inf]).learned(old, new - old[:, column]).solve()
        slope = found.coefficients[0] / found.scale[0]
        level = found.level[0] - slope @ found.centre[0]
        slope[column] += 1
        first, at = 1 + start, 1 + start + column
        origin = self.origin[:, first : first + len(slope)]
        change = np.tile(np.eye(self.sums.shape[1]), (len(self.half_lives), 1, 1))
        change[:, at, first : first + len(slope)] = slope
        change[:, at, 0] = level + origin @ slope - origin[:, column]
        sums = change @ self.sums @ change.transpose(0, 2, 1)
        sums[:, at, at] += found.noise[0] * self.n_effective
        return replace(self, sums=sums)

    @property
    def n_effective(self) -> Array:
        """Sums of the discounts of all rows, (H,)."""
        return self.sums[:, 0, 0]

    def solve(self) -> Solution:
        """Coefficients of largest evidence."""
        n = self.n_effective[:, None]
        mean = self.sums[:, 0, 1:] / n
        covariance = self.sums[:, 1:, 1:] / n[:, :, None] - mean[:, :, None] * mean[:, None]
        std = np.sqrt(np.maximum(covariance.diagonal(axis1=1, axis2=2), 0.0))
        size = np.abs(mean) + np.abs(self.origin[:, 1:])
        unvaried = np.where(np.arange(std.shape[1]) < self.n_encoded, 1.0, np.inf)
        scale = np.where(std > _CONSTANT * size, std, unvaried)[:, :-1]
        scale[:, -1] /= self.last
        spread = np.maximum(np.maximum(std, _CONSTANT * size), 1e-150)[:, -1:]
        eigenvalues, vectors = np.linalg.eigh(covariance[:, :-1, :-1] / scale[:, :, None] / scale[:, None])
        eigenvalues = n * np.maximum(eigenvalues, 0.0)
        cross = covariance[:, :-1, -1] / scale / spread
        projected = n * (vectors.transpose(0, 2, 1) @ cross[:, :, None])[:, :, 0]
        ridge = np.ones_like(n)
        for _ in range(_ITERATIONS):
            mode = projected / (eigenvalues + ridge)
            n_determined = (eigenvalues / (eigenvalues + ridge)).sum(axis=1, keepdims=True)
            unexplained = n + (mode * (eigenvalues * mode - 2 * projected)).sum(axis=1, keepdims=True)
            # The prior's pseudo-rows keep the noise positive where rows are as few as columns.
            noise = np.maximum(unexplained + 0.1, 1e-9) / np.maximum(n - 1 - n_determined, 0.5 * n)
            squares = np.square(mode).sum(axis=1, keepdims=True)
            ridge = np.clip((n_determined + 1e-3) * noise / (squares + 1e-3 * noise), _LEAST_RIDGE, _LARGEST_RIDGE)
        return Solution(
            mean[:, :-1] + self.origin[:, 1:-1],
            scale,
            mean[:, -1] + self.origin[:, -1],
            (vectors @ mode[:, :, None])[:, :, 0] * spread,
            (noise * spread**2)[:, 0],
            vectors,
            1 / (eigenvalues + ridge),
            self.n_effective,
            spread[:, 0],
        )

    def predict(self, Z: Array) -> tuple[Array, Array]:
        """Means and standard deviations, noise included, (m, p) -> (H, m), (H, m)."""
        found = self.solve()
        rows = (Z - found.centre[:, None]) / found.scale[:, None]  # (H, m, p)
        spread = np.square(rows @ found.vectors) @ found.shrinkage[:, :, None]
        uncertain = 1 / found.n_effective[:, None] + spread[:, :, 0]
        change = (rows @ found.coefficients[:, :, None])[:, :, 0]
        # Where a column that has hardly varied of late does so again, next to nothing is known of its coefficient.
        largest = (_WIDEST * found.spread.max()) ** 2 + change**2
        variance = found.noise[:, None] + np.minimum(found.noise[:, None] * uncertain, largest)
        return found.level[:, None] + change, np.sqrt(variance)
