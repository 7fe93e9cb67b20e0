"""Boosted trees, refitted to the last rows of a stream."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from skcmanp.mixture.linear import discounts
from skcmanp.validation import Rows

Array = NDArray[np.float64]

# Few trees that each say much, of coarse features: nearly as accurate as the defaults, at a third of the cost.
_OPTIONS = {"max_iter": 40, "learning_rate": 0.22, "max_bins": 64, "early_stopping": False, "random_state": 0}
FEWEST = 40  # rows; fewer have no tree
_HALF_LIFE = 700.0  # of squared errors


@dataclass(frozen=True, eq=False)
class RecentTrees:
    """Gradient boosting of the last `window` rows, refitted as soon as the share `renewal` of them is new.

    Its standard deviation is that of its errors, discounted.

    Parameters
    ----------
    window : int
    renewal : float
    trees : HistGradientBoostingRegressor, optional
        None as long as there are too few rows: their mean then is the forecast.
    n_new : int
        Rows since the last fit.
    level, variance : float
        Mean and variance of the targets that were fitted last.
    squared_error, weight : float
        Discounted sums.
    """

    window: int
    renewal: float
    trees: HistGradientBoostingRegressor | None = None
    n_new: int = 0
    level: float = 0.0
    variance: float = 1.0
    squared_error: float = 0.0
    weight: float = 0.0

    def predict(self, X: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, (m, d) -> (m,), (m,)."""
        mean = np.full(len(X), self.level) if self.trees is None else self.trees.predict(X)
        # As if five rows had shown the variance of the targets.
        variance = (self.squared_error + 5 * self.variance) / (self.weight + 5)
        return mean, np.full(len(X), np.sqrt(variance))

    def learned(self, recent: Rows, errors: Array) -> RecentTrees:
        """With the last rows of the stream, so many of them new as there are errors of forecasts, (n,)."""
        n, n_new = len(errors), self.n_new + len(errors)
        keep = np.exp2(-n / _HALF_LIFE)
        scored = replace(
            self,
            n_new=n_new,
            squared_error=keep * self.squared_error + discounts(n, _HALF_LIFE) @ errors**2,
            weight=keep * self.weight + discounts(n, _HALF_LIFE).sum(),
        )
        n_rows = min(len(recent.y), self.window)
        if n_new < self.renewal * n_rows:
            return scored
        X, y = recent.X[-n_rows:], recent.y[-n_rows:, 0]
        trees = HistGradientBoostingRegressor(**_OPTIONS).fit(X, y) if n_rows >= FEWEST else None
        return replace(scored, trees=trees, n_new=0, level=float(y.mean()), variance=max(float(y.var()), 1e-300))
