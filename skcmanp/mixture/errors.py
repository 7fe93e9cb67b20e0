"""What errors of forecasts are typical."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skcmanp.mixture.linear import discounts

Array = NDArray[np.float64]

# The geometric mean of a normal variable's absolute values is exp((digamma(1/2) + log(2)) / 2) = 0.53 standard
# deviations. Tails of errors are heavier, which is as much as a third more.
_STD_OF_GEOMETRIC_MEAN = 1.3 / 0.53


@dataclass(frozen=True, eq=False)
class TypicalErrors:
    """Geometric means of the absolute errors of J forecasts, discounted: a few wild rows change next to nothing.

    Parameters
    ----------
    half_life : float
        In rows.
    logs : ndarray (J,)
        Discounted sums of logarithms.
    weight : float
        Discounted number of rows.
    """

    half_life: float
    logs: Array
    weight: float = 0.0

    @classmethod
    def empty(cls, n_forecasts: int, half_life: float) -> TypicalErrors:
        """Of no rows."""
        return cls(half_life, np.zeros(n_forecasts))

    @property
    def least(self) -> float:
        """Standard deviation of the errors of the best forecast; infinite before any row."""
        return _STD_OF_GEOMETRIC_MEAN * float(np.exp(self.logs.min() / self.weight)) if self.weight else np.inf

    def learned(self, errors: Array, floor: float) -> TypicalErrors:
        """With the errors of further rows, (J, n); those below `floor` are of rounding."""
        n, weights = errors.shape[1], discounts(errors.shape[1], self.half_life)
        logs = np.log(np.maximum(np.abs(errors), floor))
        keep = np.exp2(-n / self.half_life)
        return replace(self, logs=keep * self.logs + logs @ weights, weight=keep * self.weight + weights.sum())
