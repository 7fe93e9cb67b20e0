"""The last rows of a stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skcmanp.validation import Rows

Array = NDArray[np.float64]

_ROUNDING = 1e-9  # relative


@dataclass(frozen=True, eq=False)
class Ring:
    """At most `size` rows, the oldest of which go as new ones come.

    Parameters
    ----------
    size : int
    X : ndarray (n, d)
    y : ndarray (n, 1)
    """

    size: int
    X: Array
    y: Array

    @classmethod
    def empty(cls, size: int, n_features: int) -> Ring:
        """Of no rows."""
        return cls(size, np.empty((0, n_features)), np.empty((0, 1)))

    def __len__(self) -> int:
        return len(self.y)

    @property
    def is_constant(self) -> bool:
        """Whether all targets are the same, but for rounding."""
        return bool(np.ptp(self.y) <= _ROUNDING * np.abs(self.y[0, 0])) if len(self) else True

    def learned(self, X: Array, y: Array) -> Ring:
        """With further rows, (n, d) and (n, 1)."""
        return Ring(self.size, np.concatenate([self.X, X])[-self.size :], np.concatenate([self.y, y])[-self.size :])

    def with_last_targets(self, y: Array) -> Ring:
        """With other targets of the last rows, (n, 1)."""
        return Ring(self.size, self.X, np.concatenate([self.y[: -len(y)], y]))

    def last(self, n: int, but: int = 0) -> Rows:
        """The last n rows, or all if they are fewer; those before the last `but` ones."""
        stop = len(self) - but
        rows = slice(max(stop - n, 0), stop)
        return Rows(self.X[rows], self.y[rows])
