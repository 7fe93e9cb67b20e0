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

from skcmanp.adaptation.base import Array
from skcmanp.adaptation.rows import Rows, fold_of
from skcmanp.adaptation.trees import boosted

# How many times the slope at one end of the range is that at the other.
_STRETCHES = np.geomspace(3.0, 3e4, 9)

# Towards its open end the logarithm goes on as far as this, relative to the first rows' end.
_LEAST = 0.02

# Less skewed targets, and fewer rows, stay as they are.
_LEAST_SKEW = 0.5
_LEAST_ROWS = 40
_ROWS = 4096

# Log-likelihood in nats that a warp must gain: per row, and in all.
_GAIN_OF_ROW, _GAIN = 0.03, 10.0


class Warp(NamedTuple):
    """log(r) / bend with r = 1 + bend (y - origin), and a line where r is below `_LEAST` or above `top`.

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
        inside = np.clip(bend * warped, np.log(_LEAST), np.log(self.top))
        r = np.exp(inside) * (1 + bend * warped - inside)
        return np.where(self.bend == 0, warped, self.origin + (r - 1) / bend)

    def log_slope(self, y: Array) -> Array:
        """Logarithm of the derivative, (n, t)."""
        return np.where(self.bend == 0, 0.0, -np.log(self._ratio(y)[1]))

    def _ratio(self, y: Array) -> tuple[Array, Array, Array]:
        bend = np.where(self.bend == 0, 1.0, self.bend)
        r = 1 + bend * (y - self.origin)
        return r, np.clip(r, _LEAST, self.top), bend


def choose_warp(rows: Rows, y: Array) -> Warp:
    """The most likely warp of targets y (n, t) of encoded rows, given what trees predict of these."""
    chosen = [_choose(rows.take(slice(_ROWS)), target[:_ROWS]) for target in y.T]
    return Warp(*(np.array(parameter, dtype=np.float64) for parameter in zip(*chosen, strict=True)))


def _choose(rows: Rows, y: Array) -> tuple[float, float, float]:
    identity = 0.0, 0.0, 1.0
    share = rows.weight / rows.weight.sum()
    centred = y - share @ y
    std = np.sqrt(share @ np.square(centred))
    skew = share @ np.power(centred / std, 3) if std > 0 else 0.0
    if len(y) < _LEAST_ROWS or abs(skew) < _LEAST_SKEW:
        return identity
    sign, span = np.sign(skew), np.ptp(y)
    stretches = list(_STRETCHES)
    if sign > 0 and y.min() > 1e-6 * span:
        stretches.append(y.max() / y.min())  # log(y) itself
    origin = y.min() if sign > 0 else y.max()
    candidates = [identity, *((sign * (stretch - 1) / span, origin, stretch) for stretch in stretches)]
    warps = [Warp(*map(np.array, candidate)) for candidate in candidates]
    # What trees predict of targets as they are, and of the most bent ones, tells of all in between.
    told = np.column_stack([np.ones(len(y)), *(_predicted(rows, warp(y)) for warp in (warps[0], warps[5]))])
    likelihood = np.array([_log_likelihood(warp, y, share, told) for warp in warps]) * len(y)
    best = int(np.argmax(likelihood))
    return candidates[best] if likelihood[best] - likelihood[0] > max(_GAIN, _GAIN_OF_ROW * len(y)) else identity


def _predicted(rows: Rows, y: Array) -> Array:
    """Predictions of every row by trees that were fitted to others, (n,)."""
    half = fold_of(rows.x, rows.y) % 2
    if half.min() == half.max():  # rows are all but the same
        return np.zeros(len(y))
    predicted = np.empty(len(y))
    for k in (0, 1):
        others = rows.x[half != k], y[half != k], rows.weight[half != k]
        model = boosted(*others, max_iter=50, max_depth=None, min_samples_leaf=10)
        predicted[half == k] = model.predict(rows.x[half == k])
    return predicted


def _log_likelihood(warp: Warp, y: Array, share: Array, told: Array) -> float:
    """Of a row, if warped targets are normal around a regression on what is told of them."""
    warped = warp(y)
    root = np.sqrt(share)[:, None]
    residual = warped - told @ np.linalg.lstsq(root * told, root[:, 0] * warped, rcond=None)[0]
    return float(share @ warp.log_slope(y) - 0.5 * np.log(share @ np.square(residual)))
