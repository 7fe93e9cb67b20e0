"""An estimator with River's interface. River is imported only when an adapter is made."""

from __future__ import annotations

import copy
import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from skcmanp.metrics import supports_std
from skcmanp.streaming.learning import is_fitted

Row = dict[Any, float]


def to_river(estimator: Any) -> Any:
    """A regressor with ``partial_fit``, as River's pipelines and evaluation take it.

    Features are those of the first row, in its order; further ones are ignored.

    Parameters
    ----------
    estimator : regressor with partial_fit
        It learns in place.

    Returns
    -------
    river.base.Regressor
        With ``learn_one``, ``predict_one``, which gives a ``river.proba.Gaussian``
        if ``with_dist=True``, ``learn_many``, ``predict_many``, and
        ``predict_interval_one(x, confidence=0.9)`` if the estimator has
        ``predict_interval``. Before any row is known, 0 is predicted, and
        intervals have no ends. Values may be whatever the estimator reads, such
        as text.

    Raises
    ------
    ImportError
        If river is not installed.
    TypeError
        If the estimator has no ``partial_fit``.

    Examples
    --------
    >>> from skcmanp import CMANPStreamRegressor
    >>> from skcmanp.streaming import to_river
    >>> model = to_river(CMANPStreamRegressor())  # doctest: +SKIP
    >>> model.learn_one({"hour": 8, "temperature": 21.5}, 240.0)  # doctest: +SKIP
    >>> model.predict_one({"hour": 9, "temperature": 22.0})  # doctest: +SKIP
    240.0
    """
    if not hasattr(estimator, "partial_fit"):
        raise TypeError(
            f"{type(estimator).__name__} has no partial_fit; choose an estimator that learns incrementally."
        )
    return _river_class()(estimator)


class _Adapter:
    """River's methods by scikit-learn's."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.features: list[Any] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.estimator, self.features)

    def clone(self, new_params: dict[str, Any] | None = None, include_attributes: bool = False) -> Any:
        """One that has learned nothing yet, or, to `include_attributes`, all that this one has."""
        if include_attributes:
            return copy.deepcopy(self)
        return to_river(clone((new_params or {}).get("estimator", self.estimator)))

    def learn_one(self, x: Row, y: float) -> None:
        """Learn a row."""
        features = self.features or list(x)
        self.estimator.partial_fit(_row(x, features), [y])
        self.features = features

    def predict_one(self, x: Row, *, with_dist: bool = False) -> Any:
        """Predict a row: a number, or with `with_dist` a ``river.proba.Gaussian``; 0 before any row is known."""
        if with_dist and not supports_std(self.estimator):
            raise TypeError(f"{type(self.estimator).__name__}.predict has no return_std: with_dist=True needs it.")
        known = is_fitted(self.estimator)
        if not with_dist:
            return float(self.estimator.predict(self._row(x))[0]) if known else 0.0
        from river.proba import Gaussian

        if not known:
            return Gaussian()
        mean, std = self.estimator.predict(self._row(x), return_std=True)
        return Gaussian._from_state(1, float(mean[0]), float(std[0]) ** 2, 0)  # as River's own regressions do

    def predict_interval_one(self, x: Row, confidence: float = 0.9) -> tuple[float, float]:
        """Low and high end of a row's interval, as ``predict_interval`` has it."""
        if not hasattr(self.estimator, "predict_interval"):
            raise TypeError(f"{type(self.estimator).__name__} has no predict_interval.")
        if not is_fitted(self.estimator):
            return -math.inf, math.inf
        low, high = self.estimator.predict_interval(self._row(x), confidence)
        return float(low[0]), float(high[0])

    def learn_many(self, X: Any, y: Any) -> None:
        """Learn several rows, in order of time."""
        features = self.features or list(X.columns)
        self.estimator.partial_fit(_values(X[features]), np.asarray(y, dtype=np.float64))
        self.features = features

    def predict_many(self, X: Any) -> Any:
        """Predict several rows, as a pandas Series; 0 before any row is known."""
        import pandas as pd

        if not is_fitted(self.estimator):
            return pd.Series(0.0, index=X.index)
        return pd.Series(self.estimator.predict(_values(X[self.features])), index=X.index)

    def _row(self, x: Row) -> NDArray[Any]:
        """Values of the known features, (1, d)."""
        return _row(x, self.features or list(x))


def _row(x: Row, features: list[Any]) -> NDArray[Any]:
    """Values of features, (1, d)."""
    if lacking := [name for name in features if name not in x]:
        raise KeyError(f"The row lacks {lacking}, which the first row had; give None where a value is missing.")
    return _values([[x[name] for name in features]])


def _values(rows: Any) -> NDArray[Any]:
    """Rows (n, d) as numbers, if they are, or as objects, which the estimator may read."""
    try:
        return np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        return np.asarray(rows, dtype=object)


@functools.cache
def _river_class() -> type:
    """The adapter as one of River's regressors."""
    from river.base import MiniBatchRegressor

    return type("RiverRegressor", (_Adapter, MiniBatchRegressor), {"__module__": __name__})


def _restored(estimator: Any, features: list[Any] | None) -> Any:
    """What was pickled."""
    adapter = to_river(estimator)
    adapter.features = features
    return adapter
