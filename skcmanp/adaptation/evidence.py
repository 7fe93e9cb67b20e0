"""Length-scales, trend, main effects and signal-to-noise ratio, by the evidence of a Gaussian process.

Standardised inputs hide which features matter. The first data seen say, and
what they say is frozen: every feature is divided by its length-scale, so that
all functions vary on a scale of one and idle features fade.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import blas, cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import OptimizeResult, minimize
from sklearn.linear_model import BayesianRidge

from skcmanp.adaptation.base import Array
from skcmanp.adaptation.main_effects import MainEffects
from skcmanp.adaptation.ranks import fall_off
from skcmanp.adaptation.rows import Rows
from skcmanp.adaptation.trend import PRIOR_CONSTANT, PRIOR_SLOPE
from skcmanp.kernels import matern52_and_slope

# Rows for the evidence: its cost grows with their cube. And for a start, which fewer rows tell well enough, and for a
# first impression.
EVIDENCE_ROWS = 512
_START_ROWS = 256
_FEW_ROWS = 128

# Fitted logarithms are rounded to this, so that rounding errors of the rows' order cannot show.
GRID = 0.05

# Logarithms of the parameters: ranges of all, and where those of effects start.
_LOG_LENGTHSCALES = (math.log(0.03), math.log(300.0))
_LOG_NOISES, _LOG_NOISE, _LOG_LOW_NOISE = (math.log(0.002), math.log(3.0)), math.log(0.2), math.log(0.01)
_LOG_EFFECTS, _LOG_EFFECT = (math.log(0.001), math.log(10.0)), math.log(0.1)
_LOG_SMOOTHNESSES, _LOG_SMOOTHNESS = (math.log(0.03), math.log(10.0)), math.log(0.5)
_LOG_SLOPES, _LOG_SLOPE = (math.log(0.03), math.log(30.0)), math.log(PRIOR_SLOPE)
_ITERATIONS = 50
# Relative, of the objective: about a tenth of a nat an iteration.
_TOLERANCE = 1e-4

# Scale of the half-normal prior of effects, relative to the process of all features.
_EFFECT_SPREAD = 0.5

# Effects that carry less than this of the signal's variance do little but to bend the length-scales of the process of
# all features, which alone is the better one beyond the rows.
_LEAST_SHARE = 0.01

# Cosines with a smaller variance than this, in units of the noise's, are not worth their features in the memory.
_NEGLIGIBLE = 0.005

# Log-evidence in nats that what is more than a process of constant noise must have over it. Chance can feign a few.
MIN_GAIN = 10.0

# Log-density in nats that another optimum must have over the best one of a part of the rows to be looked at further.
_HINT = 0.5


def default_lengthscale(n_features: int) -> float:
    """Length-scale of every feature, in its standard deviations, before anything is known."""
    return 0.8 * math.sqrt(n_features)


class Evidence(NamedTuple):
    """What `maximise_evidence` finds.

    The process of all features together and the main effects have a variance of
    one in sum; the trend's comes on top.
    """

    lengthscale: Array  # of every feature, in units of x, (d,)
    ratio: float  # signal-to-noise: standard deviation of the signal over that of the noise
    slope: Array  # prior standard deviations of the trend's slopes, per unit of x, (d,)
    effects: Array  # prior standard deviations of the main effects' coefficients, (d, m)
    alone: Array  # length-scales if there were no effects, (d,)
    signal: Array  # expected standard deviation of the signal, in units of y, (t,)

    @property
    def joint_share(self) -> float:
        """Of the variance, what is the process of all features: not the main effects'."""
        return 1 - float(np.square(self.effects).sum())


def maximise_evidence(rows: Rows, effects: MainEffects) -> Evidence:
    """How features matter, and the signal-to-noise ratio, by the evidence of a Gaussian process.

    That is a Matern-5/2 process of all features, and beside it the main effects,
    if with these the evidence is clearly larger, and they are not tiny. The
    trend comes last, given all else: where there are rows, long length-scales
    tell lines as well, and those that leave lines to a trend predict worse. So
    slopes are expected to be as large as a linear regression has them, too. What
    is found is the maximum a posteriori, under log-normal priors of
    length-scales, slopes and noise and half-normal ones of effects.
    Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006),
    sections 2.7, 5.1 and 5.4.1.

    Parameters
    ----------
    rows : Rows
        Of which `EVIDENCE_ROWS` are looked at. All targets share what is found.
    effects : MainEffects
        Their cosines; there may be none.

    Examples
    --------
    >>> import numpy as np
    >>> from skcmanp.adaptation.evidence import maximise_evidence
    >>> from skcmanp.adaptation.main_effects import MainEffects
    >>> from skcmanp.adaptation.rows import Rows
    >>> x = np.random.default_rng(0).normal(size=(100, 2))
    >>> rows = Rows(x, np.sin(3 * x[:, :1]), np.ones(100))
    >>> found = maximise_evidence(rows, MainEffects.fit(x, np.ones(100), 0))
    >>> wiggly, idle = found.lengthscale
    >>> bool(wiggly < 1.5 and idle > 5 and found.ratio > 10)
    True
    """
    rows = rows.take(slice(EVIDENCE_ROWS))
    d, m = effects.scale.shape
    waves = effects.of_rows(rows.x)
    problem = _Problem(rows, waves[:, :0], 0)
    first, start = problem.of_rows(_START_ROWS), np.full(d, math.log(default_lengthscale(d)))
    best = first.maximise(np.r_[start, _LOG_NOISE])
    # What matters may have been taken for noise. Where there seems to be much of it, that is seldom, and a part of the
    # rows tells whether there may be less.
    other, may_be_less = np.r_[start, _LOG_LOW_NOISE], best[d] > _LOG_LOW_NOISE
    if best[d] >= _LOG_NOISE:
        few = problem.of_rows(_FEW_ROWS)
        other, own = few.maximise(other), few.maximise(best)
        may_be_less = few.objective(other)[0] < few.objective(own)[0] - _HINT
    if may_be_less:
        other = first.maximise(other)
        if first.objective(other)[0] < first.objective(best)[0] - MIN_GAIN:
            best = other
    alone = best
    if m:
        with_effects = _Problem(rows, waves, m)
        together = with_effects.of_rows(_START_ROWS).maximise(np.r_[best, np.full(d, _LOG_EFFECT), _LOG_SMOOTHNESS])
        gain = problem.objective(best)[0] - with_effects.objective(together)[0]
        total = float(with_effects.effect_variances(together).sum())
        if gain > MIN_GAIN and total > _LEAST_SHARE * (1 + total):
            problem, best = with_effects, together
    if len(rows.x) > _START_ROWS:
        best = problem.maximise(best)
    best, alone = (GRID * np.round(parameters / GRID) for parameters in (best, alone))
    found = problem.effect_variances(best).reshape(d, -1) if problem.n_cosines else np.zeros((d, m))
    slope, signal = problem.trend(best)
    # Among rows long length-scales do as well as a trend, and evidence cannot tell which of them goes on beyond.
    of_lines = np.log((_lines(rows) / signal).max(1).clip(*np.exp(_LOG_SLOPES)))
    slope = np.maximum(slope, np.exp(GRID * np.round(of_lines / GRID)))
    total = 1 + float(found.sum())
    noise = math.exp(2 * best[d])
    found = np.where(found < _NEGLIGIBLE * noise, 0.0, found)
    return Evidence(
        lengthscale=np.exp(best[:d]),
        ratio=math.sqrt(total / noise),
        slope=slope / math.sqrt(total),
        effects=np.sqrt(found / total),
        alone=np.exp(alone[:d]),
        signal=signal * math.sqrt(total),
    )


class _Problem:
    """The evidence of some rows as a function of log length-scales, noise, and effects with their smoothness.

    All are relative to the process of all features. Its variance is integrated
    out, over an inverse-gamma prior of shape and rate one. A row of weight w has
    a w-th of the noise variance. That such rows are equal says nothing of the
    noise: they may be copies.
    """

    def __init__(self, rows: Rows, waves: Array, n_cosines: int) -> None:
        self.x, self.y, self.weight = rows
        self.n_features, self.n_cosines = self.x.shape[1], n_cosines
        self.shape = 1 + 0.5 * self.y.size
        # Features that enter linearly: one, and the cosines of every feature.
        self.linear = np.column_stack([np.ones(len(self.x)), waves])

    def of_rows(self, n_rows: int) -> _Problem:
        """That of the first rows: to decide by, and to start from."""
        if len(self.x) <= n_rows:
            return self
        first = Rows(self.x[:n_rows], self.y[:n_rows], self.weight[:n_rows])
        return _Problem(first, self.linear[:n_rows, 1:], self.n_cosines)

    def maximise(self, start: Array) -> Array:
        """The most probable parameters."""
        d = self.n_features
        bounds = [_LOG_LENGTHSCALES] * d + [_LOG_NOISES] + [_LOG_EFFECTS] * d + [_LOG_SMOOTHNESSES]
        return _minimise(self.objective, start, bounds[: len(start)]).x

    def objective(self, parameters: Array) -> tuple[float, Array]:
        """Negative log-density of the parameters given the rows, and its gradient."""
        d = self.n_features
        z = parameters[: d + 1] - np.r_[np.full(d, math.log(default_lengthscale(d))), _LOG_NOISE]
        spread = np.r_[np.full(d, 1.2), 1.5]
        squares = np.exp(2 * parameters[d + 1 : 2 * d + 1]) / _EFFECT_SPREAD**2
        smoothness = parameters[2 * d + 1 :] - _LOG_SMOOTHNESS
        penalty = 0.5 * float(np.square(z / spread).sum() + squares.sum() + smoothness @ smoothness)
        value, gradient = self.evidence(parameters)
        return penalty - value, np.r_[z / spread**2, squares, smoothness] - gradient

    def effect_variances(self, parameters: Array) -> Array:
        """Of the cosines' coefficients, (d m,)."""
        if not self.n_cosines:
            return np.zeros(0)
        total = np.exp(2 * parameters[self.n_features + 1 : -1, None])
        return (total * fall_off(math.exp(parameters[-1]), self.n_cosines)).ravel()

    def _covariance(self, parameters: Array) -> tuple[Array, Array, Array]:
        """Cholesky factor of the rows' covariance, derivative of the kernel, and variances of the linear features."""
        d = self.n_features
        scaled = self.x / np.exp(parameters[:d])
        kernel, slope = matern52_and_slope(scaled, scaled)
        variances = np.r_[PRIOR_CONSTANT**2, self.effect_variances(parameters)]
        # Only one triangle is looked at, the lower one of the transposed array.
        blas.dsyrk(1.0, self.linear * np.sqrt(variances), beta=1.0, c=kernel.T, lower=True, overwrite_c=True)
        kernel[np.diag_indices_from(kernel)] += math.exp(2 * parameters[d]) / self.weight
        return cholesky(kernel.T, lower=True, overwrite_a=True, check_finite=False), slope, variances

    def evidence(self, parameters: Array) -> tuple[float, Array]:
        """Log-evidence, summed over targets, and its gradient."""
        d, n_targets = self.n_features, self.y.shape[1]
        factor, slope, variances = self._covariance(parameters)
        alpha = cho_solve((factor, True), self.y, check_finite=False)  # (n, t)
        rate = 1 + 0.5 * (self.y * alpha).sum()
        value = -self.shape * math.log(rate) - n_targets * np.log(factor.diagonal()).sum()

        # Twice the derivative of the evidence in the covariance is `weight alpha alpha^T - t precision`. It is never
        # written down: of the precision there is the lower triangle alone, and of the other part two factors.
        weight = self.shape / rate
        precision = dpotri(factor, lower=True, overwrite_c=True)[0]
        scaled = self.x / np.exp(parameters[:d])
        columns = np.column_stack([np.ones(len(scaled)), scaled])
        by_squares = weight * _times_outer(slope, alpha, columns) - n_targets * _times_symmetric(
            slope * precision, columns
        )
        # Times d_ij^2 / ell^2: half the derivative in log ell.
        by_lengthscale = 2 * ((scaled * by_squares[:, 1:]).sum(0) - (np.square(scaled) * by_squares[:, :1]).sum(0))
        diagonal = weight * np.square(alpha).sum(1) - n_targets * precision.diagonal()
        by_noise = (diagonal * math.exp(2 * parameters[d]) / self.weight).sum()
        gradient = [by_lengthscale, [by_noise]]
        if self.n_cosines:
            told = weight * np.square(alpha.T @ self.linear).sum(0)
            lost = n_targets * (self.linear * _times_symmetric(precision, self.linear)).sum(0)
            by_variance = variances * (told - lost)  # twice that in the logarithm
            by_effect = by_variance[1:].reshape(d, -1)
            squares = np.square(math.exp(parameters[-1]) * np.arange(1, self.n_cosines + 1))
            by_smoothness = -6 * squares / (1 + squares)  # derivatives of the logarithms, but for the sum
            by_smoothness = by_smoothness - fall_off(math.exp(parameters[-1]), self.n_cosines) @ by_smoothness
            gradient += [by_effect.sum(1), [0.5 * (by_effect * by_smoothness).sum()]]
        return float(value), np.concatenate(gradient)

    def trend(self, parameters: Array) -> tuple[Array, Array]:
        """The most probable slopes given all else, (d,), and expected standard deviations of the process, (t,).

        The rows' covariance without the trend stays what it is, so that only
        matrices of the features' number change.
        """
        n_targets, factor = self.y.shape[1], self._covariance(parameters)[0]
        x, y = (solve_triangular(factor, rows, lower=True) for rows in (self.x, self.y))
        gram, moments, total = x.T @ x, x.T @ y, np.square(y).sum(0)  # (d, d), (d, t), (t,)

        def solve(log_slope: Array) -> tuple[Array, Array, Array, Array]:
            """Of gram in units of the slopes eigenvalues and vectors, moments by these, and what is left of `total`."""
            slope = np.exp(log_slope)[:, None]
            values, vectors = np.linalg.eigh(slope * gram * slope.T)
            values, rotated = np.maximum(values, 0.0), vectors.T @ (slope * moments)
            left = total - (np.square(rotated) / (1 + values[:, None])).sum(0)
            return values, vectors, rotated, np.maximum(left, 0.0)

        def objective(log_slope: Array) -> tuple[float, Array]:
            values, vectors, rotated, left = solve(log_slope)
            z, rate = log_slope - _LOG_SLOPE, 1 + 0.5 * left.sum()
            value = -self.shape * math.log(rate) - 0.5 * n_targets * np.log1p(values).sum()
            explained = np.square(vectors @ (rotated / (1 + values[:, None]))).sum(1)
            by_slope = self.shape / rate * explained - n_targets * np.square(vectors) @ (values / (1 + values))
            return 0.5 * float(z @ z) - float(value), z - by_slope

        found = _minimise(objective, np.full(len(gram), _LOG_SLOPE), [_LOG_SLOPES] * len(gram))
        log_slope = GRID * np.round(found.x / GRID)
        left = solve(log_slope)[-1]
        return np.exp(log_slope), np.sqrt((1 + 0.5 * left) / (1 + 0.5 * len(self.y)))


def _lines(rows: Rows) -> Array:
    """Absolute slopes of a Bayesian linear regression on all features, (d, t)."""
    models = (BayesianRidge().fit(rows.x, target, rows.weight) for target in rows.y.T)
    return np.abs(np.column_stack([model.coef_ for model in models]))


def _times_outer(a: Array, alpha: Array, columns: Array) -> Array:
    """The elementwise product of a matrix with alpha alpha^T, times columns, (n, n), (n, t) and (n, k) -> (n, k)."""
    weighted = (alpha[:, :, None] * columns[:, None]).reshape(len(a), -1)
    return ((a @ weighted).reshape(len(a), -1, columns.shape[1]) * alpha[:, :, None]).sum(1)


def _times_symmetric(lower: Array, columns: Array) -> Array:
    """A symmetric matrix, of which there is the lower triangle, times columns, (n, n) and (n, k) -> (n, k)."""
    return blas.dsymm(1.0, lower, columns, lower=True)


def _minimise(objective: Callable[[Array], tuple[float, Array]], start: Array, bounds: list) -> OptimizeResult:
    options = {"maxiter": _ITERATIONS, "ftol": _TOLERANCE}
    return minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
