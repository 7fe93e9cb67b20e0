"""Inducing points, which carry a Gaussian process of all features together.

Features that are made of a kernel at places among the data follow functions
where the data are; as many random features, which serve all data alike, follow
them far less closely.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.linalg import solve_triangular
from torch import Tensor

from skcmanp.adaptation.base import Array, Part, Values
from skcmanp.adaptation.rows import place_uniform, places
from skcmanp.kernels import BLOCK_ROWS, matern52
from skcmanp.products import times_upper

# A row whose value the inducing points leave less variance than this adds nothing but rounding errors.
MIN_RESIDUAL = 1e-5

_JITTER = 1e-8

# Rows that are drawn at once.
_DRAWN = 32


@dataclass(frozen=True, eq=False)
class InducingPoints(Part):
    """A Matern-5/2 process's values at inducing points, whitened, of unit length-scale.

    What they leave of it elsewhere is missed: Snelson and Ghahramani, "Sparse
    Gaussian processes using pseudo-inputs" (2006).

    Parameters
    ----------
    points : ndarray (p, d)
    variance : ndarray (1,)
        Of the process. Tensors may have a batch of both, (B, p, d) and (B,).
    """

    name = "inducing_points"
    shapes: ClassVar = {"points": "p d", "variance": "1"}
    positive = ("variance",)
    points: Values
    variance: Values

    @property
    def n_features(self) -> int:
        return self.points.shape[-2]

    @functools.cached_property
    def _whitening(self) -> Tensor:
        """Lower triangle that turns kernels at the inducing points into features, (..., p, p)."""
        identity = torch.eye(self.n_features, dtype=torch.float64, device=self.points.device)
        try:
            root = torch.linalg.cholesky(matern52(self.points, self.points) + _JITTER * identity)
        except RuntimeError as error:  # a LinAlgError
            raise ValueError(
                "Inducing points are so far from zero that the distances between them are lost."
            ) from error
        inverse = torch.linalg.solve_triangular(root, identity.expand_as(root), upper=False)
        return (self.variance[..., None, None].sqrt() * inverse).contiguous()

    def _values(self, x: Tensor) -> Tensor:
        """The process's whitened values at the inducing points, as far as they tell of those at x, (..., N, p)."""
        parts = (x,) if torch.compiler.is_compiling() else x.split(BLOCK_ROWS, dim=-2)  # programs take any number
        blocks = [times_upper(matern52(rows, self.points), self._whitening.mT) for rows in parts]
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=-2)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | float]:
        values = self._values(x.double())
        return values, (self.variance.unsqueeze(-1) - values.square().sum(-1)).clamp(min=0.0)

    def missed_covariance(self, x: Tensor) -> Tensor | float:
        """Covariance between rows of what the features miss, (..., N, d) -> (..., N, N)."""
        values = self._values(x.double())
        return self.variance[..., None, None] * matern52(x.double(), x.double()) - values @ values.mT


def choose_points(x: Array, n_points: int, standard: Array | None = None) -> Array:
    """Rows that represent all, by randomly pivoted Cholesky factorisation.

    Every next row is drawn in proportion to the variance that the process has
    there, given its values at those before. Some are drawn at once, and those
    rejected that the ones before make too likely: Epperly, Tropp and Webber,
    "Embrace rejection: kernel matrix approximation by accelerated randomly
    pivoted Cholesky" (2024). The random numbers belong to places, not to rows in
    an order, so that rows that change by rounding are drawn again.

    Parameters
    ----------
    x : ndarray (n, d)
        Features in units of their length-scales.
    n_points : int
        Largest number.
    standard : ndarray (n, d), optional
        The rows in units that do not depend on what is fitted, so that nor do
        their random numbers; `x` by default.

    Returns
    -------
    ndarray (p, d)
        Fewer than `n_points` if these leave (next to) no variance.

    Examples
    --------
    >>> import numpy as np
    >>> from skcmanp.adaptation.inducing import choose_points
    >>> x = np.random.default_rng(0).integers(0, 3, (100, 2)).astype(float)
    >>> len(choose_points(x, 50))  # different rows
    9
    """
    place = places(x if standard is None else standard)
    residual, factor = np.ones(len(x)), np.zeros((n_points, len(x)))
    chosen: list[int] = []
    for draw in range(0, 2**62, _DRAWN):
        if len(chosen) == n_points or not residual.any():
            break
        draws = np.arange(draw, draw + _DRAWN)
        # The largest of residual / exponential is a draw in proportion to the residuals.
        drawn = (residual / -np.log(place_uniform(place, draws[:, None]))).argmax(1)
        known = factor[: len(chosen)]
        within = matern52(x[drawn], x[drawn]) - known[:, drawn].T @ known[:, drawn]
        kept = _accepted(within, residual[drawn] * place_uniform(place[drawn], draws + 2**62))
        kept = kept[: n_points - len(chosen)]
        rows, root = drawn[kept], np.linalg.cholesky(within[np.ix_(kept, kept)])
        new = solve_triangular(root, matern52(x[rows], x) - known[:, rows].T @ known, lower=True, overwrite_b=True)
        factor[len(chosen) : len(chosen) + len(rows)] = new
        residual -= np.square(new).sum(0)
        residual[rows] = 0.0
        residual[residual <= MIN_RESIDUAL] = 0.0
        chosen += rows.tolist()
    return x[chosen]


def _accepted(covariance: Array, least: Array) -> list[int]:
    """Which of some rows keep more than the `least` variance given those accepted before, in their order."""
    covariance, kept = covariance.copy(), []
    for i, limit in enumerate(least):
        if covariance[i, i] > max(limit, MIN_RESIDUAL):
            covariance -= np.outer(covariance[i], covariance[i] / covariance[i, i])
            kept.append(i)
    return kept
