"""Checks of rows and weights, and what a failed call leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

Array = NDArray[np.float64]

# A row that weighs less is as good as absent, and products of its weight leave float64 before long. A row that weighs
# more is known so much better than the function that rounding errors show.
MIN_WEIGHT, MAX_WEIGHT = 1e-100, 1e6


class Rows(NamedTuple):
    """Checked rows: X (n, d) and y (n, t) in the dtypes that they were given in, and weights (n,), float64, or None."""

    X: NDArray
    y: NDArray
    weight: Array | None = None

    def head(self, n: int) -> Rows:
        """The first `n` rows."""
        return Rows(self.X[:n], self.y[:n], None if self.weight is None else self.weight[:n])

    def after(self, start: int) -> Rows:
        """Without the first `start` rows."""
        return Rows(self.X[start:], self.y[start:], None if self.weight is None else self.weight[start:])


def check_rows(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, n_outputs: int | None
) -> tuple[Rows, bool]:
    """Validated rows, and whether y has one dimension.

    Without `n_outputs` they are the estimator's first, and set its number and
    names of features; with, they have to be like those.
    """
    first = n_outputs is None
    rows, targets = validate_data(estimator, X, y, reset=first, multi_output=True, y_numeric=True, dtype="numeric")
    weight = None if sample_weight is None else check_weight(sample_weight, len(rows))
    columns = targets.reshape(len(targets), -1)
    if not first and columns.shape[1] != n_outputs:
        raise ValueError(
            f"y has {columns.shape[1]} targets, but {type(estimator).__name__} is expecting {n_outputs} as at the "
            "first call; use fit to start anew."
        )
    return Rows(rows, columns, weight), targets.ndim == 1


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


@contextmanager
def restored_on_error(instance: object) -> Iterator[None]:
    """Leave the instance's attributes exactly as they were if the body raises."""
    before = vars(instance).copy()
    try:
        yield
    except BaseException:
        vars(instance).clear()
        vars(instance).update(before)
        raise
