"""Many targets together: densities and draws, block by block.

Within a block the targets are jointly Gaussian. Between blocks, those that are
known already, or drawn, are absorbed into a copy of the state at constant
cost, as if they had been read: the paper's CMANP-AND (Feng et al., arXiv
2305.14567, section 3.3).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from skcmanp.inference import Network
from skcmanp.state.context import ContextState
from skcmanp.threads import blocks_of

Array = NDArray[np.float64]

# Rows of a block by default: a covariance of 2 MB, and far less time than another pass through the network.
BLOCK_SIZE = 512


# What is added to a covariance without noise, relative to the variance with it: features are fewer than rows may be,
# and rounding errors would make it indefinite.
_JITTER = 1e-9


def predict_joint(
    network: Network, state: ContextState, x: Array, include_noise: bool = True
) -> tuple[Array, Array, Array]:
    """Mean and covariance of scaled rows, and the variance of noise beside it, (m, d) -> (m, t), (t, m, m), (m, t).

    Without noise they are the function's, and the noise is what was left out.
    """
    mean, covariance = network.predict_joint(state, x)
    if include_noise:
        return mean, covariance, np.zeros_like(mean)
    if network.config.joint_rank:
        raise ValueError(
            f"include_noise=False, but checkpoint {state.checkpoint!r} learned correlations of targets, noise "
            "included; choose a checkpoint without a not-diagonal head."
        )
    variance = covariance.diagonal(axis1=1, axis2=2).T  # (m, t)
    noise = (1 - network.function_share(state, x)) * variance
    rows = np.arange(len(x))
    covariance[:, rows, rows] += (_JITTER * variance - noise).T
    return mean, covariance, noise


def draw(
    network: Network,
    state: ContextState,
    x: Array,
    n_samples: int,
    block_size: int,
    rng: np.random.RandomState,
    include_noise: bool = True,
) -> Array:
    """Coherent draws of the targets of scaled rows, (m, d) -> (m, t, n_samples).

    Without noise they are draws of the function. What later blocks know of
    earlier ones then is the function's values with noise, as rows that are read
    have it: every block's distribution is right, and its tie to those before a
    little weaker than it should be.
    """
    n_targets, dim_y = state.n_outputs, network.config.dim_y
    drawn: list[Array] = []
    for rows in blocks_of(len(x), block_size):
        # (b, t), (t, b, b), (b, t); n_samples t of all later on
        mean, covariance, noise = predict_joint(network, state, x[rows], include_noise)
        factor = np.linalg.cholesky(covariance).astype(np.float64, copy=False)
        if not drawn:  # all draws have the same past
            mean, noise, factor = mean[..., None], noise[..., None], factor[:, None]  # (b, t, 1), (t, 1, b, b)
        else:
            mean, noise = _by_draw(mean, n_samples, dim_y), _by_draw(noise, n_samples, dim_y)  # (b, t, n)
            factor = np.moveaxis(_by_draw(np.moveaxis(factor, 0, 2), n_samples, dim_y), (0, 1), (2, 3))
        normal = rng.standard_normal((n_targets, n_samples, len(mean), 1))
        drawn.append(mean + np.moveaxis(factor @ normal, 2, 0)[..., 0])
        if rows.stop < len(x):
            if len(drawn) == 1:
                state = replace(state, summary=state.summary.repeat(n_samples))
            known = drawn[-1]
            if not include_noise:
                known = known + np.sqrt(noise) * rng.standard_normal(known.shape)
            known = known.reshape(len(mean), -1, dim_y, n_samples).swapaxes(2, 3).reshape(len(mean), -1)
            state = state.absorb(network.read(x[rows], known, state.adaptation))
    return np.concatenate(drawn)


def _by_draw(values: Array, n_samples: int, dim_y: int) -> Array:
    """Columns of a repeated summary, (..., t n_samples) -> (..., t, n_samples).

    They are those of the first reading's targets in its first draw, then in its
    second, and so on.
    """
    split = values.reshape(*values.shape[:-1], -1, n_samples, dim_y)
    return split.swapaxes(-1, -2).reshape(*values.shape[:-1], -1, n_samples)


def log_density(network: Network, state: ContextState, x: Array, y: Array, block_size: int) -> float:
    """Joint log-density of the targets of scaled rows, (m, d) and (m, t), summed over targets."""
    total = 0.0
    for rows in blocks_of(len(x), block_size):
        mean, covariance = network.predict_joint(state, x[rows])
        for factor, error in zip(np.linalg.cholesky(covariance), (y[rows] - mean).T, strict=True):
            white = solve_triangular(factor, error, lower=True)
            total -= 0.5 * white @ white + np.log(factor.diagonal()).sum() + 0.5 * len(error) * math.log(2 * math.pi)
        if rows.stop < len(x):
            state = state.absorb(network.read(x[rows], y[rows], state.adaptation))
    return float(total)
