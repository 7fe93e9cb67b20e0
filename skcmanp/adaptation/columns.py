"""Centre and scale of columns: by their moments among the first rows, or by declared bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

from skcmanp.adaptation.base import MIN_SCALE, Array, Frozen
from skcmanp.validation import MIN_WEIGHT

# Scaled values beyond this say nothing more; it keeps their squares finite.
LARGEST = 1e30

# Below this standard deviation, relative to the largest value, a column is constant.
RELATIVE_RESOLUTION = 1e-13

# Moments are rounded to this share of the scale, so that rounding errors of the rows' order cannot show.
_ROUNDING = 2.0**-36

_MOMENT_ROWS = 65_536


@dataclass(frozen=True, eq=False)
class Columns(Frozen):
    """Centre and scale of k columns, (k,) each."""

    largest = float(np.finfo(np.float64).max)
    divisors = ("scale",)
    centre: Array
    scale: Array

    def scaled(self, values: NDArray) -> Array:
        """Values in units of the scale, (n, k) -> (n, k)."""
        with np.errstate(over="ignore"):
            return np.clip((values.astype(np.float64, copy=False) - self.centre) / self.scale, -LARGEST, LARGEST)

    @classmethod
    def fit(
        cls,
        name: str,
        columns: NDArray,
        weight: Array | None,
        bounds: ArrayLike | None = None,
        standardize: bool = True,
        few: float = 0,
    ) -> Self:
        """Centre and scale by declared bounds, or else by moments, or else none.

        Raises
        ------
        ValueError
            If bounds are not a pair of finite numbers with low < high.
        """
        if bounds is not None:
            return cls(*_bounds_moments(name, bounds, columns.shape[1]))
        if standardize:
            return cls(*_moments(columns, weight, few))
        return cls(np.zeros(columns.shape[1]), np.ones(columns.shape[1]))


def dense(X: Any) -> NDArray:
    """An array of rows, which may be a sparse matrix."""
    return X.toarray() if issparse(X) else X


def row_chunks(
    X: NDArray, y: NDArray, weight: Array | None, size: int, order: NDArray[np.intp] | None = None
) -> Iterator[tuple[Array, Array, Array | None]]:
    """Split rows into float64 chunks of at most `size`, without those of zero weight, in an `order` if it is given."""
    for start in range(0, len(y), size):
        rows = slice(start, start + size) if order is None else order[start : start + size]
        x_chunk, y_chunk = X[rows], y[rows]
        x_chunk = dense(x_chunk)
        w_chunk = None if weight is None else weight[rows]
        if w_chunk is not None and not w_chunk.all():
            keep = w_chunk > 0
            x_chunk, y_chunk, w_chunk = x_chunk[keep], y_chunk[keep], w_chunk[keep]
        if len(x_chunk):
            yield x_chunk.astype(np.float64, copy=False), y_chunk.astype(np.float64, copy=False), w_chunk


def _moments(columns: NDArray, weight: Array | None, few: float = 0) -> tuple[Array, Array]:
    """Weighted mean and standard deviation of the columns, (n, k) -> (k,), (k,).

    Columns count from the middle of their range and in units of it, so offsets
    cost no digits, and squares neither overflow nor underflow. A constant
    column has the scale of its value, but at most one: a year that is the same
    in all first rows may be another one later. Missing values say nothing.

    Fewer than `few` rows may be close to each other by chance, so the square of
    their distance from zero is added to their variance, divided by their number.
    """

    def chunks() -> Iterator[tuple[Array, Array]]:
        for values, _, w in row_chunks(columns, np.empty((columns.shape[0], 0)), weight, _MOMENT_ROWS):
            yield values, np.ones(len(values)) if w is None else w

    low = np.min([np.where(np.isnan(values), np.inf, values).min(axis=0) for values, _ in chunks()], axis=0)
    high = np.max([np.where(np.isnan(values), -np.inf, values).max(axis=0) for values, _ in chunks()], axis=0)
    low, high = np.where(low > high, 0.0, low), np.where(low > high, 0.0, high)  # nothing but missing values
    peak = np.maximum(np.abs(low), np.abs(high))
    middle, radius = low / 2 + high / 2, high / 2 - low / 2
    constant = radius <= np.maximum(RELATIVE_RESOLUTION * peak, MIN_SCALE)
    unit = np.where(constant, 1.0, radius)
    total, n_rows = np.sum([(w.sum(), len(w)) for _, w in chunks()], axis=0)
    present = np.maximum(sum(w @ ~np.isnan(values) for values, w in chunks()), MIN_WEIGHT)
    offset = sum(w @ np.nan_to_num((values - middle) / unit) for values, w in chunks()) / present
    squares = (w @ np.nan_to_num(np.square((values - middle) / unit - offset)) for values, w in chunks())
    variance = sum(squares) / present
    constant |= np.sqrt(variance) * unit <= np.maximum(RELATIVE_RESOLUTION * peak, MIN_SCALE)
    offset, scale = np.where(constant, 0.0, offset), np.where(constant, 1.0, np.sqrt(variance))
    centre = middle + _rounded(offset, scale) * unit
    spread = np.where(constant, 0.0, scale) * unit
    count = max(total, n_rows)  # weights may be normalised to a sum of one
    if count < few:
        size = np.where(peak > MIN_SCALE, peak, 1.0)
        spread = size * np.sqrt(np.square(spread / size) * (1 + 1 / count) + np.square(centre / size) / count)
        constant = spread <= np.maximum(RELATIVE_RESOLUTION * peak, MIN_SCALE)
    constant_scale = np.minimum(np.where(peak > MIN_SCALE, peak, 1.0), 1.0)
    return centre, np.where(constant, constant_scale, _rounded(spread, spread))


def _rounded(values: Array, scale: Array) -> Array:
    """To a small fraction of the scale's power of two, which costs no digits."""
    grid = _ROUNDING * 2.0 ** np.floor(np.log2(np.where(scale > 0, scale, 1.0)))
    return np.round(values / grid) * grid


def _bounds_moments(name: str, bounds: ArrayLike, width: int) -> tuple[Array, Array]:
    """Mean and standard deviation of uniform columns between declared bounds."""
    message = f"{name}={bounds!r} must be a pair (low, high) of finite numbers, or of {width} numbers each, low < high."
    try:
        low, high = (np.broadcast_to(np.asarray(b, dtype=np.float64), (width,)) for b in bounds)  # type: ignore[union-attr]
    except (TypeError, ValueError) as error:
        raise ValueError(message) from error
    scale = (high / 2 - low / 2) / np.sqrt(3.0)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (scale >= MIN_SCALE).all()):
        raise ValueError(message)
    return low / 2 + high / 2, scale
