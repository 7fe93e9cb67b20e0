"""How far values have gone: those beyond are more often faulty readings than news."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from skcmanp.frames import Kind

Array = NDArray[np.float64]

_ENOUGH = 100  # rows; the range of fewer says little
# So many rows of a chunk, and such a share of it, are no faulty readings.
_MANY, _SHARE = 10, 0.25
# Among the first targets, faulty readings are those so many median deviations off, if they are no more than this share.
_FAULT, _FEW = 100.0, 0.05


@dataclass(frozen=True, eq=False)
class Reach:
    """The lowest and the highest value of every column of some rows.

    Parameters
    ----------
    low, high : ndarray (c,)
        NaN before any value.
    """

    low: Array
    high: Array

    @classmethod
    def of(cls, X: Array) -> Self:
        """Of rows, (n, c)."""
        return cls(np.fmin.reduce(X), np.fmax.reduce(X))

    def extended(self, X: Array) -> Reach:
        """Of these rows, too."""
        more = Reach.of(X)
        return Reach(np.fmin(self.low, more.low), np.fmax(self.high, more.high))

    def clipped(self, X: Array, kinds: Sequence[Kind], beyond: float) -> Array:
        """Rows with numbers and dates at most so many ranges beyond, (n, c) -> (n, c)."""
        with np.errstate(over="ignore"):
            size = np.where(np.isin(kinds, (Kind.NUMBER, Kind.DATE)), beyond * (self.high - self.low), np.nan)
        has_limits = ~np.isnan(size)
        low, high = np.where(has_limits, self.low - size, -np.inf), np.where(has_limits, self.high + size, np.inf)
        return np.clip(X, low, high)


@dataclass(frozen=True, eq=False)
class Limits:
    """The range of every column so far.

    Values count as those at most one range farther off, in predictions and in what
    is learned: of a single one of 1e9, linear regressions would tell for thousands
    of rows. So a range grows to at most three times its size with a chunk; but if
    many rows of the chunk are beyond, it is they that are right.

    Parameters
    ----------
    low, high : ndarray (c,)
        NaN before any value. Columns that have not varied yet have no limits.
    n_rows : int, default=0
        At first, no column has limits.
    """

    low: Array
    high: Array
    n_rows: int = 0

    @classmethod
    def none(cls, n_columns: int) -> Self:
        """Before any row."""
        return cls(np.full(n_columns, np.nan), np.full(n_columns, np.nan))

    def clipped(self, X: Array, kinds: Sequence[Kind]) -> Array:
        """Rows as they count, (n, c) -> (n, c): numbers and dates within reach."""
        if self.n_rows < _ENOUGH:
            return X
        return np.where(self.high > self.low, Reach(self.low, self.high).clipped(X, kinds, 1.0), X)

    def learned(self, X: Array, kinds: Sequence[Kind]) -> tuple[Limits, Array]:
        """With further rows (n, c), and these as they count from now on."""
        clipped = self.clipped(X, kinds)
        n_beyond = ((clipped != X) & ~np.isnan(X)).sum(axis=0)
        rows = np.where(n_beyond >= np.maximum(_MANY, _SHARE * len(X)), X, clipped)
        reach = Reach(self.low, self.high).extended(rows)
        return Limits(reach.low, reach.high, self.n_rows + len(rows)), rows


def without_faults(y: Array) -> Array:
    """The first targets, (n, 1), with the middle of all in place of a few that are out of all proportion."""
    far = np.abs(y - np.median(y))
    is_fault = far > _FAULT * np.median(far)
    return np.where(is_fault & (is_fault.mean() <= _FEW), np.median(y), y) if np.median(far) else y
