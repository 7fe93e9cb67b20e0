"""Checks of rows and weights, and what a failed call leaves behind."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_y,
    check_consistent_length,
    validate_data,
)

from skcmanp.frames import Kind, check_names, is_frame, read_frame

Array = NDArray[np.float64]

# A row that weighs less is as good as absent, and products of its weight leave float64 before long. A row that weighs
# more is known so much better than the function that rounding errors show.
MIN_WEIGHT, MAX_WEIGHT = 1e-100, 1e6

# Of targets up to here, means and standard deviations are numbers.
MAX_TARGET = 1e300


class Rows(NamedTuple):
    """Checked rows: X (n, d) and y (n, t) in the dtypes that they were given in, and weights (n,), float64, or None."""

    X: NDArray  # or a sparse matrix
    y: NDArray
    weight: Array | None = None
    kinds: tuple[Kind, ...] = ()  # of the columns of X

    def head(self, n: int) -> Rows:
        """The first `n` rows."""
        return Rows(self.X[:n], self.y[:n], None if self.weight is None else self.weight[:n])

    def after(self, start: int) -> Rows:
        """Without the first `start` rows."""
        weight = None if self.weight is None else self.weight[start:]
        return self._replace(X=self.X[start:], y=self.y[start:], weight=weight)


def check_rows(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    n_outputs: int | None,
    max_target: float = MAX_TARGET,
) -> tuple[Rows, bool]:
    """Validated rows, and whether y has one dimension.

    Without `n_outputs` they are the estimator's first, and set its number and
    names of features; with, they have to be like those.
    """
    first = n_outputs is None
    rows, kinds = check_features(estimator, X, reset=first)
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None.")
    targets: Any = y
    if not _is_plain(y, 1, lambda values: ~np.isfinite(values)):
        targets = _check_y(_without_objects(y), multi_output=True, y_numeric=True, estimator=estimator)
    check_consistent_length(rows, targets)
    weight = None if sample_weight is None else check_weight(sample_weight, rows.shape[0])
    columns = targets.reshape(len(targets), -1)
    if columns.dtype.kind == "f" and max(float(columns.max()), -float(columns.min())) > max_target:
        raise ValueError(
            f"y has values beyond {max_target:g}, whose predictions leave float64; divide it by a constant."
        )
    if not first and columns.shape[1] != n_outputs:
        raise ValueError(
            f"y has {columns.shape[1]} targets, but {type(estimator).__name__} is expecting {n_outputs} as at the "
            "first call; use fit to start anew."
        )
    return Rows(rows, columns, weight, kinds), targets.ndim == 1


_MISSING = ("nan", "NaT", "<NA>")  # as they are printed; some of them equal nothing, and others not even that


def _without_objects(y: Any) -> Any:
    """Targets that are objects as numbers, NaN where one is missing, so that these are found."""
    values = np.asarray(y)
    if values.dtype.kind != "O":
        return y
    missing = [value is None or str(value) in _MISSING for value in values.ravel()]
    return np.where(np.reshape(missing, values.shape), np.nan, values).astype(np.float64) if any(missing) else y


def check_features(estimator: Any, X: Any, reset: bool) -> tuple[Any, tuple[Kind, ...]]:
    """A table's columns as numbers, (n, c), a sparse matrix if it was one; and their kinds.

    They have to be like the first ones, unless they `reset` the estimator's
    number and names of features.
    """
    if type(X).__name__ == "LazyFrame":
        raise TypeError(
            "X is a LazyFrame, whose rows are not there yet; give X.collect(), or learn it in batches with "
            "skcmanp.streaming.read_batches."
        )
    if not is_frame(X):
        as_before = not reset and not hasattr(estimator, "feature_names_in_")
        if as_before and _is_plain(X, 2, np.isinf) and X.shape[1] == estimator.n_features_in_:
            rows = X
        else:
            rows = validate_data(
                estimator, X, reset=reset, dtype="numeric", accept_sparse="csr", ensure_all_finite="allow-nan"
            )
        if issparse(rows):
            check_array(rows, accept_sparse=True)  # values that are missing are not stored
            kinds = np.full(rows.shape[1], Kind.NUMBER)
        else:
            kinds = np.where(np.isnan(rows).all(0), Kind.UNKNOWN, Kind.NUMBER)
        categorical = _categorical(estimator, rows.shape[1])
        return rows, tuple(map(Kind, np.where(categorical & (kinds != Kind.UNKNOWN), Kind.CATEGORY, kinds)))
    check_names(X)
    _check_feature_names(estimator, X, reset=reset)
    _check_n_features(estimator, X, reset=reset)
    values, found = read_frame(X, _categorical(estimator, X.shape[1]))
    for size, what in zip(values.shape, ("sample", "feature"), strict=True):
        if not size:
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={values.shape}) while a minimum of 1 is required by "
                f"{type(estimator).__name__}."
            )
    return values, found


def _is_plain(array: Any, ndim: int, is_wrong: Callable[[NDArray], NDArray]) -> bool:
    """Whether it is an array of floats without wrong values, of which scikit-learn's checks would change nothing.

    They take longer than all else that is done with a single row.
    """
    is_array = type(array) is np.ndarray and array.ndim == ndim and array.size > 0
    return is_array and array.dtype in (np.float32, np.float64) and not is_wrong(array).any()


def _categorical(estimator: Any, n_features: int) -> NDArray[np.bool_]:
    """Which columns `categorical_features` names, (n_features,)."""
    given, chosen = estimator.categorical_features, np.zeros(n_features, dtype=bool)
    if given is None or (isinstance(given, str) and given == "from_dtype"):
        return chosen
    wanted = np.asarray(list(given) if isinstance(given, set | frozenset) else given)
    if wanted.shape == (0,):
        return chosen
    names = getattr(estimator, "feature_names_in_", None)
    message = f"categorical_features={given!r} must be 'from_dtype', names of columns that X has, their numbers, or "
    if wanted.dtype == bool and wanted.shape == chosen.shape:
        return wanted
    if wanted.dtype.kind in "OU" and wanted.ndim == 1 and names is not None and set(wanted) <= set(names):
        return np.isin(names, wanted)
    if wanted.dtype.kind in "iu" and wanted.ndim == 1 and (abs(wanted + 0.5) < n_features).all():
        chosen[wanted] = True
        return chosen
    raise ValueError(f"{message}a mask of its {n_features} columns.")


def check_weight(sample_weight: ArrayLike, n_rows: int) -> Array:
    """Validated row weights, (n_rows,): each 0 or from 1e-100 to 1e6, not all 0."""
    weight = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weight.shape != (n_rows,):
        raise ValueError(f"sample_weight has shape {weight.shape}, but there are {n_rows} rows; give one per row.")
    if (weight < 0).any():
        raise ValueError(
            f"Negative values in sample_weight (the smallest is {weight.min():g}); weights must be at least 0. "
            "CMANPRegressor.forget removes rows that were read earlier."
        )
    if not weight.any():
        raise ValueError("sample_weight is zero for all rows; leave the rows out instead.")
    outside = np.flatnonzero((weight > MAX_WEIGHT) | ((weight < MIN_WEIGHT) & (weight > 0)))
    if len(outside):
        raise ValueError(
            f"sample_weight is {weight[outside[0]]:g} for row {outside[0]}; weights are repetitions, and must be 0 or "
            f"from {MIN_WEIGHT:g} to {MAX_WEIGHT:g}. Divide all of them by a constant, for example by their mean."
        )
    return weight


def check_outputs(
    return_std: bool, return_cov: bool, quantiles: ArrayLike | None, interval: float | None
) -> Array | None:
    """The levels of quantiles to predict, () or (q,), or None for the mean: one thing is asked for at a time."""
    asked = {
        "return_std=True": return_std,
        "return_cov=True": return_cov,
        f"quantiles={quantiles!r}": quantiles is not None,
        f"interval={interval!r}": interval is not None,
    }
    names = [name for name, is_asked in asked.items() if is_asked]
    if len(names) > 1:
        raise ValueError(f"{' and '.join(names)}: ask for one of them at a time; the covariance has the std, too.")
    if interval is not None:
        probability = np.asarray(interval, dtype=np.float64)
        if probability.ndim or not 0 < probability < 1:
            raise ValueError(f"interval={interval!r} must be a probability between 0 and 1, such as 0.9.")
        return 0.5 + probability * np.array([-0.5, 0.5])
    if quantiles is None:
        return None
    try:
        levels = np.asarray(quantiles, dtype=np.float64)
    except (TypeError, ValueError):
        levels = np.full(1, np.nan)
    if levels.ndim > 1 or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(f"quantiles={quantiles!r} must be numbers between 0 and 1, such as [0.1, 0.5, 0.9].")
    return levels


def check_draws(n_samples: Any) -> int:
    """The number of draws, a positive integer."""
    if not isinstance(n_samples, numbers.Integral) or n_samples < 1:
        raise ValueError(f"n_samples={n_samples!r} must be a positive integer.")
    return int(n_samples)


@contextmanager
def restored_on_error(instance: object) -> Iterator[None]:
    """Leave the instance's attributes exactly as they were if the body raises."""
    before = vars(instance).copy()
    try:
        yield
    except BaseException:
        instance.__dict__ = before  # at once: a second Ctrl-C finds all of it, or nothing done
        raise
