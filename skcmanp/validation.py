"""Checks of weights, and what a failed call leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array


def check_weight(sample_weight: ArrayLike, n_rows: int) -> NDArray[np.float64]:
    """Validated row weights, (n_rows,): finite, at least 0, not all 0."""
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
