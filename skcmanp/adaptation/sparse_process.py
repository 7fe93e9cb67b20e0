"""A sparse Gaussian process, fitted to the first rows: where its inducing points are, and where its noise is large.

Inducing points that may move follow a function more closely than as many rows
do, and noise whose scale may vary makes predictions as sure as they can be
everywhere, not only on average. Both are found by evidence, and then frozen.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky, lapack
from scipy.optimize import OptimizeResult, minimize, minimize_scalar

from skcmanp.adaptation.base import Array
from skcmanp.adaptation.evidence import EVIDENCE_ROWS, MIN_GAIN, Evidence
from skcmanp.adaptation.noise import NOISE_COSINES, NOISE_POINTS, NoiseProfile
from skcmanp.adaptation.ranks import fall_off, fit_ranks, row_cosines
from skcmanp.adaptation.rows import Rows
from skcmanp.kernels import BLOCK_ROWS, matern52_and_slope
from skcmanp.products import times_lower, times_upper
from skcmanp.threads import blocks_of, in_threads

# Iterations for the noise alone, which is most of what is gained, and then for the points, too, which cost far more.
_NOISE_ITERATIONS = 15
_ITERATIONS = 15

# Log-evidence in nats per target value that an iteration must gain, or it is the last one.
_LEAST_GAIN = 1e-3

# What the points that the noise is found with may miss, in units of its variance: the first ones are enough.
_MAY_MISS = 0.05

# How much of the variance that the inducing points miss counts as noise where rows are read: between the variational
# bound (0), which sees too much noise, and the fully independent conditional (1), which sees too little.
_POWER = 0.5

# Prior standard deviation of the noise's profile, and how fast the coefficients of its cosines fall off.
_NOISE_SPREAD = 0.5
_NOISE_SMOOTHNESS = 0.5

_JITTER = 1e-6


def fit_sparse_process(
    rows: Rows, points: Array, linear: Array, evidence: Evidence, moves: bool = True
) -> tuple[Array, NoiseProfile | None]:
    """Move the inducing points, and find how the noise varies, by evidence.

    The approximate evidence is that of power expectation propagation: Bui, Yan
    and Turner, "A unifying framework for Gaussian process pseudo-point
    approximations" (2017). The logarithm of the noise's scale is a process
    itself, after Goldberg, Williams and Bishop, "Regression with
    input-dependent noise: a Gaussian process treatment" (1998), and taken for
    constant unless its evidence, by Laplace's approximation, is clearly larger.

    Parameters
    ----------
    rows : Rows
        In units of the features' length-scales. Targets share what is found.
    points : ndarray (p, d)
        Rows to start from, the most telling first. They stay where they are
        if they are all the rows.
    linear : ndarray (n, e)
        Features of trend and main effects, whose weights are standard normal.
    evidence : Evidence
        Its signal-to-noise ratio is what to start from; what is found of it
        here, with noise that varies and fewer points than rows, is not
        reported: it is no better a measure of how rough functions may become.
        Noise varies on the length-scales of a process without effects.

    Returns
    -------
    points : ndarray (p, d)
    noise : NoiseProfile or None
        None if it is the same everywhere.

    Examples
    --------
    >>> import numpy as np
    >>> from skcmanp.adaptation.evidence import maximise_evidence
    >>> from skcmanp.adaptation.main_effects import MainEffects
    >>> from skcmanp.adaptation.rows import Rows
    >>> from skcmanp.adaptation.sparse_process import fit_sparse_process
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(-2, 2, (300, 1))
    >>> rows = Rows(x, np.sin(2 * x) + np.exp(x - 2) * rng.normal(size=(300, 1)), np.ones(300))
    >>> evidence = maximise_evidence(rows, MainEffects.fit(x, np.ones(300), 0))
    >>> rows = rows._replace(x=x / evidence.lengthscale)
    >>> _, noise = fit_sparse_process(rows, rows.x[:30], np.zeros((300, 0)), evidence)
    >>> left, right = noise.log_std(rows.x)[np.argsort(x[:, 0])[[75, 225]]]
    >>> bool(1.5 < right - left < 2.5)
    True
    """
    x, y, weight = rows
    moves = moves and len(points) < len(x)
    local = evidence.joint_share
    centres, lengthscale = points[:NOISE_POINTS], evidence.alone / evidence.lengthscale
    carriers = _project(centres / lengthscale, x / lengthscale)
    knots, ranks = fit_ranks(x * evidence.lengthscale, weight)
    knots = knots / evidence.lengthscale[:, None]
    scale = _NOISE_SPREAD * np.sqrt(fall_off(_NOISE_SMOOTHNESS, NOISE_COSINES) / x.shape[1])
    waves = (row_cosines(x, knots, ranks, NOISE_COSINES) * scale).reshape(len(x), -1)
    profile = np.hstack([_NOISE_SPREAD * carriers.v.T, waves])  # (n, q + d m), its coefficients are N(0, 1)

    def project(points: Array, into: _Projection | None = None) -> _Projection:
        return _project(points, x, linear.T, local, into)

    start = -math.log(evidence.ratio)
    level, coefficients, moved, projection = _maximise(rows, points, profile, start, project, moves)
    overall = 0.5 * math.log(np.average(np.exp(2 * profile @ coefficients), weights=weight))
    if _gain(projection, y, weight, profile, coefficients, level, overall) < MIN_GAIN:
        return moved, None
    # Noise whose variance is the mean is zero. Where rows are, the centres carry that constant as well as the profile.
    shift = carriers.whitening @ np.full(len(centres), overall)
    at_centres, by_wave = np.split(coefficients, [len(centres)])
    weights = carriers.whitening.T @ (_NOISE_SPREAD * at_centres - shift)
    noise = NoiseProfile(
        centres, lengthscale, weights, knots, ranks, coefficients=by_wave.reshape(-1, NOISE_COSINES) * scale
    )
    return moved, noise


def _maximise(
    rows: Rows,
    points: Array,
    profile: Array,
    start: float,
    project: Callable[..., _Projection],
    moves: bool,
) -> tuple[float, Array, Array, _Projection]:
    """The most probable logarithm of noise to signal, coefficients of the profile, and inducing points.

    And what these points do at all rows, or as many of them as tell of the noise.
    """
    n_weights, every, first = profile.shape[1], slice(None), slice(EVIDENCE_ROWS)

    def of_noise(parameters: Array, projection: _Projection, some: slice) -> tuple[float, Array, _Fit]:
        level, coefficients, waves = parameters[0], parameters[1:], profile[some]
        _, y, weight = rows.take(some)
        fit = _solve(projection, y, np.exp(2 * (level + waves @ coefficients)) / weight)
        by_scale = 2 * fit.by_log_noise()
        penalty = 0.5 * (coefficients @ coefficients + (level - start) ** 2)
        gradient = np.r_[by_scale.sum() - (level - start), waves.T @ by_scale - coefficients]
        return float(penalty) - fit.value, -gradient, fit

    latest: _Projection | None = None

    def of_all(parameters: Array) -> tuple[float, Array]:
        nonlocal latest
        moved = parameters[1 + n_weights :].reshape(points.shape)
        projection = latest = project(moved, latest)
        value, gradient, fit = of_noise(parameters[: 1 + n_weights], projection, every)
        return value, np.r_[gradient, -fit.by_points(projection, moved, rows.x).ravel()]

    def minimum(objective: Callable[[Array], tuple[float, Array]], begin: Array, some: slice, iterations: int) -> Array:
        bounds = [(start - 3, start + 3), *[(-5.0, 5.0)] * n_weights, *[(None, None)] * (len(begin) - 1 - n_weights)]
        before = math.inf

        def stop_if_little_is_gained(intermediate_result: OptimizeResult) -> None:
            nonlocal before
            gained, before = before - intermediate_result.fun, intermediate_result.fun
            if gained < _LEAST_GAIN * rows.y[some].size:
                raise StopIteration

        options, callback = {"maxiter": iterations}, stop_if_little_is_gained
        how: dict[str, Any] = {"method": "L-BFGS-B", "bounds": bounds, "options": options, "callback": callback}
        return minimize(objective, begin, jac=True, **how).x

    def noise(begin: Array, some: slice) -> Array:
        at_some = fixed.of(some)
        return minimum(lambda values: of_noise(values, at_some, some)[:2], begin, some, _NOISE_ITERATIONS)

    # The first points are those that tell most, until they move.
    fixed = project(points).of_first(_MAY_MISS * math.exp(2 * start))
    best = noise(np.r_[start, np.zeros(n_weights)], first)
    if moves:
        best = minimum(of_all, np.r_[best, points.ravel()], every, _ITERATIONS)
        points, best = best[1 + n_weights :].reshape(points.shape), best[: 1 + n_weights]
        fixed = project(points)
    elif len(rows.x) > EVIDENCE_ROWS:
        best = noise(best, every)
    return float(best[0]), best[1:], points, fixed


def _gain(
    projection: _Projection,
    y: Array,
    weight: Array,
    profile: Array,
    coefficients: Array,
    level: float,
    overall: float,
) -> float:
    """How much larger the log-evidence is than that of constant noise, whose level is near that of the mean."""
    varying = _solve(projection, y, np.exp(2 * (level + profile @ coefficients)) / weight)
    information = (profile * (2 * y.shape[1] * np.square(varying.freedom()))[:, None]).T @ profile
    occam = 0.5 * np.linalg.slogdet(np.eye(len(information)) + information)[1]
    constant = minimize_scalar(
        lambda shift: -_solve(projection, y, np.exp(2 * (level + overall + shift)) / weight).value,
        bounds=(-0.5, 0.5),
        options={"maxiter": 6},
    )
    return float(varying.value - 0.5 * coefficients @ coefficients - occam + constant.fun)


class _Projection(NamedTuple):
    """What the inducing points tell of the process at the rows.

    Arrays with a column for every row are stored column by column: LAPACK wants
    them so, and blocks of rows are parts of memory.
    """

    whitening: Array  # L^-1, L the root of the points' covariance, (p, p)
    features: Array  # with weights of their own, (e, n), and below v, (e + p, n)
    missed: Array  # of the variance, (n,)
    slope: Array  # derivative of k(points, x) in the squared distances, (p, n)
    slope_within: Array  # the same of the points' covariance, (p, p)
    local: float  # share of the variance that is the points'
    covariance: Array | None = None  # of the rows, (n, n), if they are fewer than the features

    @property
    def n_linear(self) -> int:
        """Number of features with weights of their own."""
        return len(self.features) - len(self.whitening)

    @property
    def v(self) -> Array:
        """L^-1 k(points, x) times the root of the points' share of the variance, (p, n)."""
        return self.features[self.n_linear :]

    def of(self, rows: slice) -> _Projection:
        """At some of the rows."""
        features = self.features[:, rows]
        covariance = features.T @ features if features.shape[1] < len(features) else None
        return self._replace(
            features=features, missed=self.missed[rows], slope=self.slope[:, rows], covariance=covariance
        )

    def of_first(self, most_missed: float) -> _Projection:
        """Of the first points alone that miss no more of the variance than so much, on average of the rows."""
        missed = self.local - np.cumsum(np.square(self.v), axis=0)  # (p, n)
        enough = missed.mean(1) <= most_missed
        if not enough.any():
            return self
        n = int(enough.argmax()) + 1
        return self._replace(
            whitening=self.whitening[:n, :n],
            features=self.features[: self.n_linear + n],
            missed=np.maximum(missed[n - 1], 0.0),
            slope=self.slope[:n],
            slope_within=self.slope_within[:n, :n],
        )


def _project(
    points: Array, x: Array, linear: Array | None = None, local: float = 1.0, into: _Projection | None = None
) -> _Projection:
    """Of rows (n, d); `into` is one of as many points and rows whose memory may be used, as new memory takes time."""
    linear = np.zeros((0, len(x))) if linear is None else linear
    covariance, slope_within = matern52_and_slope(points, points)
    covariance[np.diag_indices_from(covariance)] += _JITTER
    whitening = _inverse_root(covariance)
    if into is None:
        features, slope = (np.empty((n, len(x)), order="F") for n in (len(linear) + len(points), len(points)))
    else:
        features, slope = into.features, into.slope
    features[: len(linear)] = linear

    def at(rows: slice) -> Array:
        kernel, by_square = matern52_and_slope(x[rows], points)
        slope[:, rows] = by_square.T
        v = math.sqrt(local) * times_upper(kernel, whitening.T)
        features[len(linear) :, rows] = v.T
        return np.square(v).sum(1)

    missed = np.maximum(local - np.concatenate(in_threads(at, blocks_of(len(x), BLOCK_ROWS))), 0.0)
    return _Projection(whitening, features, missed, slope, slope_within, local)


def _inverse_root(covariance: Array) -> Array:
    """Inverse of the lower Cholesky factor; the covariance is overwritten."""
    root = cholesky(covariance.T, lower=True, overwrite_a=True, check_finite=False)
    return lapack.dtrtri(root, lower=True, overwrite_c=True)[0]


@dataclass(frozen=True)
class _Fit:
    """The process given the rows: y ~ N(0, signal (V^T V + D)), the signal integrated out as in `evidence`.

    V are the features of a projection. The value costs far less than
    derivatives do, whose parts are found when they are asked for.
    """

    value: float  # log-evidence, up to a constant
    noise: Array  # relative to the signal's variance, (n,)
    missed: Array  # (n,)
    d: Array  # diagonal of D, (n,)
    v: Array  # V, (e + p, n)
    factor: Array  # of 1 + V D^-1 V^T, (e + p, e + p); of few rows, of V^T V + D, (n, n)
    beta: Array  # (V^T V + D)^-1 y, (n, t)
    precision: float  # expected, of the signal

    @functools.cached_property
    def solved(self) -> Array:
        """(1 + V D^-1 V^T)^-1 V, (e + p, n), of rows that are not few."""
        inverse, solved = lapack.dpotri(self.factor, lower=True)[0], np.empty_like(self.v)
        inverse[np.diag_indices_from(inverse)] /= 2
        inverse += inverse.T

        def at(rows: slice) -> None:
            np.matmul(self.v.T[rows], inverse, out=solved.T[rows])

        in_threads(at, blocks_of(len(self.d)))
        return solved

    @functools.cached_property
    def inverse_diagonal(self) -> Array:
        """Of (V^T V + D)^-1, (n,)."""
        if len(self.factor) < len(self.v):
            return lapack.dpotri(self.factor, lower=True)[0].diagonal()
        return 1 / self.d - np.einsum("ij,ij->j", self.v, self.solved) / np.square(self.d)

    def freedom(self) -> Array:
        """Of every row, what its residual tells of the noise, from 0 to 1, (n,)."""
        return np.clip(self.noise * self.inverse_diagonal, 0.0, 1.0)

    def by_diagonal(self) -> Array:
        """Derivative of the evidence in the diagonal of D, (n,)."""
        n_targets = self.beta.shape[1]
        return 0.5 * (self.precision * np.square(self.beta).sum(1) - n_targets * self.inverse_diagonal)

    def by_log_noise(self) -> Array:
        """Derivative of the value in the logarithms of the noise variances, (n,)."""
        lost = 0.5 * self.beta.shape[1] * (1 - _POWER) * self.missed / self.d
        return self.by_diagonal() * self.noise + lost

    def by_points(self, projection: _Projection, points: Array, x: Array) -> Array:
        """Derivative of the value in the points, (p, d)."""
        whitening, n_linear, v, slope = projection.whitening, projection.n_linear, projection.v, projection.slope
        n_targets = self.beta.shape[1]
        by_missed = _POWER * self.by_diagonal() - 0.5 * n_targets * (1 - _POWER) / self.d
        by_beta = 0.5 * self.precision * (v @ self.beta)

        def at(rows: slice) -> tuple[Array, Array, Array]:
            half = by_beta @ self.beta[rows].T
            half -= self.solved[n_linear:, rows] * (0.5 * n_targets / self.d[rows])
            half -= v[:, rows] * by_missed[rows]  # half the derivative in v, (p, n)
            half = times_lower(half.T, whitening).T
            across = half * slope[:, rows]
            return v[:, rows] @ half.T, across.sum(1), across @ x[rows]

        by_root, total, moved = map(sum, zip(*in_threads(at, blocks_of(len(x))), strict=True))
        by_covariance = -whitening.T @ by_root  # (p, p)
        within = 2 * (by_covariance + by_covariance.T) * projection.slope_within
        size = 4 * math.sqrt(projection.local)
        return (size * total + within.sum(1))[:, None] * points - size * moved - within @ points


def _solve(projection: _Projection, y: Array, noise: Array) -> _Fit:
    v, missed, covariance = projection.features, projection.missed, projection.covariance
    d = noise + _POWER * missed

    def products(rows: slice) -> Array:
        scaled = v[:, rows] / np.sqrt(d[rows])
        return scaled @ scaled.T

    if covariance is not None:
        factor, log_determinant = _factor_of_sum(covariance.copy(), d), 0.0
        beta = cho_solve((factor, True), y, check_finite=False)
    else:
        factor = _factor_of_sum(functools.reduce(np.add, in_threads(products, blocks_of(len(d)))), 1.0)
        beta = (y - v.T @ cho_solve((factor, True), v @ (y / d[:, None]), check_finite=False)) / d[:, None]
        log_determinant = np.log(d).sum()
    shape, rate = 1 + 0.5 * y.size, 1 + 0.5 * float((y * beta).sum())
    log_determinant += 2 * np.log(factor.diagonal()).sum()
    lost = (1 - _POWER) / _POWER * np.log1p(_POWER * missed / noise).sum()
    value = -shape * math.log(rate) - 0.5 * y.shape[1] * (log_determinant + lost)
    return _Fit(value, noise, missed, d, v, factor, beta, shape / rate)


def _factor_of_sum(a: Array, diagonal: Array | float) -> Array:
    """Lower Cholesky factor of a symmetric matrix, which is overwritten, plus a diagonal one."""
    a[np.diag_indices_from(a)] += diagonal
    return cholesky(a.T, lower=True, overwrite_a=True, check_finite=False)
