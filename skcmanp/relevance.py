"""On what scale each feature matters: length-scales by the evidence of a Gaussian process.

Standardised inputs hide which features matter. The first data seen say, and
what they say is frozen as a part of the scaling: every feature is divided by its
length-scale, so that all functions vary on a scale of one and idle features fade.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

Array = NDArray[np.float64]
Rows = tuple[Array, Array, Array]  # features (n, d), targets (n, t), weights (n,)

# Rows that are looked at, and those of them for the evidence: its cost grows with their cube.
MAX_ROWS = 2048
EVIDENCE_ROWS = 512

# Fitted logarithms are rounded to this, so that rounding errors of the rows' order cannot show.
GRID = 0.05

# Rows are rounded to this, for the same reason; a power of two, which costs no digits.
RESOLUTION = 2.0**-20

_LOG_RANGE = (math.log(0.03), math.log(300.0))


def default_lengthscale(n_features: int) -> float:
    """Length-scale of every feature, in its standard deviations, before anything is known."""
    return 0.8 * math.sqrt(n_features)


def fit_lengthscales(x: Array, y: Array, weight: Array) -> tuple[Array, float]:
    """Length-scales of the features, and signal to noise, by the evidence of a Matern-5/2 process.

    The maximum a posteriori under log-normal priors, around
    `default_lengthscale` and a ratio of 5; with few rows it stays there.
    Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006),
    sections 5.1 and 5.4.1.

    Parameters
    ----------
    x : ndarray (n, d)
        Standardised features of different rows, see `sample_rows`; at most
        `EVIDENCE_ROWS` of them are looked at.
    y : ndarray (n, t)
        Standardised targets; they share the length-scales.
    weight : ndarray (n,)
        Positive.

    Returns
    -------
    lengthscale : ndarray (d,)
        In units of x.
    ratio : float
        Standard deviation of the signal over that of the noise.

    Examples
    --------
    >>> import numpy as np
    >>> from skcmanp.relevance import fit_lengthscales
    >>> x = np.random.default_rng(0).normal(size=(100, 2))
    >>> (wiggly, idle), ratio = fit_lengthscales(x, np.sin(3 * x[:, :1]), np.ones(100))
    >>> bool(wiggly < 1.5 and idle > 5 and ratio > 10)
    True
    """
    x, y, weight = x[:EVIDENCE_ROWS], y[:EVIDENCE_ROWS], weight[:EVIDENCE_ROWS]
    n_features = x.shape[1]
    centre = np.r_[np.full(n_features, math.log(default_lengthscale(n_features))), math.log(0.2)]
    spread = np.r_[np.full(n_features, 1.2), 1.5]

    def objective(parameters: Array) -> tuple[float, Array]:
        value, gradient = _evidence(parameters, x, y, weight)
        z = (parameters - centre) / spread
        return 0.5 * float(z @ z) - value, z / spread - gradient

    bounds = [_LOG_RANGE] * n_features + [(math.log(0.002), math.log(3.0))]
    found = minimize(objective, centre, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 50})
    coarse = np.exp(GRID * np.round(found.x / GRID))
    return coarse[:n_features], 1 / float(coarse[-1])


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


def _evidence(parameters: Array, x: Array, y: Array, weight: Array) -> tuple[float, Array]:
    """Log-evidence, summed over targets, and its gradient in log length-scales and log noise to signal.

    The signal's variance is integrated out, over an inverse-gamma prior of
    shape and rate one. A row of weight w has a w-th of the noise variance.
    That such rows are equal says nothing of the noise: they may be copies.
    """
    n_targets = y.shape[1]
    scaled, noise = x / np.exp(parameters[:-1]), math.exp(2 * parameters[-1])
    norms = np.square(scaled).sum(1)
    r = np.sqrt(5 * np.maximum(norms[:, None] + norms - 2 * scaled @ scaled.T, 0.0))
    decay = np.exp(-r)
    kernel = decay * (1 + r + np.square(r) / 3)
    covariance = kernel + np.diag(noise / weight)

    factor = cholesky(covariance, lower=True)
    precision = np.tril(dpotri(factor, lower=True)[0])
    precision += np.tril(precision, -1).T
    alpha = precision @ y  # (n, t)
    shape, rate = 1 + 0.5 * y.size, 1 + 0.5 * (y * alpha).sum()
    value = -shape * math.log(rate) - n_targets * np.log(factor.diagonal()).sum()

    outer = (
        shape / rate * alpha @ alpha.T - n_targets * precision
    )  # twice the derivative of the evidence in the covariance
    slope = outer * decay * (1 + r) * (5 / 3)  # times d_ij^2 / ell^2: half the derivative in log ell
    by_feature = (np.square(scaled) * slope.sum(1)[:, None]).sum(0) - (scaled * (slope @ scaled)).sum(0)
    by_noise = (outer.diagonal() * noise / weight).sum()
    return float(value), np.r_[by_feature, by_noise]
