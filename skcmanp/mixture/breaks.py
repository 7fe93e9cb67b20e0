"""Whether errors say that what was true has ceased to be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skcmanp.mixture.linear import discounts

Array = NDArray[np.float64]

# First rows that are learned at once: their forecasts are scored, and then all experts learn them.
BLOCK = 100

# Of a sum of squared standardised errors: what a row counts at most, what it may count, and the threshold.
_CAP, _SLACK, _ALARM = 9.0, 3.0, 400.0
# The same of errors above, below, and of any sign. A day of 24 rows that is unlike all others is no break.
_FAR, _SLACKS, _FAR_ALARM = 6.0, (2.5, 2.5, 3.0), 140.0

# What one row can bring a sum by. It takes so much of it to take a row for the first one of a change.
_LARGEST_EXCESS = np.array([(_CAP - _SLACK) / _ALARM, *((_FAR - slack) / _FAR_ALARM for slack in _SLACKS)])
_LOW = 0.99

_HALF_LIFE = 500.0  # of what errors are usual
_HALF_LIFE_AT_FIRST = 50.0  # when they fall as experts learn
_OUTLIER = 3.0  # usual errors; errors beyond say no more than this of what is usual


@dataclass(frozen=True, eq=False)
class BreakSignal:
    """Cumulated sums of what errors are too large by (Page, "Continuous inspection schemes", Biometrika 41, 1954).

    One sums squares, in predictive standard deviations. Where chunks are small
    these grow as soon as a level moves away, and nothing seems amiss. So more sums
    are of errors above, below, and of any sign, in units of those that have been
    usual for long.

    Parameters
    ----------
    sums : ndarray (4,)
        In units of the thresholds: at one or more, a break is declared.
    lengths : ndarray (4,), int
        Numbers of rows since sums were next to zero, which is when a change began, if it did.
    squares, weight : float
        Discounted sums of squared errors, and of rows.
    """

    sums: Array
    lengths: NDArray[np.int64]
    squares: float = 0.0
    weight: float = 0.0

    @classmethod
    def none(cls) -> BreakSignal:
        """Before any row."""
        return cls(np.zeros(4), np.zeros(4, dtype=np.int64))

    @property
    def value(self) -> float:
        """From 0, all is as expected, to 1, where a break is declared."""
        return float(self.sums.max())

    @property
    def n_rows(self) -> int:
        """Number of rows since the change began that is most likely."""
        return int(self.lengths[self.sums.argmax()])

    @property
    def usual(self) -> float:
        """Root mean square of the errors that have been usual; 0 before any row."""
        return float(np.sqrt(self.squares / self.weight)) if self.weight else 0.0

    def reset(self) -> BreakSignal:
        """After a break, all is as expected. How large errors are is not, but better known than nothing."""
        return replace(self.none(), squares=self.squares, weight=self.weight)

    def learned(self, errors: Array, std: Array, floor: float, is_known: bool) -> BreakSignal:
        """With errors of further rows, (n,), and the standard deviations that were predicted, (n,).

        Errors below `floor` are of rounding. As long as nothing is known, no sum
        grows.
        """
        n = len(errors)
        usual = max(self.usual if self.weight else float(np.sqrt(np.mean(errors**2))), floor)
        half_life = _HALF_LIFE if is_known else _HALF_LIFE_AT_FIRST
        keep, weights = np.exp2(-n / half_life), discounts(n, half_life)
        squared = np.square(np.minimum(np.abs(errors), _OUTLIER * usual))
        learned = replace(
            self,
            squares=float(keep * self.squares + weights @ squared),
            weight=float(keep * self.weight + weights.sum()),
        )
        if not is_known:
            return learned
        far = np.clip(errors / usual, -_FAR, _FAR)
        wide = (np.minimum(np.square(errors / std), _CAP) - _SLACK) / _ALARM
        sides = zip((far, -far, np.abs(far)), _SLACKS, strict=True)
        excess = np.array([wide, *((side - slack) / _FAR_ALARM for side, slack in sides)])
        excess *= min(1.0, BLOCK / n) ** 0.5  # far ahead, rows err together
        paths = self.sums[:, None] + np.cumsum(excess, axis=1)
        paths -= np.minimum(np.minimum.accumulate(paths, axis=1), 0.0)
        is_low = paths < _LOW * _LARGEST_EXCESS[:, None]
        lengths = np.where(is_low.any(axis=1), is_low[:, ::-1].argmax(axis=1), self.lengths + n)
        return replace(learned, sums=paths[:, -1], lengths=lengths)
