"""A canonical sample of the first rows: the same whatever their order, their chunks and their last digits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skcmanp.adaptation.base import Array

MAX_ROWS = 2048

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

    x: Array  # (n, d)
    y: Array  # (n, t)
    weight: Array  # positive, (n,)

    def take(self, chosen: Any) -> Rows:
        """Some of the rows: a slice, numbers or a mask."""
        return Rows(*(array[chosen] for array in self))


def sample_rows(chunks: Iterable[tuple[Array, Array, Array | None]]) -> Rows:
    """At most `MAX_ROWS` different rows; which, and in which order, depends on their values alone.

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
        kept = _chosen(*(rows if kept is None else (np.concatenate(pair) for pair in zip(kept, rows, strict=True))))
    assert kept is not None
    x, y, weight = kept
    return Rows(_rounded(x), _rounded(y), weight)


def project(values: Array) -> Array:
    """A number for every row that tells different ones apart and changes little with them, (n, k) -> (n,)."""
    return values @ np.random.default_rng(0).uniform(0.5, 1.5, values.shape[1])


def split_rows(rows: Rows, n_parts: int) -> NDArray[np.int64]:
    """Parts of equal numbers of rows, each like all of them, (n,); neighbours are in different ones."""
    projection = project(np.arcsinh(np.column_stack([rows.x, rows.y])))
    return np.argsort(np.argsort(projection, kind="stable"), kind="stable") % n_parts


def _chosen(x: Array, y: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Different rows, those of the smallest pseudorandom numbers."""
    values = np.arcsinh(np.column_stack([x, y]))
    projection = project(values)
    order = np.argsort(projection, kind="stable")  # equal rows are neighbours
    x, y, weight, values, projection = (array[order] for array in (x, y, weight, values, projection))
    is_new = np.r_[True, np.abs(np.diff(values, axis=0)).max(axis=1) > _SAME]
    group = np.cumsum(is_new) - 1
    number = _FREQUENCY * projection[is_new]
    first = np.flatnonzero(is_new)[np.argsort(number - np.floor(number), kind="stable")[:MAX_ROWS]]
    return x[first], y[first], np.bincount(group, weight).astype(np.float64)[group[first]]


def _rounded(values: Array) -> Array:
    return np.round(values / _RESOLUTION) * _RESOLUTION
