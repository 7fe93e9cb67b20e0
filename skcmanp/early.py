"""The first rows of a stream, kept until there are enough to fix the scaling by."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Length-scales are fitted to 512 rows at most, and with a thousand they hardly change any more.
ENOUGH = 1000


@dataclass(frozen=True, eq=False)
class EarlyRows:
    """Rows as they were given, and to how many of them the scaling was fitted last.

    A stream may start with a single row, which says nothing of what is typical.
    So what the first data fix is fitted anew whenever they have doubled, which
    keeps the cost per row constant, and for the last time once they are enough.

    Parameters
    ----------
    X : ndarray (n, d)
    y : ndarray (n, t)
    weight : ndarray (n,), optional
    n_fitted : int, default=0
    """

    X: NDArray
    y: NDArray
    weight: Array | None
    n_fitted: int = 0

    @property
    def n_rows(self) -> int:
        """Number of rows that weigh something."""
        return len(self.X) if self.weight is None else int(np.count_nonzero(self.weight))

    @property
    def weights(self) -> Array:
        """One for each row, (n,)."""
        return np.ones(len(self.X)) if self.weight is None else self.weight

    @property
    def is_due(self) -> bool:
        """Whether to fit the scaling to these rows now."""
        return self.n_rows >= min(2 * self.n_fitted, ENOUGH)

    def fitted(self) -> EarlyRows | None:
        """After the scaling was fitted to these: a copy of those that weigh something, or None if they were enough."""
        if self.n_rows >= ENOUGH:
            return None
        empty = EarlyRows(self.X[:0], self.y[:0], None, n_fitted=self.n_rows)
        return empty.extended(self.X, self.y, self.weight)

    def extended(self, X: NDArray, y: NDArray, weight: Array | None) -> EarlyRows:
        """With those of further rows that weigh something."""
        if weight is not None:
            X, y, weight = (array[weight > 0] for array in (X, y, weight))
        joined = None
        if self.weight is not None or weight is not None:
            joined = np.concatenate([rows.weights for rows in (self, EarlyRows(X, y, weight))])
        return replace(self, X=np.concatenate([self.X, X]), y=np.concatenate([self.y, y]), weight=joined)

    def decayed(self, gamma: float) -> EarlyRows | None:
        """With weights multiplied by `gamma`; none are left of 0."""
        return replace(self, weight=gamma * self.weights) if gamma else None
