"""Random waves: a process that is known everywhere a little, for where there are no inducing points yet."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from torch import Tensor

from skcmanp.adaptation.base import Array, Part, Values


@dataclass(frozen=True, eq=False)
class RandomWaves(Part):
    """Cosines and sines of random frequencies, of a Matern-5/2 process of unit length-scale.

    Rahimi and Recht, "Random features for large-scale kernel machines" (2007).

    Parameters
    ----------
    frequency : ndarray (d, w)
    variance : ndarray (1,)
        Of the process. Tensors may have a batch of it, (B,).
    """

    name = "random_waves"
    shapes: ClassVar = {"frequency": "d w", "variance": "1"}
    positive = ("variance",)
    frequency: Values
    variance: Values

    @classmethod
    def draw(cls, n_columns: int, n_waves: int, variance: Array) -> RandomWaves:
        """The same waves for all data of so many columns."""
        return cls(_frequencies(n_columns, n_waves), variance)

    @property
    def n_features(self) -> int:
        return 2 * self.frequency.shape[1]

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | float]:
        angle = x.double() @ self.frequency  # (..., N, w)
        size = (self.variance / max(self.frequency.shape[1], 1)).sqrt()[..., None, None]
        return torch.cat([angle.cos(), angle.sin()], dim=-1) * size, 0.0


@functools.lru_cache
def _frequencies(n_columns: int, n_waves: int) -> NDArray[np.float64]:
    """Random frequencies of a Matern-5/2 process of unit length-scale, (n_columns, n_waves).

    Its spectral density is Student's t with 5 degrees of freedom. Orthogonal
    directions (Yu et al., "Orthogonal random features", 2016) and evenly spread
    quantiles of the radius make few waves more accurate.
    """
    generator = np.random.default_rng(0)
    n_blocks = -(-n_waves // n_columns)
    directions = np.linalg.qr(generator.normal(size=(n_blocks, n_columns, n_columns))).Q  # (blocks, columns, waves)
    quantiles = (generator.permutation(n_waves) + 0.5) / n_waves
    radius = np.sqrt(n_columns * f_distribution.ppf(quantiles, n_columns, 5))
    return np.concatenate([*directions, np.zeros((n_columns, 0))], axis=1)[:, :n_waves] * radius
