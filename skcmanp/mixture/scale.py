"""How much wider or narrower predictive distributions should have been, and where."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_PRIOR = 20.0  # pseudo-rows that say that the standard deviations are right
_LARGEST = 3.0  # standardised features and logarithms of factors are within this
# Features make no factor less or more than these shares of the one without: where rows are few, being too sure costs
# most, and they go on beyond rows that they know.
_LEAST_SHARE, _LARGEST_SHARE = 0.5, 4.0
_NEWTON_STEPS = 5
_OUTLIER = 6.0  # standardised errors beyond say no more than this


@dataclass(frozen=True, eq=False)
class LogScale:
    """A log-linear correction of standard deviations, learned as rows arrive.

    The logarithm of the factor is linear in features. Its coefficients are the
    most likely ones of a block's errors given those before, whose information
    is Fisher's, discounted: a Laplace filter.

    Parameters
    ----------
    half_life : float
        In rows.
    weight : float
        Discounted number of rows.
    mean, variance : ndarray (q,)
        Of features, discounted.
    information : ndarray (q + 1, q + 1)
    coefficients : ndarray (q + 1,)
    """

    half_life: float
    weight: float
    mean: Array
    variance: Array
    information: Array
    coefficients: Array

    @classmethod
    def empty(cls, n_features: int, half_life: float) -> LogScale:
        """Before any row: all factors are one."""
        zeros, size = np.zeros(n_features), n_features + 1
        return cls(half_life, 0.0, zeros, zeros, _PRIOR * np.eye(size), np.zeros(size))

    def factors(self, features: Array) -> Array:
        """Of standard deviations, (n, q) -> (n,)."""
        least, most = self.coefficients[0] + np.log((_LEAST_SHARE, _LARGEST_SHARE))
        logs = np.clip(self._standardised(features) @ self.coefficients, least, most)
        return np.exp(np.clip(logs, -_LARGEST, _LARGEST))

    def moved(self, change: Array, narrower: float) -> LogScale:
        """Where what is corrected is renewed, and its logarithm has become less by `narrower`.

        Factors make up for that until errors show that it was right. First features
        that are larger by `change`, (k,), from now on mean the same as before.
        """
        mean, coefficients = self.mean.copy(), self.coefficients.copy()
        mean[: len(change)] += change[: len(mean)]
        coefficients[0] += narrower
        return replace(self, mean=mean, coefficients=coefficients)

    def learned(self, features: Array, errors: Array) -> LogScale:
        """With further rows, (n, q), and errors in units of the uncorrected standard deviations, (n,)."""
        n, keep = len(features), np.exp2(-len(features) / self.half_life)
        kept, weight = keep * self.weight, keep * self.weight + n
        centre, spread = features.mean(axis=0), features.var(axis=0)
        mean = (kept * self.mean + n * centre) / weight
        variance = kept * (self.variance + (self.mean - mean) ** 2) + n * (spread + (centre - mean) ** 2)
        moments = replace(self, weight=weight, mean=mean, variance=variance / weight)
        rows = moments._standardised(features)
        squares = np.minimum(np.abs(errors), _OUTLIER * moments.factors(features)) ** 2
        information = keep * self.information + (1 - keep) * _PRIOR * np.eye(len(self.information))
        coefficients = self.coefficients
        for _ in range(_NEWTON_STEPS):  # the log-likelihood is concave
            left = squares * np.exp(-2 * np.clip(rows @ coefficients, -_LARGEST, _LARGEST))
            slope = rows.T @ (left - 1) - information @ (coefficients - self.coefficients)
            curvature = information + 2 * (rows.T * np.maximum(left, 0.5)) @ rows
            coefficients = coefficients + np.linalg.solve(curvature, slope)
        return replace(moments, information=information + 2 * rows.T @ rows, coefficients=coefficients)

    def _standardised(self, features: Array) -> Array:
        """A constant, and features within some standard deviations, (n, q + 1)."""
        std = np.sqrt(self.variance)
        std = np.where(std > 1e-7 * np.abs(self.mean), std, np.inf)
        rows = np.clip((features - self.mean) / np.where(std > 0, std, np.inf), -_LARGEST, _LARGEST)
        return np.column_stack([np.ones(len(rows)), rows])
