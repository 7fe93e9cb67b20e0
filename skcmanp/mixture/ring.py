"""The last rows of a stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skcmanp.validation import Rows

Array = NDArray[np.float64]


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

    def learned(self, X: Array, y: Array) -> Ring:
        """With further rows, (n, d) and (n, 1)."""
        return Ring(self.size, np.concatenate([self.X, X])[-self.size :], np.concatenate([self.y, y])[-self.size :])

    def last(self, n: int) -> Rows:
        """The last n rows, or all if they are fewer."""
        return Rows(self.X[-n:], self.y[-n:])
