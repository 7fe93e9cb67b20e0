"""Monotone warps of targets: prices, counts and shares as they are.

Targets that are bounded on one side are skewed, and their noise grows with
their level. A shifted logarithm makes it alike everywhere: Snelson, Rasmussen
and Ghahramani, "Warped Gaussian processes" (2004), with one parameter per
target. Beyond the first rows' range it goes on as a line, so that what is
predicted far away stays finite, and targets however far are learned.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from scipy.special import ndtri
from sklearn.ensemble import ExtraTreesRegressor

from skcmanp.adaptation.base import Array
from skcmanp.adaptation.rows import Rows, fold_of

# How many times the slope at one end of the range is that at the other.
_STRETCHES = np.geomspace(3.0, 3e4, 9)

# Towards its open end the logarithm goes on as far as this, relative to the first rows' end.
LEAST = 0.02

# Less skewed targets, and fewer rows, stay as they are.
_LEAST_SKEW = 0.5
_LEAST_SPAN, _LARGEST = 1e-150, 1e150  # squares of smaller numbers are zero, and of larger ones infinite
_LEAST_ROWS = 40
_ROWS = 4096

# Targets that differ by no more than this share of their size are constant.
_ROUNDING = 1e-12

# Share of the targets that one value may have: no bent normal distribution is like those of which it has more.
_LARGEST_ATOM = 0.4

# Of quantiles.
_LEVELS = (np.arange(20) + 0.5) / 20

# Log-likelihood in nats that a warp must gain: per row, and in all.
_GAIN_OF_ROW, _GAIN = 0.03, 10.0


class Warp(NamedTuple):
    """log(r) / bend with r = 1 + bend (y - origin), and a line where r is below `LEAST` or above `top`.

    Targets whose bend is 0 stay as they are.
    """

    bend: Array  # (t,)
    origin: Array
    top: Array

    @classmethod
    def none(cls, n_targets: int) -> Self:
        """That leaves so many targets as they are."""
        return cls(np.zeros(n_targets), np.zeros(n_targets), np.ones(n_targets))

    def reshaped(self, shape: tuple[int, ...]) -> Warp:
        """For values of another shape."""
        return Warp(*(array.reshape(shape) for array in self))

    def __call__(self, y: Array) -> Array:
        """Targets -> warped ones, (n, t)."""
        r, inside, bend = self._ratio(y)
        return np.where(self.bend == 0, y, (np.log(inside) + (r - inside) / inside) / bend)

    def undone(self, warped: Array) -> Array:
        """Warped targets -> as they were."""
        bend = np.where(self.bend == 0, 1.0, self.bend)
        inside = np.clip(bend * warped, np.log(LEAST), np.log(self.top))
        r = np.exp(inside) * (1 + bend * warped - inside)
        return np.where(self.bend == 0, warped, self.origin + (r - 1) / bend)

    def log_slope(self, y: Array) -> Array:
        """Logarithm of the derivative, (n, t)."""
        return np.where(self.bend == 0, 0.0, -np.log(self._ratio(y)[1]))

    def _ratio(self, y: Array) -> tuple[Array, Array, Array]:
        bend = np.where(self.bend == 0, 1.0, self.bend)
        r = 1 + bend * (y - self.origin)
        return r, np.clip(r, LEAST, self.top), bend


def choose_warp(rows: Rows, y: Array) -> Warp:
    """The most likely warp of targets y (n, t) of encoded rows, given what trees predict of these."""
    chosen = [_choose(rows.take(slice(_ROWS)), target[:_ROWS]) for target in y.T]
    return Warp(*(np.array(parameter, dtype=np.float64) for parameter in zip(*chosen, strict=True)))


def _choose(rows: Rows, y: Array) -> tuple[float, float, float]:
    identity = 0.0, 0.0, 1.0
    share, span, largest = rows.weight / rows.weight.sum(), np.ptp(y), np.abs(y).max()
    if len(y) < _LEAST_ROWS or span <= max(_ROUNDING * largest, _LEAST_SPAN) or largest >= _LARGEST:
        return identity
    values, where = np.unique(y, return_inverse=True)
    if np.bincount(where, share, len(values)).max() > _LARGEST_ATOM:
        return identity
    centred = y - share @ y
    skew = share @ np.power(centred / np.sqrt(share @ np.square(centred)), 3)
    if abs(skew) < _LEAST_SKEW:
        return identity
    sign = np.sign(skew)
    stretches = list(_STRETCHES)
    if sign > 0 and y.min() > 1e-6 * span:
        stretches.append(y.max() / y.min())  # log(y) itself
    origin = y.min() if sign > 0 else y.max()
    candidates = [identity, *((sign * (stretch - 1) / span, origin, stretch) for stretch in stretches)]
    warps = [Warp(*map(np.array, candidate)) for candidate in candidates]
    # What trees predict of targets as they are, and of the most bent ones, tells of all in between.
    told = np.column_stack([np.ones(len(y)), _predicted(rows, np.column_stack([warps[0](y), warps[5](y)]))])
    cells = _cells(y)
    likelihood = np.array([_log_likelihood(warp, cells, share, told) for warp in warps]) * len(y)
    best = int(np.argmax(likelihood))
    if likelihood[best] - likelihood[0] <= max(_GAIN, _GAIN_OF_ROW * len(y)):
        return identity
    # Densities mislead where some targets are all but the same.
    is_better = _crps(warps[best], y, share, told) < _crps(warps[0], y, share, told)
    return candidates[best] if is_better else identity


def _predicted(rows: Rows, y: Array) -> Array:
    """Rough predictions of targets (n, t) of every row, by trees that were fitted to others."""
    half, predicted = fold_of(rows.x, rows.y) % 2, np.zeros(y.shape)
    if half.min() == half.max():  # rows are all but the same
        return predicted
    scaled = y / y.std(axis=0)
    for k in (0, 1):
        trees = ExtraTreesRegressor(n_estimators=10, min_samples_leaf=3, random_state=0)
        trees.fit(rows.x[half != k], scaled[half != k], rows.weight[half != k])
        predicted[half == k] = trees.predict(rows.x[half == k])
    return predicted


def _cells(y: Array) -> Array:
    """What targets stand for: values that several rows have for all up to halfway to the next ones, (n,) -> (n, 3)."""
    values, where, counts = np.unique(y, return_inverse=True, return_counts=True)
    half = np.diff(values) / 2
    below, above = np.append(half[:1], half), np.append(half, half[-1:])
    shared = np.where(counts > 1, 2 / 3, 0.0)
    return np.column_stack([values - shared * below, values, values + shared * above])[where]


def _regressed(warped: Array, share: Array, told: Array) -> Array:
    """A linear regression on what is told, (n,)."""
    root = np.sqrt(share)
    return told @ np.linalg.lstsq(root[:, None] * told, root * warped, rcond=None)[0]


def _log_likelihood(warp: Warp, cells: Array, share: Array, told: Array) -> float:
    """Of a row, if warped targets are normal around a regression on what is told of them."""
    warped = warp(cells)
    squares = np.square(warped - _regressed(warped.mean(axis=1), share, told)[:, None]).mean(axis=1)
    return float(share @ warp.log_slope(cells).mean(axis=1) - 0.5 * np.log(share @ squares))


def _crps(warp: Warp, y: Array, share: Array, told: Array) -> float:
    """Continuous ranked probability score of the same distributions, in the targets' own units."""
    warped = warp(y)
    mean = _regressed(warped, share, told)
    std = np.sqrt(share @ np.square(warped - mean))
    off = y[:, None] - warp.undone(mean[:, None] + std * ndtri(_LEVELS))
    return float(2 * share @ np.maximum(_LEVELS * off, (_LEVELS - 1) * off).mean(axis=1))
