"""Intervals that hold their level whatever comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Array = NDArray[np.float64]

LEVELS = np.array([0.5, 0.8, 0.9, 0.95, 0.99])
RATE = 0.01  # standard deviations
_LEAST_STRETCH = 0.1


@dataclass(frozen=True, eq=False)
class ConformalWidths:
    """Half-widths of central intervals, in predictive standard deviations, tracked online.

    After every row that an interval misses, its half-width grows by ``RATE``
    times its level, and after every other it shrinks by ``RATE`` times one
    minus its level. So whatever the rows are, over T of them whose standardised
    errors are at most b, the share that is covered differs from the level by at
    most ``(b + RATE) / (RATE * T)`` (Angelopoulos, Candes and Tibshirani,
    "Conformal PID control for time series prediction", NeurIPS 2023,
    proposition 1; for chunks of n rows with ``n * RATE`` instead of the first
    ``RATE``, and at most 1, where the rate is less).

    Parameters
    ----------
    widths : ndarray (5,)
        Of the levels .5, .8, .9, .95 and .99.
    """

    widths: Array

    @classmethod
    def normal(cls) -> ConformalWidths:
        """Those of normal distributions."""
        return cls(norm.ppf((1 + LEVELS) / 2))

    def learned(self, errors: Array) -> ConformalWidths:
        """With further rows, in standard deviations, (n,)."""
        missed = np.abs(errors)[:, None] > self.widths
        rate = min(RATE, 1 / len(errors))
        return ConformalWidths(self.widths + rate * (missed - (1 - LEVELS)).sum(axis=0))

    @property
    def stretch(self) -> float:
        """How much wider intervals of 90 % have to be than those of normal distributions, as errors showed."""
        return max(self.width(0.9) / float(norm.ppf(0.95)), _LEAST_STRETCH)

    def width(self, confidence: float) -> float:
        """Half-width of a level; between and beyond those that are tracked, in proportion to a normal's."""
        normal = norm.ppf((1 + LEVELS) / 2)
        wanted = norm.ppf((1 + confidence) / 2)
        return float(wanted * np.interp(wanted, normal, self.widths / normal))
