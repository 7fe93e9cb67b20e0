"""Predicting many rows from one state, in the targets' own units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from skcmanp.inference import Network
from skcmanp.joint import BLOCK_SIZE, draw, log_density
from skcmanp.state.context import ContextState

Array = NDArray[np.float64]


class Predictor(NamedTuple):
    """Everything that predicting needs besides rows: all that one call says is of one state."""

    network: Network
    state: ContextState
    chunk_size: int
    block_size: int | None

    def predict(self, X: NDArray) -> tuple[Array, Array]:
        """Mean and standard deviation, chunk by chunk, (m, d) -> (m, t), (m, t)."""
        adaptation = self.state.adaptation
        chunks = (X[start : start + self.chunk_size] for start in range(0, len(X), self.chunk_size))
        scaled = (self.network.predict(self.state, adaptation.scale_x(chunk)) for chunk in chunks)
        mean, std = zip(*(adaptation.unscale_y(*moments) for moments in scaled), strict=True)
        return np.concatenate(mean), np.concatenate(std)

    def predict_joint(self, X: NDArray) -> tuple[Array, Array]:
        """Mean and covariance of all rows, (m, d) -> (m, t), (m, m, t)."""
        adaptation = self.state.adaptation
        mean, covariance = self.network.predict_joint(self.state, adaptation.scale_x(X))
        centre, scale = adaptation.targets.centre, adaptation.targets.scale
        return mean * scale + centre, np.moveaxis(covariance, 0, -1) * np.square(scale)

    def draw(self, X: NDArray, n_samples: int, rng: np.random.RandomState) -> Array:
        """Coherent draws of the targets, (m, d) -> (m, t, n_samples)."""
        adaptation = self.state.adaptation
        block_size = self.block_size or BLOCK_SIZE
        drawn = draw(self.network, self.state, adaptation.scale_x(X), n_samples, block_size, rng)
        return drawn * adaptation.targets.scale[:, None] + adaptation.targets.centre[:, None]

    def log_density(self, X: NDArray, y: NDArray) -> Array:
        """Log density of the targets of every row, summed over targets, (m, d), (m, t) -> (m,)."""
        return norm.logpdf(y, *self.predict(X)).sum(axis=1)

    def joint_log_density(self, X: NDArray, y: NDArray) -> float:
        """Log density of all targets together, (m, d), (m, t)."""
        adaptation = self.state.adaptation
        scaled = adaptation.scale_x(X), adaptation.scale_y(y)
        density = log_density(self.network, self.state, *scaled, self.block_size or BLOCK_SIZE)
        return density - len(X) * float(np.log(adaptation.targets.scale).sum())
