"""How features matter: length-scales, and their effects alone, by the evidence of a Gaussian process.

Standardised inputs hide which features matter. The first data seen say, and
what they say is frozen as a part of the scaling: every feature is divided by its
length-scale, so that all functions vary on a scale of one and idle features fade.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from skcmanp.effects import fall_off
from skcmanp.points import matern52_and_slope

Array = NDArray[np.float64]
Rows = tuple[Array, Array, Array]  # features (n, d), targets (n, t), weights (n,)

# Rows that are looked at, and those of them for the evidence: its cost grows with their cube.
MAX_ROWS = 2048
EVIDENCE_ROWS = 512

# Fitted logarithms are rounded to this, so that rounding errors of the rows' order cannot show.
GRID = 0.05

# Rows are rounded to this, for the same reason; a power of two, which costs no digits.
RESOLUTION = 2.0**-20

# Logarithms of the parameters of `_evidence`: ranges of all, and where those of effects start.
_LOG_LENGTHSCALES = (math.log(0.03), math.log(300.0))
_LOG_NOISES = (math.log(0.002), math.log(3.0))
_LOG_EFFECTS, _LOG_EFFECT = (math.log(0.001), math.log(10.0)), math.log(0.1)
_LOG_SMOOTHNESSES, _LOG_SMOOTHNESS = (math.log(0.03), math.log(10.0)), math.log(0.5)
_ITERATIONS = 50
_TOLERANCE = 1e-6  # relative, of the objective: less than a hundredth of a nat an iteration

# Scale of the half-normal prior of effects, relative to the process of all features.
_EFFECT_SPREAD = 0.5

# Effects that carry less than this of the signal's variance do little but to bend the length-scales of the process of
# all features, which alone is the better one beyond the rows.
_LEAST_SHARE = 0.01

# Cosines with a smaller variance than this, in units of the noise's, are not worth their features in the memory.
_NEGLIGIBLE = 0.005

# Log-evidence in nats that what is more than a process of constant noise must have over it. Chance can feign a few.
MIN_GAIN = 10.0


def default_lengthscale(n_features: int) -> float:
    """Length-scale of every feature, in its standard deviations, before anything is known."""
    return 0.8 * math.sqrt(n_features)


class Relevance(NamedTuple):
    """What `fit_relevance` finds."""

    lengthscale: Array  # of every feature, in units of x, (d,)
    ratio: float  # standard deviation of the signal over that of the noise
    effects: Array  # prior standard deviations of the waves' coefficients, of a signal of variance one, (d, m)
    alone: Array  # length-scales if there were no effects, (d,)


def fit_relevance(x: Array, y: Array, weight: Array, waves: Array | None = None) -> Relevance:
    """How features matter, and signal to noise, by the evidence of a Gaussian process.

    That is a Matern-5/2 process of all features, and beside it the effects of
    every feature alone, if with these the evidence is clearly larger, and they
    are not tiny. What is found is the maximum a posteriori, under log-normal priors of length-scales
    and noise and half-normal ones of effects.
    Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006),
    sections 5.1 and 5.4.1.

    Parameters
    ----------
    x : ndarray (n, d)
        Standardised features of different rows, see `sample_rows`; at most
        `EVIDENCE_ROWS` of them are looked at.
    y : ndarray (n, t)
        Standardised targets; they share all that is found.
    weight : ndarray (n,)
        Positive.
    waves : ndarray (n, d, m), optional
        Cosines of the features' ranks, see `skcmanp.effects.cosines`, of which
        effects are combinations; by default there are none.

    Examples
    --------
    >>> import numpy as np
    >>> from skcmanp.relevance import fit_relevance
    >>> x = np.random.default_rng(0).normal(size=(100, 2))
    >>> (wiggly, idle), ratio, _, _ = fit_relevance(x, np.sin(3 * x[:, :1]), np.ones(100))
    >>> bool(wiggly < 1.5 and idle > 5 and ratio > 10)
    True
    """
    n_features = x.shape[1]
    rows = x[:EVIDENCE_ROWS], y[:EVIDENCE_ROWS], weight[:EVIDENCE_ROWS]
    centre = np.r_[np.full(n_features, math.log(default_lengthscale(n_features))), math.log(0.2)]
    best, most = _maximise(centre, centre, *rows, np.zeros((len(rows[0]), n_features, 0)))
    alone, effects = best, np.zeros((n_features, 0))
    if waves is not None and waves.shape[2]:
        start = np.r_[alone, np.full(n_features, _LOG_EFFECT), _LOG_SMOOTHNESS]
        together, value = _maximise(start, centre, *rows, waves[:EVIDENCE_ROWS])
        found = _effect_variances(together[n_features + 1 :], waves.shape[2])
        if value - most > MIN_GAIN and found.sum() > _LEAST_SHARE * (1 + found.sum()):
            best, effects = together, found
    total = 1 + float(effects.sum())
    noise = math.exp(2 * best[n_features])
    effects = np.where(effects < _NEGLIGIBLE * noise, 0.0, effects)
    return Relevance(
        lengthscale=np.exp(best[:n_features]),
        ratio=math.sqrt(total / noise),
        effects=np.sqrt(effects / total),
        alone=np.exp(alone[:n_features]),
    )


def _maximise(start: Array, centre: Array, x: Array, y: Array, weight: Array, waves: Array) -> tuple[Array, float]:
    """The most probable parameters of `_evidence`, coarse, and the logarithm of their density up to a constant."""
    n_features = x.shape[1]
    process, effects = slice(0, n_features + 1), slice(n_features + 1, 2 * n_features + 1)
    spread = np.r_[np.full(n_features, 1.2), 1.5]

    def objective(parameters: Array) -> tuple[float, Array]:
        value, gradient = _evidence(parameters, x, y, weight, waves)
        z = (parameters[process] - centre) / spread
        squares = np.exp(2 * parameters[effects]) / _EFFECT_SPREAD**2
        smoothness = parameters[2 * n_features + 1 :] - _LOG_SMOOTHNESS
        penalty = 0.5 * float(z @ z + squares.sum() + smoothness @ smoothness)
        return penalty - value, np.r_[z / spread, squares, smoothness] - gradient

    bounds = [_LOG_LENGTHSCALES] * n_features + [_LOG_NOISES] + [_LOG_EFFECTS] * n_features + [_LOG_SMOOTHNESSES]
    found = minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds[: len(start)],
        options={"maxiter": _ITERATIONS, "ftol": _TOLERANCE},
    )
    return GRID * np.round(found.x / GRID), -float(found.fun)


def sample_rows(chunks: Iterable[Rows]) -> Rows:
    """At most `MAX_ROWS` different rows; which, and in which order, depends on their values alone.

    So the order of the rows and the chunks do not matter, and equal rows are
    one whose weight is the sum of theirs.
    """
    kept: Rows | None = None
    for chunk in chunks:
        x, y, weight = chunk if kept is None else (np.concatenate(pair) for pair in zip(kept, chunk, strict=True))
        # Rounded, as scaling may differ in the last bits.
        key = _hash(np.column_stack([x, y]).astype(np.float32))
        _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        chosen = first[:MAX_ROWS]
        kept = x[chosen], y[chosen], np.bincount(inverse, weight)[:MAX_ROWS].astype(np.float64)
    assert kept is not None
    x, y, weight = kept
    return _rounded(x), _rounded(y), weight


def _rounded(values: Array) -> Array:
    """Without the last bits, which depend on the rows' order, and which optimisers would amplify."""
    return np.round(values / RESOLUTION) * RESOLUTION


def _hash(rows: NDArray[np.float32]) -> NDArray[np.uint64]:
    """A pseudorandom number for each row, equal for equal rows."""
    bits = (rows + np.float32(0)).view(np.uint32).astype(np.uint64)  # adding 0 makes -0 and 0 equal
    key = np.full(len(rows), 0x9E3779B97F4A7C15, dtype=np.uint64)
    for column in bits.T:  # the finaliser of MurmurHash3, column after column
        key ^= column
        for shift, factor in ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53)):
            key ^= key >> np.uint64(shift)
            key *= np.uint64(factor)
        key ^= key >> np.uint64(33)
    return key


def _effect_variances(parameters: Array, n_cosines: int) -> Array:
    """Of the cosines' coefficients, given log standard deviations of the effects, and log smoothness, (d, m)."""
    return np.exp(2 * parameters[:-1, None]) * fall_off(math.exp(parameters[-1]), n_cosines)


def _evidence(parameters: Array, x: Array, y: Array, weight: Array, waves: Array) -> tuple[float, Array]:
    """Log-evidence, summed over targets, and its gradient in the parameters.

    These are the logarithms of length-scales, of noise to signal of the
    process of all features and, with effects, those of `_effect_variances`.

    The signal's variance is integrated out, over an inverse-gamma prior of
    shape and rate one. A row of weight w has a w-th of the noise variance.
    That such rows are equal says nothing of the noise: they may be copies.
    """
    n_targets, n_features, n_cosines = y.shape[1], *waves.shape[1:]
    scaled, noise = x / np.exp(parameters[:n_features]), math.exp(2 * parameters[n_features])
    kernel, slope = matern52_and_slope(scaled, scaled)
    covariance = kernel + np.diag(noise / weight)
    if n_cosines:
        variances = _effect_variances(parameters[n_features + 1 :], n_cosines)
        waves = waves.reshape(len(x), -1)
        covariance += (waves * variances.ravel()) @ waves.T

    factor = cholesky(covariance, lower=True)
    precision = np.tril(dpotri(factor, lower=True)[0])
    precision += np.tril(precision, -1).T
    alpha = precision @ y  # (n, t)
    shape, rate = 1 + 0.5 * y.size, 1 + 0.5 * (y * alpha).sum()
    value = -shape * math.log(rate) - n_targets * np.log(factor.diagonal()).sum()

    outer = (
        shape / rate * alpha @ alpha.T - n_targets * precision
    )  # twice the derivative of the evidence in the covariance
    slope = -2 * outer * slope  # times d_ij^2 / ell^2: half the derivative in log ell
    by_feature = (np.square(scaled) * slope.sum(1)[:, None]).sum(0) - (scaled * (slope @ scaled)).sum(0)
    by_noise = (outer.diagonal() * noise / weight).sum()
    if not n_cosines:
        return float(value), np.r_[by_feature, by_noise]
    by_log_variance = 0.5 * variances * (waves * (outer @ waves)).sum(0).reshape(n_features, n_cosines)
    squares = np.square(math.exp(parameters[-1]) * np.arange(1, n_cosines + 1))
    by_smoothness = -6 * squares / (1 + squares)  # derivatives of the logarithms, but for the sum
    by_smoothness = by_smoothness - (variances[0] / variances[0].sum()) @ by_smoothness
    return float(value), np.r_[
        by_feature, by_noise, 2 * by_log_variance.sum(1), (by_log_variance * by_smoothness).sum()
    ]
