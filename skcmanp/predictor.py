"""Predicting many rows from one state: a normal distribution of the scaled targets, then their own units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from skcmanp.inference import Network
from skcmanp.joint import BLOCK_SIZE, draw, log_density, predict_joint
from skcmanp.state.context import ContextState

Array = NDArray[np.float64]


# Variances within these have all digits.
MIN_VARIANCE, MAX_VARIANCE = 1e-290, 1e300


class Predictor(NamedTuple):
    """Everything that predicting needs besides rows: all that one call says is of one state."""

    network: Network
    state: ContextState
    chunk_size: int
    block_size: int | None

    def predict(self, X: NDArray, include_noise: bool = True) -> tuple[Array, Array]:
        """Mean and standard deviation, (m, d) -> (m, t), (m, t)."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean, std = self.state.adaptation.targets.moments(*self._scaled(X, include_noise))
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0 if include_noise else std >= 0).all()):
            raise ValueError("Means or standard deviations of targets leave float64; divide y by a constant.")
        return mean, std

    def quantiles(self, X: NDArray, levels: Array, include_noise: bool = True) -> Array:
        """Quantiles of q levels, (m, d) -> (m, t, q)."""
        return self.state.adaptation.targets.quantiles(*self._scaled(X, include_noise), levels)

    def predict_joint(self, X: NDArray, include_noise: bool = True) -> tuple[Array, Array]:
        """Mean and covariance of all rows, (m, d) -> (m, t), (m, m, t)."""
        adaptation = self.state.adaptation
        mean, covariance, _ = predict_joint(self.network, self.state, adaptation.scale_x(X), include_noise)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, covariance = adaptation.targets.joint_moments(mean, np.moveaxis(covariance, 0, -1))
        variance = np.einsum("iit->it", covariance)
        if not ((variance > MIN_VARIANCE) & (variance < MAX_VARIANCE)).all():
            raise ValueError(
                f"Targets have a scale of {adaptation.targets.scale.max():g}, and covariances leave float64; divide y "
                "by a constant, or ask for return_std=True."
            )
        return mean, covariance

    def draw(self, X: NDArray, n_samples: int, rng: np.random.RandomState, include_noise: bool = True) -> Array:
        """Coherent draws of the targets, (m, d) -> (m, t, n_samples)."""
        adaptation = self.state.adaptation
        x, block_size = adaptation.scale_x(X), self.block_size or BLOCK_SIZE
        return adaptation.targets.original(draw(self.network, self.state, x, n_samples, block_size, rng, include_noise))

    def log_density(self, X: NDArray, y: NDArray) -> Array:
        """Log density of the targets of every row, summed over targets, (m, d), (m, t) -> (m,)."""
        targets = self.state.adaptation.targets
        return (norm.logpdf(targets.scaled(y), *self._scaled(X)) + targets.log_slope(y)).sum(axis=1)

    def joint_log_density(self, X: NDArray, y: NDArray) -> float:
        """Log density of all targets together, (m, d), (m, t)."""
        adaptation = self.state.adaptation
        scaled = adaptation.scale_x(X), adaptation.scale_y(y)
        density = log_density(self.network, self.state, *scaled, self.block_size or BLOCK_SIZE)
        return density + float(adaptation.targets.log_slope(y).sum())

    def _scaled(self, X: NDArray, include_noise: bool = True) -> tuple[Array, Array]:
        """Mean and standard deviation of the scaled targets, chunk by chunk, (m, d) -> (m, t), (m, t)."""
        means, stds = [], []
        for start in range(0, X.shape[0], self.chunk_size):
            x = self.state.adaptation.scale_x(X[start : start + self.chunk_size])
            mean, std = self.network.predict(self.state, x)
            means.append(mean)
            stds.append(std if include_noise else std * np.sqrt(self.network.function_share(self.state, x)))
        return np.concatenate(means), np.concatenate(stds)
