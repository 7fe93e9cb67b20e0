"""Monotone warps of targets: prices, counts and shares as they are.

Targets that are bounded on one side are skewed, and their noise grows with
their level. A shifted logarithm makes it alike everywhere: Snelson, Rasmussen
and Ghahramani, "Warped Gaussian processes" (2004), with one parameter per
target. Beyond the first rows' range it goes on as a line, so that what is
predicted far away stays finite, and targets however far are learned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from skcmanp.adaptation.base import Array
from skcmanp.adaptation.rows import Rows, fold_of

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


def warped(y: Array, bend: Array, origin: Array, top: Array) -> Array:
    """Targets -> warped ones, (n, t): log(r) / bend with r = 1 + bend (y - origin), a line below `_LEAST` and above `top`."""
    safe = np.where(bend == 0, 1.0, bend)
    r = 1 + safe * (y - origin)
    inside = np.clip(r, _LEAST, top)
    return np.where(bend == 0, y, (np.log(inside) + (r - inside) / inside) / safe)


def unwarped(v: Array, bend: Array, origin: Array, top: Array) -> Array:
    """The inverse of `warped`."""
    safe = np.where(bend == 0, 1.0, bend)
    inside = np.clip(safe * v, np.log(_LEAST), np.log(top))
    r = np.exp(inside) * (1 + safe * v - inside)
    return np.where(bend == 0, v, origin + (r - 1) / safe)


def log_slope(y: Array, bend: Array, origin: Array, top: Array) -> Array:
    """Logarithm of the derivative of `warped`, (n, t)."""
    return np.where(bend == 0, 0.0, -np.log(np.clip(1 + bend * (y - origin), _LEAST, top)))


def choose_warp(rows: Rows, y: Array) -> tuple[Array, Array, Array]:
    """Bends, origins and tops for targets y (n, t) of encoded rows, by their likelihood given what trees predict.

    What trees predict of targets as they are, and of the most bent ones, is a
    regression's inputs for every bend in between.
    """
    return tuple(np.array(each) for each in zip(*(_choose(rows, target) for target in y.T), strict=True))


def _choose(rows: Rows, y: Array) -> tuple[float, float, float]:
    identity = 0.0, 0.0, 1.0
    share = rows.weight / rows.weight.sum()
    centred = y - share @ y
    std = np.sqrt(share @ np.square(centred))
    if len(y) < _LEAST_ROWS or not std > 0:
        return identity
    skew = share @ (centred / std) ** 3
    if abs(skew) < _LEAST_SKEW:
        return identity
    sign = np.sign(skew)
    origin, span = (y.min() if sign > 0 else y.max()), np.ptp(y)
    stretches = [*_STRETCHES, *([y.max() / y.min()] if sign > 0 and y.min() > 1e-6 * span else [])]  # the last: log y
    candidates = [identity, *((sign * (stretch - 1) / span, origin, stretch) for stretch in stretches)]
    told = _told(rows, y, candidates)
    likelihood = [_log_likelihood(y, share, candidate, told) * len(y) for candidate in candidates]
    best = int(np.argmax(likelihood))
    return candidates[best] if likelihood[best] - likelihood[0] > max(_GAIN, _GAIN_OF_ROW * len(y)) else identity
