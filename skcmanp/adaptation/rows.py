"""A canonical sample of the first rows, and folds: the same whatever their order, chunks and last digits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skcmanp.adaptation.base import Array

MAX_ROWS = 2048

# Parts that rows are split into, of which all but one say what a row of that one is read with.
N_FOLDS = 4

# Places per unit of a row's projection, whose rows share random numbers.
_PLACES = 64.0

# What a missing value counts as where rows are told apart, in standard deviations.
_MISSING = -10.0

# Rows that differ by less, in standard deviations, are the same.
_SAME = 1e-6

# Rows are rounded to this, so that rounding errors of the rows' order cannot show, which optimisers would amplify; a
# power of two, which costs no digits.
_RESOLUTION = 2.0**-20

# Periods of the pseudorandom number of a row per unit of its projection. It changes continuously with the row, so that
# a change by rounding moves a row past another one in thousands of samples only. A hash of rounded values would put
# every row that crosses a rounding boundary somewhere else.
_FREQUENCY = 16.0


class Rows(NamedTuple):
    """Different rows, standardised."""

    x: Array  # (n, d), NaN where values are missing
    y: Array  # (n, t)
    weight: Array  # positive, (n,)

    def take(self, chosen: Any) -> Rows:
        """Some of the rows: a slice, numbers or a mask."""
        return Rows(*(array[chosen] for array in self))


def sample_rows(chunks: Iterable[tuple[Array, Array, Array | None]], max_rows: int = MAX_ROWS) -> Rows:
    """At most `max_rows` different rows; which, and in which order, depends on their values alone.

    The first of them are the sample of fewer rows.

    Equal rows are one whose weight is the sum of theirs.

    Examples
    --------
    >>> import numpy as np
    >>> from skcmanp.adaptation.rows import sample_rows
    >>> x, y = np.random.default_rng(0).normal(size=(2, 5000, 1))
    >>> sample, reverse = sample_rows([(x, y, None)]), sample_rows([(x[::-1], y[::-1], None)])
    >>> sample.x.shape, np.array_equal(sample.x, reverse.x)
    ((2048, 1), True)
    """
    kept: tuple[Array, Array, Array] | None = None
    for x, y, weight in chunks:
        rows = x, y, np.ones(len(x)) if weight is None else weight
        if kept is not None:
            x, y, weight = (np.concatenate(pair) for pair in zip(kept, rows, strict=True))
            rows = x, y, weight
        kept = _chosen(*rows, max_rows)
    assert kept is not None
    x, y, weight = kept
    return Rows(_rounded(x), _rounded(y), weight)


def own_order(X: Any, y: Array, weight: Array) -> NDArray[np.intp]:
    """Numbers of rows (n, c) and (n, t), the lightest first, in an order that their values alone decide, (n,).

    X may be a sparse matrix. The order is the same to the bit: no number of a
    row is computed by operations that depend on where the row is.
    """
    share = np.random.default_rng(0).uniform(0.25, 0.5, X.shape[1]) / X.shape[1]
    if issparse(X):
        tie = X @ share
    else:
        tie = np.zeros(len(y))
        for column, size in zip(X.T, share, strict=True):
            tie += size * np.where(np.isnan(column), _MISSING, column)
    return np.lexsort((tie, *y.T, weight))


def project(values: Array) -> Array:
    """A number for every row that tells different ones apart and changes little with them, (n, k) -> (n,)."""
    return values @ np.random.default_rng(0).uniform(0.5, 1.5, values.shape[1])


def split_rows(rows: Rows, n_parts: int) -> NDArray[np.int64]:
    """Parts of equal numbers of rows, each like all of them, (n,); neighbours are in different ones."""
    projection = project(np.arcsinh(np.column_stack([rows.x, rows.y])))
    return np.argsort(np.argsort(projection, kind="stable"), kind="stable") % n_parts


def fold_of(x: Array, y: Array) -> NDArray[np.int64]:
    """Fold of every row, (n,), by the values of its features (n, e) and targets (n, t): always the same one."""
    return np.floor(N_FOLDS * place_uniform(places(np.column_stack([x, y])), 0)).astype(np.int64)


def places(values: Array) -> NDArray[np.uint64]:
    """Places of rows (n, k) in standard deviations: those that differ by rounding share one, but for a few."""
    return np.floor(_PLACES * project(_compressed(values))).astype(np.int64).astype(np.uint64)


def place_uniform(place: NDArray[np.uint64], draw: int | NDArray[np.integer]) -> Array:
    """Pseudorandom numbers between 0 and 1 of places and draws, of one shape, by the finaliser of MurmurHash3."""
    numbers = np.array(draw, dtype=np.uint64, ndmin=1) + np.uint64(1)
    key = place * np.uint64(0x9E3779B97F4A7C15) + numbers * np.uint64(0xD1B54A32D192ED03)
    for shift, multiplier in ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53)):
        key ^= key >> np.uint64(shift)
        key *= np.uint64(multiplier)
    key ^= key >> np.uint64(33)
    return (key >> np.uint64(11)).astype(np.float64) * 2.0**-53 + 2.0**-54


def _compressed(values: Array) -> Array:
    return np.arcsinh(np.where(np.isnan(values), _MISSING, values))


def _chosen(x: Array, y: Array, weight: Array, max_rows: int) -> tuple[Array, Array, Array]:
    """Different rows, those of the smallest pseudorandom numbers."""
    values = _compressed(np.column_stack([x, y]))
    projection = project(values)
    order = np.argsort(projection, kind="stable")  # equal rows are neighbours
    x, y, weight, values, projection = (array[order] for array in (x, y, weight, values, projection))
    is_new = np.r_[True, np.abs(np.diff(values, axis=0)).max(axis=1) > _SAME]
    group = np.cumsum(is_new) - 1
    number = _FREQUENCY * projection[is_new]
    first = np.flatnonzero(is_new)[np.argsort(number - np.floor(number), kind="stable")[:max_rows]]
    return x[first], y[first], np.bincount(group, weight).astype(np.float64)[group[first]]


def _rounded(values: Array) -> Array:
    return np.round(values / _RESOLUTION) * _RESOLUTION
