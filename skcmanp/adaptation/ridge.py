"""Ridge regression on all columns of a wide table, whose predictions are one more feature of every row.

What the kernel and the network see are few columns. Lines in all others still
count, many small ones together. As with trees, rows are read with the
predictions of regressions on the other folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from skcmanp.adaptation.base import Array, Frozen
from skcmanp.adaptation.rows import N_FOLDS
from skcmanp.validation import MIN_WEIGHT

# Penalties relative to the number of columns, from those of strong signals to those that leave next to nothing.
_PENALTIES = np.geomspace(1e-3, 1e3, 13)

# Fewer say nothing; that of a single one cannot be left out.
_LEAST_ROWS = 3


@dataclass(frozen=True, eq=False)
class Ridge(Frozen):
    """Regressions for every target, on the rows that are not in a fold.

    Parameters
    ----------
    coefficients : ndarray (t, N_FOLDS, e)
    intercept : ndarray (t, N_FOLDS)
    """

    name = "ridge"
    shapes: ClassVar = {"coefficients": f"t {N_FOLDS} d", "intercept": f"t {N_FOLDS}"}
    coefficients: Array
    intercept: Array

    @classmethod
    def fit(cls, x: Array, y: Array, weight: Array, fold: NDArray[np.int64]) -> Self:
        """On rows (n, e) in standard deviations; values that are missing are the mean's."""
        x = np.nan_to_num(x)
        coefficients, intercept = np.zeros((y.shape[1], N_FOLDS, x.shape[1])), np.zeros((y.shape[1], N_FOLDS))
        for t, k in np.ndindex(*intercept.shape):
            if _effective_rows(weight[fold != k]) < _LEAST_ROWS:
                continue
            model = RidgeCV(alphas=x.shape[1] * _PENALTIES)
            model.fit(x[fold != k], y[fold != k, t], sample_weight=weight[fold != k])
            coefficients[t, k], intercept[t, k] = model.coef_, model.intercept_
        return cls(coefficients, intercept)

    def __call__(self, x: Array, fold: NDArray[np.int64] | None = None) -> Array:
        """Predictions of rows (n, e), (n, t): without their folds (n,), or the mean of all."""
        x = np.nan_to_num(x)
        if fold is None:
            return x @ self.coefficients.mean(1).T + self.intercept.mean(1)
        every = np.einsum("ne,tke->ntk", x, self.coefficients, optimize=True) + self.intercept
        return every[np.arange(len(x)), :, fold]


def _effective_rows(weight: Array) -> float:
    """How many rows of equal weights would say as much."""
    share = weight / weight.max(initial=MIN_WEIGHT)
    return float(share.sum() ** 2 / max(np.square(share).sum(), 1.0))
