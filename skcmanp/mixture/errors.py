"""What errors of forecasts are typical, how large rare ones are, and how much they resemble those of the row before."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skcmanp.mixture.linear import discounts

Array = NDArray[np.float64]

# Standard deviations of a normal variable in units of the geometric mean of its absolute values, which is
# exp((digamma(1/2) + log(2)) / 2); and how many times that those of errors are at most, whose tails are heavier.
_STD_OF_GEOMETRIC_MEAN = 1 / 0.53
_HEAVIEST = 3.0

# Standard deviations beyond which an error is rare, and at how many times, so many rows apart, there have to be some as
# large for one to count.
RARE, _AGAIN, _APART = 4.0, 3, 10
_CEASED = 4.0  # times as long as is usual between them
_REMEMBERED = 4  # half-lives in which sizes fade by half

_OUTLIER = 3.0  # standardised errors beyond say no more than this
_LARGEST_CORRELATION = 0.97


@dataclass(frozen=True, eq=False)
class TypicalErrors:
    """Root mean squares of the errors of J forecasts, discounted; but a few wild rows do not count for long.

    Parameters
    ----------
    half_life : float
        In rows.
    squares, logs : ndarray (J,)
        Discounted sums of squares, and of logarithms of absolute values.
    weight : float
        Discounted number of rows.
    """

    half_life: float
    squares: Array
    logs: Array
    weight: float = 0.0

    @classmethod
    def empty(cls, n_forecasts: int, half_life: float) -> TypicalErrors:
        """Of no rows."""
        return cls(half_life, np.zeros(n_forecasts), np.zeros(n_forecasts))

    @property
    def least(self) -> float:
        """Standard deviation of the errors of the best forecast; infinite before any row."""
        if not self.weight:
            return np.inf
        typical = _STD_OF_GEOMETRIC_MEAN * np.exp(self.logs.min() / self.weight)
        return float(min(np.sqrt(self.squares.min() / self.weight), _HEAVIEST * typical))

    def learned(self, errors: Array, floor: float) -> TypicalErrors:
        """With the errors of further rows, (J, n); those below `floor` are of rounding."""
        n, weights = errors.shape[1], discounts(errors.shape[1], self.half_life)
        sizes, keep = np.maximum(np.abs(errors), floor), np.exp2(-n / self.half_life)
        return replace(
            self,
            squares=keep * self.squares + np.square(sizes) @ weights,
            logs=keep * self.logs + np.log(sizes) @ weights,
            weight=keep * self.weight + weights.sum(),
        )


@dataclass(frozen=True, eq=False)
class RareErrors:
    """Variance of errors that are far beyond what is typical, but come again and again: rain, spikes of a price.

    Each counts by what its square exceeds, and as no larger than those of some
    other times: a faulty reading or two, or a level that jumps, say nothing.

    Parameters
    ----------
    half_life : float
        In rows.
    largest : ndarray (k,)
        The largest sizes of earlier times, ascending, which fade with a half-life
        of several.
    last : float, default=0.0
        The largest size of the last time, which fades, too.
    n_since : int, default=0
        Rows since then.
    gap : float, default=inf
        Rows between two times, on average.
    excess, weight : float
        Discounted sums of what squares exceed, and of rows.
    """

    half_life: float
    largest: Array
    last: float = 0.0
    n_since: int = 0
    gap: float = np.inf
    excess: float = 0.0
    weight: float = 0.0

    @classmethod
    def none(cls, half_life: float) -> RareErrors:
        """Of no rows."""
        return cls(half_life, np.zeros(_AGAIN))

    @classmethod
    def of_first(cls, half_life: float, y: Array) -> RareErrors:
        """Before any error, given the first targets: where most are the same, the others are rare errors."""
        excess = float(np.square(y - np.median(y)).sum()) if np.ptp(np.quantile(y, (0.25, 0.75))) == 0 else 0.0
        return cls(half_life, np.zeros(_AGAIN), excess=excess, weight=float(len(y)))

    @property
    def variance(self) -> float:
        """Mean of what squares exceed; next to nothing when there has been none for far longer than between them."""
        ceased = np.exp(min(0.0, _CEASED - self.n_since / self.gap))
        return self.excess / self.weight * ceased if self.weight else 0.0

    def learned(self, errors: Array, std: Array) -> RareErrors:
        """With errors of further rows, (n,), and their typical standard deviations, (n,)."""
        n, keep = len(errors), np.exp2(-len(errors) / self.half_life)
        weights, sizes, limits = discounts(n, self.half_life), np.abs(errors), RARE * std
        still, fading = keep ** (1 / _REMEMBERED), weights ** (1 / _REMEMBERED)
        excess, weight = keep * self.excess, keep * self.weight + weights.sum()
        largest, last, row, gap = still * self.largest, still * self.last, -1 - self.n_since, self.gap
        for i in map(int, np.flatnonzero(sizes > limits)):
            if sizes[i] ** 2 >= excess / weight:  # smaller ones say nothing of whether such as were there go on
                if i - row > _APART:
                    gap = i - row if np.isinf(gap) else gap + (i - row - gap) / _AGAIN
                    largest, last = np.sort(np.append(largest, last))[1:], 0.0
                last, row = max(last, fading[i] * sizes[i]), i
            again = np.sort(np.append(largest, last))[1] / fading[i]  # the smallest of so many of the largest
            excess += weights[i] * max(min(sizes[i], again) ** 2 - limits[i] ** 2, 0.0)
        return RareErrors(
            self.half_life, largest, float(last), int(n - 1 - row), float(gap), float(excess), float(weight)
        )


@dataclass(frozen=True, eq=False)
class SerialCorrelation:
    """How much errors resemble those of the row before, discounted.

    Where they do, n rows tell forecasts apart as well as fewer independent ones:
    with correlation r from each to the next, as n (1 - r) / (1 + r) do for a mean
    (Bayley and Hammersley, "The 'effective' number of independent observations in
    an autocorrelated time series", Journal of the Royal Statistical Society 8,
    1946).

    Parameters
    ----------
    half_life : float
        In rows.
    squares, products : float
        Discounted sums of squares of standardised errors, and of products with the
        one before.
    last : float
        The last error.
    """

    half_life: float
    squares: float = 0.0
    products: float = 0.0
    last: float = 0.0

    def learned(self, errors: Array) -> SerialCorrelation:
        """With further standardised errors, (n,)."""
        errors = np.clip(errors, -_OUTLIER, _OUTLIER)
        before = np.append(self.last, errors[:-1])
        weights, keep = discounts(len(errors), self.half_life), np.exp2(-len(errors) / self.half_life)
        return replace(
            self,
            squares=float(keep * self.squares + weights @ np.square(errors)),
            products=float(keep * self.products + weights @ (errors * before)),
            last=float(errors[-1]),
        )

    @property
    def independent_share(self) -> float:
        """Effective number of independent rows in one, from 0 to 1."""
        r = np.clip(self.products / max(self.squares, 1e-300), 0.0, _LARGEST_CORRELATION)
        return float((1 - r) / (1 + r))
