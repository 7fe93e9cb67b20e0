"""Squared errors of forecasts, discounted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skcmanp.mixture.linear import discounts

Array = NDArray[np.float64]

_OUTLIER = 6.0  # errors beyond so many of the least root mean square count no more


@dataclass(frozen=True, eq=False)
class SquaredErrors:
    """Discounted sums of the squared errors of J forecasts.

    Parameters
    ----------
    half_life : float
        In rows.
    sums : ndarray (J,)
    weight : float
        Discounted number of rows.
    """

    half_life: float
    sums: Array
    weight: float = 0.0

    @classmethod
    def empty(cls, n_forecasts: int, half_life: float) -> SquaredErrors:
        """Of no rows."""
        return cls(half_life, np.zeros(n_forecasts))

    @property
    def least(self) -> float:
        """Mean squared error of the best forecast; infinite before any row."""
        return float(self.sums.min() / self.weight) if self.weight else np.inf

    def learned(self, errors: Array, floor: float = 0.0) -> SquaredErrors:
        """With the errors of further rows, (J, n); those below `floor` are of rounding."""
        n, weights = errors.shape[1], discounts(errors.shape[1], self.half_life)
        squares = np.minimum(np.square(errors), _OUTLIER**2 * max(self.least, floor**2))
        keep = np.exp2(-n / self.half_life)
        return replace(self, sums=keep * self.sums + squares @ weights, weight=keep * self.weight + weights.sum())
