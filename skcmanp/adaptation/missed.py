"""How large the function is that the features miss: by predictions of rows that were left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student_t
from torch import Tensor

from skcmanp.adaptation.base import Array, Frozen, Values
from skcmanp.adaptation.rows import Rows
from skcmanp.bounds import are_all
from skcmanp.threads import in_threads

FOLDS = 4

# Rows left out that tell the scale well enough: of many rows, some folds do.
_ENOUGH = 400

# Signal-to-noise ratio for the variance that features miss where rows are weighted: more makes the rows at the
# inducing points outweigh too many.
MAX_WEIGHT_RATIO = 4.0

# Priors of what the memory's regressions assume: signal-to-noise ratios, and shape and rate of the noise.
_RATIOS = np.geomspace(0.5, 150.0, 8)
_SHAPE = 1.5

# Standard deviation of the logarithm of the scale around that of the evidence, a priori, and where it is looked for.
_SPREAD = 1.0
_GRID = np.linspace(-4.0, 3.0, 57)
_PENALTY = 0.5 * np.square(_GRID / _SPREAD)

# Degrees of freedom of the distribution by which predictions are compared: of a normal one, a few rows that are far off
# would decide.
_FREEDOM = 5.0

# Eigenvalues smaller than this, relative to the largest, are rounding errors.
_NEGLIGIBLE = 1e-10

# Share of the rows left out that have the scale which they show; of rows at the edge, share that have theirs in part.
_SHOWN, _BETWEEN = 0.95, 0.5

_NOTHING = 1e-300

# Share of the rows that are the edge.
_EDGE = 0.25

Features = Callable[[Array], tuple[Array, Array]]  # rows -> features (n, f) and the variance that they miss (n,)


@dataclass(frozen=True, eq=False)
class Missed(Frozen):
    """Standard deviation of the process that features miss, in units of the scaled targets.

    What rows show of it holds where features miss no more than they do there.
    A function may be far smoother than the process between rows, and not so
    beyond them. So there are two scales, and from the one to the other it is a
    power of the variance that is missed.

    Parameters
    ----------
    scale : ndarray (t,) or (1,)
        As the rows show it.
    beyond : ndarray (t,) or (1,)
        As rows at the edge show it, at least `scale`.
    limits : ndarray (2,)
        Variances that features miss, of a process of variance one: the largest
        with the one scale, and the least with the other.
    """

    name = "missed"
    shapes: ClassVar = {"scale": "t", "beyond": "t", "limits": "2"}
    positive = ("scale", "beyond", "limits")
    scale: Values
    beyond: Values
    limits: Values

    @classmethod
    def before_rows(cls) -> Missed:
        """One, of which nothing is known yet."""
        return cls(np.ones(1), np.ones(1), np.ones(2))

    def of_scale(self, scale: Array) -> Missed:
        """With another scale, as other rows show it."""
        return Missed(scale, np.maximum(self.beyond, scale), self.limits)

    def check_rest(self, n_columns: int) -> None:
        self.require("beyond", are_all(self.beyond >= self.scale), "at least the scale that rows show")
        self.require("limits", self.limits[0] <= self.limits[1], "in order")

    def at(self, missed: Tensor, unknown: Tensor) -> Tensor:
        """The scale at rows, (B, N) -> (B, N, t or 1).

        Given the variance that is missed, of a process of variance one, and how
        much of it is `unknown` of rows, whatever features make of them.
        """
        scale, known = self.scale.unsqueeze(-2), missed - unknown
        logs, (low, high) = known.clamp(min=_NOTHING).log().unsqueeze(-1), self.limits.log()
        share = ((logs - low) / (high - low).clamp(min=_NOTHING)).clamp(0, 1)
        of_features = (self.beyond.unsqueeze(-2) / scale).log().mul(2 * share).exp()
        unknown = (unknown / missed.clamp(min=_NOTHING)).unsqueeze(-1)
        return scale * (of_features * (1 - unknown) + unknown).sqrt()


def missed_scale(
    rows: Rows,
    fold: NDArray[np.int64],
    features: Callable[[Array], Features],
    noise: Array,
    ratio: float,
    signal: Array,
    first: Errors | None = None,
) -> tuple[Missed, Array]:
    """Standard deviation of the process that features miss, by cross-validation.

    Inducing points miss the more of a function, the farther a row is from them.
    How much that is in the targets' units, the evidence of the process says
    badly: it knows the function's fine detail, which decides, from few rows
    alone. So some rows are left out, features made of the others, and the scale
    is that which makes the errors of their predictions most likely. Rows left
    out at random show it between the rows, and those at the edge beyond them.

    Parameters
    ----------
    rows : Rows
        In units of the features' length-scales.
    fold : ndarray (n,)
        From 0 to `FOLDS`: which rows are left out together.
    features : callable
        Makes features, given the rows (n, d) that their inducing points may be chosen from.
    noise : ndarray (n,)
        Relative noise variance at the rows.
    ratio : float
        Signal-to-noise ratio.
    signal : ndarray (t,)
        Standard deviation of the signal as the evidence has it: what to assume
        where the rows say little.
    first : Errors, optional
        Of the first fold's rows, if they are known.

    Returns
    -------
    missed : Missed
    squares : ndarray (n,)
        Of the errors, means of all targets; NaN of rows that were never left out.
    """
    if len(rows.x) < 2 * FOLDS:
        return Missed(signal, signal, np.ones(2)), np.zeros(len(rows.x))
    total, scales = -_PENALTY[:, None] * np.ones(len(signal)), np.multiply.outer(np.exp(_GRID), signal)
    squares, missed = np.full((2, len(rows.x)), np.nan)

    def errors_at(some: NDArray[np.bool_]) -> Errors:
        kept = rows.take(~some)
        return errors_of(kept, rows.take(some), features(kept.x), ratio)

    left_out = [fold == k for k in range(FOLDS) if np.count_nonzero(fold < k) < _ENOUGH]
    edge = _edge(rows.x)
    has_edge = edge.sum() <= len(edge) / 2
    parts, known = [*left_out, edge] if has_edge else left_out, [] if first is None else [first]
    found = known + in_threads(errors_at, parts[len(known) :])
    for some, errors in zip(left_out, found, strict=False):
        total += errors.likelihood(noise[some], np.multiply.outer(np.square(scales), errors.missed))
        squares[some], missed[some] = np.square(errors.error).mean(1), errors.missed
    scale = scales[total.argmax(0), np.arange(len(signal))]
    shown = max(float(np.nanquantile(missed, _SHOWN)), _NOTHING)
    if not has_edge:
        return Missed(scale, scale, np.array([shown, shown])), squares
    return _with_beyond(scale, shown, scales, found[-1], noise[edge]), squares


def _with_beyond(scale: Array, shown: float, scales: Array, errors: Errors, noise: Array) -> Missed:
    """The most likely of some scales beyond the rows, (grid, t), by errors at their edge, given that between them."""
    limits = np.array([shown, max(float(np.quantile(errors.missed, _BETWEEN)), 2 * shown)])
    at_edge, none = torch.from_numpy(errors.missed), torch.zeros(len(errors.missed), dtype=torch.float64)
    tried = [Missed(scale, np.maximum(scale, beyond), limits) for beyond in scales]
    at_rows = np.stack([one.to("cpu").at(at_edge, none).mT.numpy() for one in tried])  # (grid, t, n)
    best = (errors.likelihood(noise, np.square(at_rows) * errors.missed) - _PENALTY[:, None]).argmax(0)
    return Missed(scale, np.maximum(scale, scales[best, np.arange(len(scale))]), limits)


def _edge(x: Array) -> NDArray[np.bool_]:
    """Which rows are farthest from the middle of all, or as far as these but for rounding, (n,)."""
    distance = np.sqrt(np.square(x - x.mean(0)).sum(1))
    return distance >= (1 - 2.0**-18) * np.quantile(distance, 1 - _EDGE)


def best_scale(errors: Errors, noise: Array, signal: Array) -> tuple[Array, float]:
    """The scale that makes some rows that were left out most likely, (t,), and how well these are then predicted.

    That is in nats a row; their relative noise variance is (n,).
    """
    scales = np.multiply.outer(np.exp(_GRID), signal)
    tried = errors.likelihood(noise, np.multiply.outer(np.square(scales), errors.missed))
    scale = scales[(tried - _PENALTY[:, None]).argmax(0), np.arange(len(signal))]
    return scale, errors.score(noise, np.multiply.outer(np.square(scale), errors.missed))


class Errors(NamedTuple):
    """Of predictions of rows that were left out."""

    error: Array  # (n, t)
    relative: Array  # variance that is expected of the function, in units of the noise's, (n, t)
    unit: Array  # variance of the noise, on average, (t,)
    missed: Array  # variance that features miss, (n,)

    @property
    def mean_square(self) -> float:
        """Of all errors."""
        return float(np.mean(np.square(self.error)))

    def variance(self, noise: Array, missed: Array) -> Array:
        """Of rows of such relative noise (n,) where so much is missed, (..., t, n) -> (..., t, n)."""
        return ((noise[:, None] + self.relative) * self.unit).T + missed

    def likelihood(self, noise: Array, missed: Array) -> Array:
        """Log-likelihood of all rows, (grid, t, n) -> (grid, t)."""
        variance = self.variance(noise, missed)
        return -0.5 * (np.log(2 * np.pi * variance) + np.square(self.error).T / variance).sum(-1)

    def score(self, noise: Array, missed: Array) -> float:
        """Mean log-density of a row, of Student's t-distribution of that variance: few rows do not decide, (t, n)."""
        scale = np.sqrt(self.variance(noise, missed) * (_FREEDOM - 2) / _FREEDOM)
        return float(student_t.logpdf(self.error.T, _FREEDOM, scale=scale).sum(0).mean())


def errors_of(kept: Rows, left_out: Rows, features: Features, ratio: float) -> Errors:
    """Of a memory that has read the rows `kept`."""
    ratio = min(ratio, MAX_WEIGHT_RATIO)
    (psi, missed), (psi_out, missed_out) = features(kept.x), features(left_out.x)
    weight = kept.weight / (1 + ratio**2 * missed)
    weighted = psi * np.sqrt(weight)[:, None]
    eigenvalues, vectors = _eigen(weighted)  # (r,), (f, r)
    white = vectors.T @ (weighted.T @ (np.sqrt(weight)[:, None] * kept.y))  # (r, t)
    prior = np.square(_RATIOS)[:, None]
    shrinkage = 1 / (eigenvalues + 1 / prior)  # (K, r)
    explained = shrinkage @ np.square(white)  # (K, t)
    rate = 0.5 / (1 + prior) + 0.5 * np.maximum((weight[:, None] * np.square(kept.y)).sum(0) - explained, 0.0)
    shape = _SHAPE + 0.5 * weight.sum()
    evidence = _SHAPE * np.log(0.5 / (1 + prior)) - shape * np.log(rate)
    evidence = evidence - 0.5 * np.log1p(prior * eigenvalues).sum(1, keepdims=True)
    best = evidence.argmax(0)  # of every target, (t,)
    rotated = psi_out @ vectors
    error = left_out.y - rotated @ (shrinkage[best].T * white)
    unseen = np.square(psi_out).sum(1) - np.square(rotated).sum(1)  # of directions that no row kept tells anything of
    relative = np.square(rotated) @ shrinkage[best].T + np.maximum(unseen, 0.0)[:, None] * prior[best, 0]
    return Errors(error, relative, rate[best, np.arange(len(best))] / (shape - 1), missed_out)


def _eigen(rows: Array) -> tuple[Array, Array]:
    """Eigenvalues and vectors of the rows' second moments, (n, f) -> (r,), (f, r), r at most the smaller of n and f.

    Of fewer rows than features, those that are next to nothing are left out.
    """
    if len(rows) >= rows.shape[1]:
        eigenvalues, vectors = np.linalg.eigh(rows.T @ rows)
        return np.maximum(eigenvalues, 0.0), vectors
    eigenvalues, vectors = np.linalg.eigh(rows @ rows.T)
    kept = eigenvalues > _NEGLIGIBLE * eigenvalues[-1:]
    return eigenvalues[kept], rows.T @ (vectors[:, kept] / np.sqrt(eigenvalues[kept]))
