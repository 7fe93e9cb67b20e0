"""The first rows of a stream, kept as long as what the first data fix is fitted to them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skcmanp.adaptation.columns import dense
from skcmanp.validation import MIN_WEIGHT, Rows

Array = NDArray[np.float64]

# Length-scales are fitted to 512 rows at most, and with a thousand they hardly change any more.
ENOUGH = 1000

# Numbers of rows at which what they fix is fitted anew.
COUNTS = (*(2**k for k in range(10)), ENOUGH)


@dataclass(frozen=True, eq=False)
class FirstRows:
    """The first rows of a stream that weigh something, fewer than a thousand.

    A stream may start with a single row, which says nothing of what is typical.
    So what the first data fix is fitted anew at 1, 2, 4, ..., 512 rows, which
    keeps the cost per row constant, and for the last time at a thousand. It is
    always fitted to exactly that many, so chunks of the stream do not matter.

    Parameters
    ----------
    X : ndarray (n, d), float64
    y : ndarray (n, t), float64
    weight : ndarray (n,), float64
        Positive.
    """

    X: Array
    y: Array
    weight: Array

    @classmethod
    def none(cls, n_features: int, n_outputs: int) -> FirstRows:
        """The beginning of a stream."""
        return cls(np.empty((0, n_features)), np.empty((0, n_outputs)), np.empty(0))

    @property
    def n_fitted(self) -> int:
        """To how many of these rows, the first ones, the adaptation is fitted."""
        return max((count for count in COUNTS if count <= len(self.X)), default=0)

    @property
    def rows(self) -> Rows:
        """All of them."""
        return Rows(self.X, self.y, self.weight)

    @property
    def fitted(self) -> Rows:
        """Those that the adaptation is fitted to."""
        return Rows(*(array[: self.n_fitted] for array in vars(self).values()))

    @property
    def are_enough(self) -> bool:
        """Whether the adaptation is fitted for the last time."""
        return len(self.X) == ENOUGH

    def extended(self, rows: Rows) -> tuple[FirstRows, Rows]:
        """With further rows of the stream, copied, until they are enough; and the rows after these."""
        room = ENOUGH - len(self.X)
        taken = np.arange(min(room, len(rows.y))) if rows.weight is None else np.flatnonzero(rows.weight)[:room]
        weight = np.ones(len(taken)) if rows.weight is None else rows.weight[taken]
        pairs = zip(vars(self).values(), (dense(rows.X[taken]), rows.y[taken], weight), strict=True)
        longer = FirstRows(*(np.concatenate([kept, more.astype(np.float64)]) for kept, more in pairs))
        return longer, rows.after(taken[-1] + 1)

    def decayed(self, gamma: float) -> FirstRows | None:
        """With weights multiplied by `gamma`, if only to next to nothing; none are left of 0."""
        return replace(self, weight=np.maximum(gamma * self.weight, MIN_WEIGHT)) if gamma else None

    def check_possible(self) -> None:
        """Raise ValueError unless these could be the first rows of a stream."""
        n = len(self.X)
        shapes = self.X.ndim == self.y.ndim == 2 and len(self.y) == n and self.weight.shape == (n,)
        if not (shapes and 0 < n < ENOUGH):
            raise ValueError("The shapes of the first rows do not match.")
        finite = np.isfinite(self.y).all() and np.isfinite(self.weight).all() and not np.isinf(self.X).any()
        if not (finite and (self.weight > 0).all()):
            raise ValueError("The first rows are not finite, or their weights not positive.")
