"""Boosted trees, refitted to the last rows of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import BayesianRidge
from sklearn.preprocessing import StandardScaler

from skcmanp.adaptation.trees import without_empty_columns
from skcmanp.mixture.columns import StreamColumns
from skcmanp.mixture.linear import discounts
from skcmanp.mixture.serial import REMADE
from skcmanp.validation import Rows

Array = NDArray[np.float64]

# Few small trees, of coarse features: as accurate on streams as the defaults, at a third of the cost.
_OPTIONS = {
    "max_iter": 40,
    "learning_rate": 0.25,
    "max_leaf_nodes": 15,
    "max_bins": 64,
    "early_stopping": False,
    "random_state": 0,
}
FEWEST = 40  # rows; fewer have no tree
_HALF_LIFE = 700.0  # of squared errors
# Share of the rows that is new when trees are refitted, and number of new rows after which they always are.
_RENEWAL, MOST_NEW = 0.1, 1000


@dataclass(frozen=True, eq=False)
class RecentTrees:
    """Gradient boosting of recent rows, refitted as soon as enough of them are new.

    Its standard deviation is that of its errors, discounted.

    Parameters
    ----------
    on_residuals : bool
        Fit the trees to what a linear regression on the features and the time,
        fitted to the same rows, leaves. So they follow what grows beyond all rows.
    trees : HistGradientBoostingRegressor, optional
        None as long as there are too few rows: their mean then is the forecast.
    line : ndarray (p + 2,), optional
        Coefficients of the linear regression, and its constant.
    n_fitted, n_new : int
        Rows of the last fit, and since.
    level, variance : float
        Mean and variance of the targets that were fitted last.
    squared_error, weight : float
        Discounted sums, over its forecasts.
    """

    on_residuals: bool
    trees: HistGradientBoostingRegressor | None = field(default=None, metadata=REMADE)
    line: Array | None = None
    n_fitted: int = 0
    n_new: int = 0
    level: float = 0.0
    variance: float = 1.0
    squared_error: float = 0.0
    weight: float = 0.0

    def predict(self, codes: Array, known: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, given columns of trees (m, e), and of regressions with the time (m, p + 1)."""
        mean = np.full(len(codes), self.level) if self.trees is None else self.trees.predict(codes)
        if self.line is not None:
            mean = mean + _along(self.line, known)
        # As if five rows had shown the variance of the targets.
        variance = (self.squared_error + 5 * self.variance) / (self.weight + 5)
        return mean, np.full(len(codes), np.sqrt(variance))

    def learned(self, columns: StreamColumns, recent: Rows, n_seen: int, errors: Array) -> RecentTrees:
        """With the last of `n_seen` rows, so many of them new as there are errors of forecasts, (n,)."""
        n_new, n_rows = self.n_new + len(errors), len(recent.y)
        keep, share = np.exp2(-len(errors) / _HALF_LIFE), discounts(len(errors), _HALF_LIFE)
        squared_error, weight = keep * self.squared_error + share @ errors**2, keep * self.weight + share.sum()
        scored = replace(self, n_new=n_new, squared_error=squared_error, weight=weight)
        if n_new < min(_RENEWAL * n_rows, MOST_NEW):
            return scored
        return scored._renewed(columns, recent, n_seen)

    def restarted(self, columns: StreamColumns, recent: Rows, n_seen: int) -> RecentTrees:
        """Of the last of `n_seen` rows, where all earlier errors say nothing of those to come."""
        return replace(self, squared_error=0.0, weight=0.0)._renewed(columns, recent, n_seen)

    def _renewed(self, columns: StreamColumns, recent: Rows, n_seen: int) -> RecentTrees:
        level, variance = float(recent.y.mean()), max(float(recent.y.var()), 1e-300)
        renewed = replace(self, n_fitted=len(recent.y), n_new=0, level=level, variance=variance)
        return renewed._fitted(columns, recent, n_seen)

    def remade(self, columns: StreamColumns, recent: Rows, n_seen: int) -> RecentTrees:
        """With the trees that were fitted last, given all that bytes hold, and enough of the last of `n_seen` rows."""
        known = len(recent.y) - self.n_new
        if not 0 <= known - self.n_fitted <= known:
            raise ValueError("the rows that trees were fitted to are missing")
        rows = slice(known - self.n_fitted, known)
        return self._fitted(columns, Rows(recent.X[rows], recent.y[rows]), n_seen - self.n_new)

    def _fitted(self, columns: StreamColumns, recent: Rows, n_seen: int) -> RecentTrees:
        """With trees of the last of so many rows."""
        y, n_rows, line = recent.y[:, 0], len(recent.y), None
        if n_rows < FEWEST:
            return replace(self, trees=None, line=None)
        if self.on_residuals:
            rows = np.column_stack([columns.of_regressions(recent.X), np.arange(n_seen - n_rows, n_seen)])
            scaler, ridge = StandardScaler().fit(rows), BayesianRidge()
            slope = ridge.fit(scaler.transform(rows), y).coef_ / scaler.scale_
            line = np.append(slope, ridge.intercept_ - slope @ scaler.mean_)
            y = y - _along(line, rows)
        trees = HistGradientBoostingRegressor(**_OPTIONS, categorical_features=columns.is_category)
        return replace(self, trees=trees.fit(without_empty_columns(columns.of_trees(recent.X)), y), line=line)


def _along(line: Array, rows: Array) -> Array:
    """Values of a line (p + 1,), whose constant is last, at rows (n, p)."""
    return rows @ line[:-1] + line[-1]
