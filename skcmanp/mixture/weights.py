"""Weights of forecasts by how well they predicted what came."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from skcmanp.mixture.linear import discounts

Array = NDArray[np.float64]

HORIZONS = (100.0, 500.0, 2500.0)
_CHOICE = 1000.0  # half-life of what decides between horizons
_FLOOR = 1e-3  # share that is spread evenly where half-lives are compared, of which none may rule out a forecast
_WORST = 8.0  # nats that a row may count against a forecast


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of J forecasts from their predictive densities, discounted with several half-lives.

    Plain Bayesian averaging settles on a forecast for good; discounted densities
    (Raftery, Karny and Ettler, "Online prediction under model uncertainty via
    dynamic model averaging", Technometrics 52, 2010) can change their mind. How
    fast is decided likewise, by the densities of the mixtures of all half-lives.

    Parameters
    ----------
    scores : ndarray (H, J)
        Discounted log densities.
    choice : ndarray (H,)
        Discounted log densities of the mixtures.
    """

    scores: Array
    choice: Array

    @classmethod
    def empty(cls, n_forecasts: int) -> Weights:
        """Before any row: all alike."""
        return cls(np.zeros((len(HORIZONS), n_forecasts)), np.zeros(len(HORIZONS)))

    @property
    def by_horizon(self) -> Array:
        """Weights for every half-life, (H, J)."""
        return softmax(self.scores, axis=1)

    @property
    def values(self) -> Array:
        """Weights, (J,)."""
        return self.sharpened(1.0)

    def sharpened(self, by: float) -> Array:
        """Weights as if densities had counted so many times as much, (J,)."""
        return softmax(self.choice) @ softmax(by * self.scores, axis=1)

    def learned(self, log_density: Array) -> Weights:
        """With the log densities of further rows, (J, n)."""
        n = log_density.shape[1]
        log_density = np.maximum(log_density, log_density.max(axis=0) - _WORST)
        shares = (1 - _FLOOR) * self.by_horizon + _FLOOR / len(log_density)
        mixed = logsumexp(log_density[None], b=shares[:, :, None], axis=1)  # (H, n)
        scores = [
            row * np.exp2(-n / half_life) + log_density @ discounts(n, half_life)
            for row, half_life in zip(self.scores, HORIZONS, strict=True)
        ]
        choice = self.choice * np.exp2(-n / _CHOICE) + mixed @ discounts(n, _CHOICE)
        return replace(self, scores=np.array(scores), choice=choice)
