"""Regressors inside others: of pipelines, searches, stacks, and frozen ones."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from sklearn.ensemble import StackingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

__all__ = ["unwrap"]


def unwrap(estimator: Any, X: Any) -> tuple[Any, Any]:
    """The regressor inside, and the rows that it is given for `X`.

    What only the regressor can do is then one call away, whether scikit-learn's
    metadata routing is on or not: draws, densities, quantiles, more rows, decay.

    Parameters
    ----------
    estimator : regressor
        A fitted `Pipeline`, search with ``refit``, `StackingRegressor` or
        `FrozenEstimator`, also inside each other; any other is itself the
        regressor.
    X : array-like of shape (n_samples, n_features)
        As the estimator takes them.

    Returns
    -------
    regressor : regressor
        Of a pipeline the last step, of a search the best estimator, of a stack
        the final one. It is no copy: what it learns, the estimator has learned.
    rows : array-like of shape (n_samples, n_features_inside)

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.pipeline import make_pipeline
    >>> from skcmanp import CMANPRegressor
    >>> from skcmanp.wrappers import unwrap
    >>> X, y = load_diabetes(return_X_y=True)
    >>> pipe = make_pipeline(PCA(3), CMANPRegressor()).fit(X[:300], y[:300])
    >>> reg, rows = unwrap(pipe, X[300:])
    >>> reg.sample_y(rows, n_samples=5).shape
    (142, 5)
    >>> reg.decay(0.5).partial_fit(rows, y[300:]).n_samples_seen_
    442
    """
    while layer := _layer(estimator):
        estimator, transform = layer
        X = transform(X)
    return estimator, X


def supports_std(estimator: Any) -> bool:
    """Whether a regressor, or the one inside a pipeline, a search or a stack, has ``predict(X, return_std=True)``.

    Examples
    --------
    >>> from sklearn.linear_model import BayesianRidge, Ridge
    >>> from skcmanp.metrics import supports_std
    >>> supports_std(BayesianRidge()), supports_std(Ridge())
    (True, False)
    """
    predict = getattr(innermost(estimator), "predict", None)
    return predict is not None and "return_std" in signature(predict).parameters


def innermost(estimator: Any) -> Any:
    """The regressor inside, fitted or not."""
    while layer := _layer(estimator):
        estimator, _ = layer
    return estimator


def predict_std(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Mean and standard deviation, through all that wraps the regressor."""
    regressor, rows = unwrap(estimator, X)
    return regressor.predict(rows, return_std=True)


def _layer(outer: Any) -> tuple[Any, Callable[[Any], Any]] | None:
    """What is inside, and what makes its rows of the outer one's; None if nothing is."""
    if isinstance(outer, Pipeline):
        *earlier, (_, last) = outer.steps
        # Looked up when it is called: a pipeline that is not fitted, or cannot be, may have none.
        return last, (lambda X: outer[:-1].transform(X)) if earlier else _same
    if isinstance(outer, BaseSearchCV):
        return getattr(outer, "best_estimator_", outer.estimator), _same
    if isinstance(outer, FrozenEstimator):
        return outer.estimator, _same
    if isinstance(outer, StackingRegressor):
        return getattr(outer, "final_estimator_", outer.final_estimator), outer.transform
    return None


def _same(X: Any) -> Any:
    return X
