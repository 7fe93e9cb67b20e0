"""How large the function is that the features miss: by predictions of rows that were left out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from skcmanp.adaptation.base import Array
from skcmanp.adaptation.rows import Rows

FOLDS = 4

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

# Eigenvalues smaller than this, relative to the largest, are rounding errors.
_NEGLIGIBLE = 1e-10

Features = Callable[[Array], tuple[Array, Array]]  # rows -> features (n, f) and the variance that they miss (n,)


def missed_scale(
    rows: Rows,
    fold: NDArray[np.int64],
    features: Callable[[Array], Features],
    noise: Array,
    ratio: float,
    signal: Array,
) -> tuple[Array, Array]:
    """Standard deviation of the process that features miss, by cross-validation.

    Inducing points miss the more of a function, the farther a row is from them.
    How much that is in the targets' units, the evidence of the process says
    badly: it knows the function's fine detail, which decides, from few rows
    alone. So some rows are left out, features made of the others, and the scale
    is that which makes the errors of their predictions most likely.

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

    Returns
    -------
    scale : ndarray (t,)
    squares : ndarray (n,)
        Of the errors, means of all targets.
    """
    if len(rows.x) < 2 * FOLDS:
        return signal, np.zeros(len(rows.x))
    total, squares = -_PENALTY[:, None] * np.ones(len(signal)), np.empty(len(rows.x))
    for k in range(FOLDS):
        kept, left_out = rows.take(fold != k), rows.take(fold == k)
        tried, error = likelihood(kept, left_out, features(kept.x), noise[fold == k], ratio, signal)
        total += tried
        squares[fold == k] = np.square(error).mean(1)
    return signal * np.exp(_GRID[total.argmax(0)]), squares


def best_scale(
    kept: Rows, left_out: Rows, features: Features, noise: Array, ratio: float, signal: Array
) -> tuple[Array, float, float]:
    """The scale that makes some rows that were left out most likely, (t,), and what they are then.

    That is the log-likelihood of one, in nats, and the mean square of the errors.
    """
    tried, error = likelihood(kept, left_out, features, noise, ratio, signal)
    best = (tried - _PENALTY[:, None]).argmax(0)
    score = tried[best, np.arange(len(signal))].sum() / len(left_out.x)
    return signal * np.exp(_GRID[best]), float(score), float(np.mean(np.square(error)))


def likelihood(
    kept: Rows, left_out: Rows, features: Features, noise: Array, ratio: float, signal: Array
) -> tuple[Array, Array]:
    """Log-likelihood of the rows that were left out, for scales of what is missed, (grid, t), and errors (n, t)."""
    error, relative, noise_variance, missed = _errors(kept, left_out, features, min(ratio, MAX_WEIGHT_RATIO))
    of_noise = (noise[:, None] + relative) * noise_variance  # (n, t)
    variance = of_noise + np.multiply.outer(np.exp(2 * _GRID), np.square(signal)[None] * missed[:, None])
    return -0.5 * (np.log(2 * np.pi * variance) + np.square(error) / variance).sum(1), error


def _errors(kept: Rows, left_out: Rows, features: Features, ratio: float) -> tuple[Array, Array, Array, Array]:
    """What a memory that has read some rows says of those that were left out.

    Errors, and variances of the signal relative to the noise's, (n, t) each;
    variances of the noise (t,), and what the features miss (n,).
    """
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
    return error, relative, rate[best, np.arange(len(best))] / (shape - 1), missed_out


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
