"""Rows of a table as the columns of regressions and of trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from skcmanp.adaptation.encoding import Encoding
from skcmanp.frames import Kind

Array = NDArray[np.float64]

# Categories are hashed, so that those that come later need nothing to be fixed anew: to one of so many indicators of a
# regression (Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009), fewer of each column
# if there are many, or codes of trees.
_FEWEST, _MOST, _INDICATORS = 8, 64, 128
_CODES = 64


@dataclass(frozen=True, eq=False)
class StreamColumns:
    """What the first rows of a stream fix of its columns.

    Parameters
    ----------
    encoding : Encoding
        Of c columns of a table as e numbers.
    gaps : ndarray (e,), bool
        Which numbers were missing in some of the first rows: regressions are told.
    """

    encoding: Encoding
    gaps: NDArray[np.bool_]

    @classmethod
    def fit(cls, X: Array, kinds: Sequence[Kind]) -> Self:
        """By the first rows, (n, c)."""
        encoding = Encoding.fit(X, None, kinds)
        return cls(encoding, np.asarray(np.isnan(encoding(X)).any(axis=0)))

    @property
    def is_category(self) -> NDArray[np.bool_]:
        """Which of the numbers are hashed, (e,): categories, and columns of which nothing was known."""
        return np.isin(self.encoding.kinds, (Kind.CATEGORY, Kind.UNKNOWN))[self.encoding.source]

    def of_trees(self, X: Array) -> Array:
        """Numbers, some of them missing, and codes of categories, (n, c) -> (n, e)."""
        return np.where(self.is_category, _hashed(numbers := self.encoding(X), _CODES), numbers)

    def of_regressions(self, X: Array) -> Array:
        """Numbers, those that are missing in the middle, and indicators, (n, c) -> (n, p)."""
        encoded, is_category = self.encoding(X), self.is_category
        missing = np.isnan(encoded)
        n = int(np.clip(_INDICATORS // max(is_category.sum(), 1), _FEWEST, _MOST))
        buckets = _hashed(encoded[:, is_category], n)
        indicators = buckets[:, :, None] == np.arange(n)  # none of a category that is missing
        numbers = np.where(missing, 0.0, encoded)[:, ~is_category]
        return np.column_stack([numbers, missing[:, self.gaps & ~is_category], indicators.reshape(len(X), -1)])


def _hashed(identities: Array, n: int) -> Array:
    """Numbers from 0 to n - 1, NaN where identities are missing; small whole ones keep their differences."""
    return np.floor(np.abs(identities)) % n
