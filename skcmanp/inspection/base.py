"""What displays share: predictions of any estimator that knows `return_std`, and checks of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from skcmanp.wrappers import predict_std, supports_std

Array = NDArray[np.float64]

_CHANCE = 0.95


def predict_with_std(estimator: Any, X: ArrayLike) -> tuple[Array, Array]:
    """Mean and standard deviation by a fitted regressor, a `Pipeline` that ends in one, or a search's best.

    Raises
    ------
    NotFittedError
        If it is not fitted.
    TypeError
        If its `predict` has no `return_std`.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    if not supports_std(estimator):
        raise TypeError(
            f"{type(estimator).__name__} has no predict(X, return_std=True), which intervals need; give a regressor "
            "that has, such as CMANPRegressor or GaussianProcessRegressor, alone or as the last step of a Pipeline."
        )
    check_is_fitted(estimator)
    return predict_std(estimator, X)


def default_name(estimator: Any, name: str | None) -> str:
    """The name for the legend."""
    return type(estimator).__name__ if name is None else name


def one_target(**columns: ArrayLike) -> list[Array]:
    """Finite numbers, (n,) each, of columns that belong together.

    Raises
    ------
    ValueError
        If values are not finite, there are several outputs, or lengths differ.
    """
    arrays: dict[str, Array] = {}
    for name, values in columns.items():
        array = check_array(values, ensure_2d=False, dtype=np.float64, input_name=name)
        if array.size != len(array):
            raise ValueError(
                f"{name} has shape {array.shape}, but a display shows one target; call from_predictions with one "
                f"column of everything, such as {name}[:, 0]."
            )
        arrays[name] = array.ravel()
    first = next(iter(arrays))
    for name, array in arrays.items():
        if len(array) != len(arrays[first]):
            raise ValueError(
                f"{name} has {len(array)} rows, but {first} has {len(arrays[first])}; they must be of the same rows."
            )
    return list(arrays.values())


def take_axes(ax: Any, n_rows: int, n_columns: int, figsize: tuple[float, float]) -> NDArray[np.object_]:
    """The axes given, or new ones, (n_rows * n_columns,).

    Raises
    ------
    ValueError
        If another number of axes was given.
    """
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(n_rows, n_columns, figsize=figsize, sharex="col", layout="constrained")
    axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(axes) != n_rows * n_columns:
        raise ValueError(
            f"ax has {len(axes)} axes, but {n_rows * n_columns} are drawn on; give those of "
            f"`fig, ax = plt.subplots({n_rows}, {n_columns})`."
        )
    return axes


def chance_interval(n: Any, probability: Any) -> tuple[Any, Any]:
    """Fractions of n independent rows between which one of this probability is found, in 95 % of data sets."""
    low, high = binom.interval(_CHANCE, n, probability)
    return low / n, high / n


def chance_label(what: str) -> str:
    """For the legend."""
    return f"{100 * _CHANCE:g} % by chance, {what}"
