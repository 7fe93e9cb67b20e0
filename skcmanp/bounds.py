"""Whether all numbers of an array are what they may be, found quickly where arrays are small, as most in states are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def are_all(values: NDArray[np.bool_]) -> bool:
    """Whether all are true; of few values numpy's own `all` takes several times as long."""
    return int(np.count_nonzero(values)) == values.size


def is_within(array: NDArray[Any], largest: float) -> bool:
    """Whether no absolute value is larger than `largest`, from zero on, and none is NaN."""
    # Mostly even the sum of squares is not larger, and is found in a third of the time. Below one it may underflow.
    if largest >= 1 and array.dtype.kind == "f" and np.vdot(array, array) <= largest:
        return True
    return bool(-largest <= array.min(initial=0) and array.max(initial=0) <= largest)
