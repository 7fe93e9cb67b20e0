"""Columns of any kind as numbers in standard deviations of the first rows.

Dates are made into what may matter about them. Categories keep their
identities, and what is missing stays NaN: what these mean, other parts say.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

from skcmanp.adaptation.base import Array, Frozen
from skcmanp.adaptation.columns import Columns, dense
from skcmanp.frames import Kind

_DAY = 86_400.0

_KINDS = frozenset(map(int, Kind))
_CATEGORY, _DATE = int(Kind.CATEGORY), int(Kind.DATE)  # whose look-up would take longer than what is done with them

# Rows farther from a declared centre than so many scales have one of their own.
_FAR = 100.0

# Days of a year, of a week, and hours of a day.
DATE_FEATURES = 4


@dataclass(frozen=True, eq=False)
class Encoding(Frozen):
    """Columns of a table -> e numbers, of which categories' are identities.

    Parameters
    ----------
    kinds : ndarray (c,), int64
        A `Kind` for every column of the table.
    centre, scale : ndarray (e,)
        Of the numbers; 0 and 1 of categories.
    """

    name = "encoding"
    shapes: ClassVar = {"kinds": "c", "centre": "e", "scale": "e"}
    largest = Columns.largest
    divisors = ("scale",)
    integers: ClassVar[dict[str, type]] = {"kinds": np.int64}
    kinds: NDArray[np.int64]
    centre: Array
    scale: Array

    @classmethod
    def fit(
        cls,
        X: NDArray,
        weight: Array | None,
        kinds: Sequence[Kind] | None = None,
        bounds: ArrayLike | None = None,
        standardize: bool = True,
    ) -> Self:
        """By moments of rows (n, c), or by declared bounds, or by nothing; all are numbers unless `kinds` say else.

        Raises
        ------
        ValueError
            If bounds are not a pair of finite numbers with low < high, or of
            columns that are no numbers.
        """
        own = np.full(X.shape[1], Kind.NUMBER, dtype=np.int64) if kinds is None else np.array(kinds, dtype=np.int64)
        own[_all_missing(X, weight)] = Kind.UNKNOWN  # what further rows say of a column's kind must not matter
        if bounds is not None and (other := own[own > Kind.NUMBER]).size:
            raise ValueError(
                f"x_bounds={bounds!r} are given, but X has {len(other)} columns of categories or dates, which have no "
                "bounds; leave x_bounds=None, or encode these columns as numbers."
            )
        columns = Columns.fit("x_bounds", _expanded(X, own), weight, bounds, standardize)
        category = np.repeat(own == Kind.CATEGORY, _width(own))
        return cls(own, np.where(category, 0.0, columns.centre), np.where(category, 1.0, columns.scale))

    def near(self, X: NDArray, weight: Array | None) -> Self:
        """With the centre of rows (n, c) where these are so far off that their distances would lose digits."""
        own = Columns.fit("X", _expanded(X, self.kinds), weight)
        far = ~self.is_category & (np.abs(own.centre - self.centre) > _FAR * self.scale)
        return dataclasses.replace(self, centre=np.where(far, own.centre, self.centre))

    def check_rest(self, n_columns: int) -> None:
        kinds = self.kinds.tolist()
        self.require("kinds", _KINDS.issuperset(kinds), "known")
        n_numbers = len(kinds) + (DATE_FEATURES - 1) * kinds.count(_DATE)
        self.require("centre", len(self.centre) == n_numbers, "of all numbers")

    @functools.cached_property
    def source(self) -> NDArray[np.int64]:
        """Column of the table that every number is of, (e,)."""
        return np.repeat(np.arange(len(self.kinds)), _width(self.kinds))

    @functools.cached_property
    def is_category(self) -> NDArray[np.bool_]:
        """Which of the numbers are identities, (e,)."""
        return self.kinds[self.source] == _CATEGORY

    @property
    def categories(self) -> list[int]:
        """The same as indices."""
        return np.flatnonzero(self.is_category).tolist() if _CATEGORY in self.kinds.tolist() else []

    def __call__(self, X: NDArray) -> Array:
        """Numbers of rows, (n, c) -> (n, e)."""
        return Columns(self.centre, self.scale).scaled(_expanded(dense(X), self.kinds))


def _all_missing(X: NDArray, weight: Array | None) -> list[int]:
    """Columns without any value in rows that weigh something."""
    if issparse(X):
        return []
    rows = slice(None) if weight is None else np.flatnonzero(weight)
    first = X[0 if weight is None else np.argmax(weight > 0)]
    return [int(j) for j in np.flatnonzero(np.isnan(first)) if np.isnan(X[rows, j]).all()]


def _width(kinds: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many numbers are made of every column."""
    return np.where(kinds == _DATE, DATE_FEATURES, 1)


def _expanded(X: NDArray, kinds: NDArray[np.int64]) -> Array:
    """With all that may matter of dates in place of them, (n, c) -> (n, e)."""
    if not (kinds == Kind.DATE).any():
        return X
    X = dense(X).astype(np.float64, copy=False)
    return np.column_stack([_date_features(x) if kind == Kind.DATE else x for x, kind in zip(X.T, kinds, strict=True)])


def _date_features(seconds: Array) -> Array:
    """Days since 1970, day of the year, day of the week and hour of the day, (n,) -> (n, DATE_FEATURES)."""
    days = seconds / _DAY
    missing = np.isnan(days)
    whole = np.where(missing, 0, np.floor(days)).astype("datetime64[D]")
    of_year = (whole - whole.astype("datetime64[Y]")).astype(np.float64)
    of_week = (whole.astype(np.int64) + 3) % 7  # 1970 began on a Thursday
    of_day = (seconds - np.floor(days) * _DAY) / 3600
    return np.column_stack([days, *(np.where(missing, np.nan, values) for values in (of_year, of_week, of_day))])
