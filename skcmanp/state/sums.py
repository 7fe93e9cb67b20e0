"""Sums of products of features and targets, which the conjugate memory is made of."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from skcmanp.bounds import are_all, is_within

Array = NDArray[np.float64]

# Rows that are scaled, and weigh what they may, stay far below; products of sums are still finite.
MAX_SUM = 1e140

# What is subtracted leaves rounding errors behind, relative to the largest sum.
_SLACK = 1e-6


@functools.lru_cache(maxsize=8)
def _lower_triangle(n: int) -> NDArray[np.intp]:
    """Where the lower triangle is among the entries; making that anew would be a quarter of a one-row update."""
    return np.ravel_multi_index(np.tril_indices(n), (n, n))


@functools.lru_cache(maxsize=8)
def _diagonal(n: int) -> NDArray[np.intp]:
    """Where a packed lower triangle has its diagonal."""
    return np.cumsum(np.arange(1, n + 1)) - 1


@dataclass(frozen=True, eq=False)
class RunningSums:
    """Sums over the rows read so far that the conjugate memory needs, float64.

    With features psi, targets y and weights w::

        a = sum w psi psi^T, its lower triangle row by row
        b = sum w psi y    c = sum w y^2    d = sum w psi y^2

    Shapes: a (F (F + 1) / 2,), the same for all targets; b, d (t, F, dy); c (t, dy).
    A network without memory has F = 0.
    """

    a: Array
    b: Array
    c: Array
    d: Array

    @classmethod
    def empty(cls, shape: tuple[int, int, int]) -> RunningSums:
        """The sums of no rows; `shape` is b's."""
        t, n_features, dim_y = shape
        return cls(np.zeros(n_features * (n_features + 1) // 2), np.zeros(shape), np.zeros((t, dim_y)), np.zeros(shape))

    @classmethod
    def of_rows(cls, psi: Array, y_and_squares: Array, dim_y: int) -> RunningSums:
        """Of few rows (n, F) and (n, 2 t dy), times the roots of their weights, one by one."""
        n_features = psi.shape[1]
        a = np.zeros(n_features * (n_features + 1) // 2)
        for row in psi:
            blas.dspr(n_features, 1.0, row, a, overwrite_ap=True)
        y = y_and_squares[:, : y_and_squares.shape[1] // 2]
        moments = (psi.T @ y_and_squares).reshape(n_features, 2, -1, dim_y).transpose(1, 2, 0, 3)  # (2, t, F, dy)
        return cls(a, moments[0].copy(), np.square(y).sum(0).reshape(-1, dim_y), moments[1].copy())

    @classmethod
    def pack(cls, a: Array, b: Array, c: Array, d: Array) -> RunningSums:
        """From a whole matrix `a`, (F, F)."""
        return cls(a.ravel().take(_lower_triangle(len(a))), b, c, d)

    def matrix(self) -> Array:
        """The whole of a, (F, F)."""
        n_features = self.b.shape[1]
        lower = np.zeros((n_features, n_features))
        lower.ravel()[_lower_triangle(n_features)] = self.a
        return lower + np.tril(lower, -1).T

    def combine(self, other: RunningSums) -> RunningSums:
        """The sums over the rows of both."""
        return RunningSums(self.a + other.a, self.b + other.b, self.c + other.c, self.d + other.d)

    def subtract(self, other: RunningSums, left: float, remainder: float) -> RunningSums:
        """The sums over the rows that are not in `other`, which weigh as much as is `left`.

        At least the share `remainder` of what there was must be left, or of what
        rows like the first ones have.

        Raises
        ------
        ValueError
            If sums of squares are left that are less than zero, or than can be
            known accurately.
        """
        a, c, diagonal = self.a - other.a, self.c - other.c, _diagonal(self.b.shape[1])
        least = -_SLACK * self.a[diagonal].max(initial=0.0)
        if (a[diagonal] < least).any() or (c < -_SLACK * self.c).any():
            raise ValueError(
                "Some of the rows that are to be forgotten are not among those that are remembered, or weigh more than "
                "these: forgotten twice, or never read."
            )
        for before, after in ((self.a[diagonal], a[diagonal]), (self.c, c)):
            if (np.maximum(after, left) < remainder * before).any():  # those of rows like the first ones are about one
                raise ValueError(
                    "The rows that are to be forgotten have values so far beyond all others that too few digits would "
                    "be left of these. Fit the remaining rows anew."
                )
        return RunningSums(a, self.b - other.b, np.maximum(c, 0.0), self.d - other.d)

    def decay(self, gamma: float) -> RunningSums:
        """All weights multiplied by `gamma`."""
        return RunningSums(self.a * gamma, self.b * gamma, self.c * gamma, self.d * gamma)

    def check_possible(self) -> None:
        """Raise ValueError unless there could be rows with these sums."""
        if not all(array.dtype == np.float64 for array in (self.a, self.b, self.c, self.d)):
            raise ValueError("The memory's sums are not of dtype float64.")
        n_packed = self.b.shape[1] * (self.b.shape[1] + 1) // 2 if self.b.ndim == 3 else -1
        if (self.a.shape, self.c.shape, self.d.shape) != ((n_packed,), self.b.shape[::2], self.b.shape):
            raise ValueError("The shapes of the memory's sums do not match.")
        largest = max(-self.a.min(initial=0.0), self.a.max(initial=0.0))  # for all sums of products are looked at once
        if not (largest <= MAX_SUM and all(is_within(array, MAX_SUM) for array in (self.b, self.c, self.d))):  # nor NaN
            raise ValueError("The memory's sums are not finite, or larger than rows can make them.")
        diagonal = self.a[_diagonal(self.b.shape[1])]
        largest_square = diagonal.max(initial=0.0)
        if not (are_all(diagonal >= -_SLACK * largest_square) and largest <= (1 + _SLACK) * largest_square):
            raise ValueError("The memory's sums of squares are negative, or less than its sums of products.")
        if not are_all(self.c >= 0):
            raise ValueError("The memory's sums of squared targets are negative.")
