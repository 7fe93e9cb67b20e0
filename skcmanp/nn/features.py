"""Features of x on which the conjugate memory regresses."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from torch import Tensor, nn

from skcmanp.effects import Effects, matern52
from skcmanp.nn.embedding import mlp

# Prior standard deviations of the coefficients of x and 1, relative to the process's.
PRIOR_LINE, PRIOR_CONSTANT = 0.3, 0.5


class Noise(NamedTuple):
    """How the noise's scale varies, see `skcmanp.process.NoiseProfile`."""

    points: Tensor  # (B, q, dx)
    lengthscale: Tensor  # (B, dx)
    weights: Tensor  # (B, q)
    coefficients: Tensor  # (B, d, m)

    def variance(self, x: Tensor, effects: Effects) -> Tensor:
        """Relative to its mean over the first rows, (B or 1, N, dx) -> (B, N), float64."""
        points, lengthscale, weights, coefficients = (t.double() for t in self)
        lengthscale = lengthscale.unsqueeze(1)
        kernel = _matern52(x.double() / lengthscale, points / lengthscale)  # (B, N, q)
        local = (kernel @ weights.unsqueeze(-1)).squeeze(-1)  # (B, N)
        trend = torch.einsum("bndm,bdm->bn", effects.waves(x, coefficients.shape[-1]), coefficients)
        return (2 * (local + trend)).exp()


class Basis(NamedTuple):
    """What features need to know of the first rows of a context."""

    points: Tensor  # some of them, (B, p, dx), p may be 0
    factor: Tensor  # Cholesky factor of their covariance, (B, p, p), float64
    frequency: Tensor  # of the random waves beside them, (columns of x that are not absent, waves)
    ratio: Tensor  # signal to noise, (B,)
    share: Tensor  # of the variance of all features together, what those of the points carry, (B,)
    effects: Effects | None = None  # of every feature alone
    noise: Noise | None = None  # none is the same everywhere


class LearnedFeatures(nn.Module):
    """x, 1, waves with learned frequencies, and a small network's outputs.

    Parameters
    ----------
    dim_x, n_features : int
        An eighth of the features are the network's.
    scales : tuple of float
        One over the longest and the shortest length-scale of the functions.
    """

    def __init__(self, dim_x: int, n_features: int, scales: tuple[float, float]) -> None:
        super().__init__()
        self.scales = scales
        n_learned = n_features // 8
        n_waves = (n_features - n_learned - dim_x - 1) // 2
        n_learned = n_features - dim_x - 1 - 2 * n_waves
        # Even spacing of the frequencies makes their sums periodic, over a domain that few wide ones leave too small.
        radius = 2.5 * scales[1] * (torch.arange(n_waves) + 0.5) / n_waves
        direction = nn.functional.normalize(torch.randn(dim_x, n_waves), dim=0)
        self.frequency = nn.Parameter(direction * radius)
        self.n_learned = n_learned
        self.learned = mlp(dim_x + 2 * n_waves, 64, n_learned, 3)

    def log_prior(self, n_priors: int) -> Tensor:
        """Logarithm of the weights' prior standard deviations, of RBF processes of different length-scales, (n, F)."""
        radius = self.frequency.detach().norm(dim=0)
        low, high = (math.log(scale) for scale in self.scales)
        inverse = torch.linspace(low, high, n_priors + 2)[1:-1].exp()
        relative = radius / inverse.unsqueeze(1)  # (n, waves)
        density = relative ** (len(self.frequency) - 1) * (-0.5 * relative.square()).exp() + 1e-6
        waves = 0.5 * (density / density.sum(1, keepdim=True)).log()
        n_others = self.n_learned + len(self.frequency) + 1
        return torch.cat([waves, waves, torch.full((n_priors, n_others), math.log(0.1))], dim=1)

    def basis(
        self, points: Tensor, ratio: Tensor, share: Tensor | None = None, effects: Effects | None = None
    ) -> Basis:
        """There is none: the features are the same for all contexts."""
        factor = points.new_zeros(len(points), 0, 0)
        return Basis(points[:, :0], factor, self.frequency[:, :0], ratio, torch.zeros_like(ratio))

    def forward(self, x: Tensor, basis: Basis) -> tuple[Tensor, Tensor]:
        angle = x @ self.frequency  # (B, N, waves)
        waves = torch.cat([angle.cos(), angle.sin()], dim=-1)
        learned = self.learned(torch.cat([x, waves], dim=-1)).tanh()
        psi = torch.cat([waves, learned, x, torch.ones_like(x[..., :1])], dim=-1)
        return psi, torch.zeros_like(psi[..., 0])

    def missing_covariance(self, x: Tensor, basis: Basis) -> Tensor:
        """Nothing is missing: zeros, (B, M, dx) -> (B, M, M)."""
        return x.new_zeros(len(x), x.shape[1], x.shape[1], dtype=torch.float64)


class MaternFeatures(nn.Module):
    """x, 1, and features whose Gaussian combinations are draws of a process of variance one.

    That is the sum of every feature's own effect, if these are given, and of a
    Matern-5/2 process of all features, of unit length-scale. Features of points
    among the first rows are the latter's values there, whitened (the Nystrom
    method); random waves stand in for the points that a small first chunk cannot
    offer. Each kind carries a share of its variance. What the values at the
    points leave of it elsewhere is told beside the features: Snelson and
    Ghahramani, "Sparse Gaussian processes using pseudo-inputs" (2006).

    Nothing is learned, so that no training task limits what can be represented.

    Parameters
    ----------
    n_features : int
        Of them, x takes as many as it has columns, or as are ranked.
    """

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.n_features = n_features

    def log_prior(self, n_priors: int) -> Tensor:
        """Logarithm of the weights' prior standard deviations, which are the features' own, (n, F)."""
        return torch.zeros(n_priors, self.n_features)

    def basis(
        self, points: Tensor, ratio: Tensor, share: Tensor | None = None, effects: Effects | None = None
    ) -> Basis:
        """Factorise the points' covariance, (B, p, dx); those beyond the features' number are left out.

        Their share is by default their number's.
        """
        n_columns = points.shape[-1] if effects is None else effects.knots.shape[1]
        room = self.n_features - n_columns - 1 - (0 if effects is None else effects.n_features)
        points = points[:, :room].double()
        frequency = torch.tensor(_frequencies(n_columns, (room - points.shape[1]) // 2)).to(points)
        if share is None:
            share = torch.full_like(ratio, points.shape[1] / room)
        covariance = _matern52(points, points)
        jitter = 1e-8 * torch.eye(points.shape[1], dtype=torch.float64, device=points.device)
        return Basis(points, torch.linalg.cholesky(covariance + jitter), frequency, ratio, share.double(), effects)

    def forward(self, x: Tensor, basis: Basis) -> tuple[Tensor, Tensor]:
        by_points, by_waves = self._shares(basis)
        values = self._values(x, basis)  # (B, N, p)
        missing = by_points.squeeze(-1) * (1 - values.square().sum(-1)).clamp(min=0.0)  # (B, N)
        n_columns, n_waves = basis.frequency.shape  # columns of x beyond are absent features
        x = x[..., :n_columns].double()
        angle = x @ basis.frequency  # (B, N, waves)
        waves = torch.cat([angle.cos(), angle.sin()], dim=-1) * (by_waves / max(n_waves, 1)).sqrt()
        parts = [by_points.sqrt() * values, waves, PRIOR_LINE * x, torch.full_like(x[..., :1], PRIOR_CONSTANT)]
        if basis.effects is not None:
            parts.append(basis.effects.features(x))
            missing = missing + basis.effects.missing(x)
        spare = self.n_features - sum(part.shape[-1] for part in parts)  # 1 where there is room for half a wave
        parts.append(values.new_zeros(1, values.shape[1], spare))
        return torch.cat([part.expand(len(values), -1, -1) for part in parts], dim=-1), missing

    def missing_covariance(self, x: Tensor, basis: Basis) -> Tensor:
        """Covariance of what the features miss of the process, (B, M, dx) -> (B, M, M)."""
        values, x = self._values(x, basis), x.double()
        return self._shares(basis)[0] * (_matern52(x, x) - values @ values.mT)

    def _shares(self, basis: Basis) -> tuple[Tensor, Tensor]:
        """Of a variance of one, what the points and the waves carry, (B, 1, 1) each."""
        local = 1 if basis.effects is None else 1 - basis.effects.carried()
        return (local * basis.share).view(-1, 1, 1), (local * (1 - basis.share)).view(-1, 1, 1)

    def _values(self, x: Tensor, basis: Basis) -> Tensor:
        """The process's whitened values at the points, as far as they tell of those at x, (B, N, p)."""
        return torch.linalg.solve_triangular(basis.factor, _matern52(basis.points, x.double()), upper=False).mT


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


def _matern52(a: Tensor, b: Tensor) -> Tensor:
    """Kernel of unit variance and length-scale, (B, N, dx) and (B or 1, M, dx) -> (B, N, M)."""
    squares = a.square().sum(-1, keepdim=True) + b.square().sum(-1).unsqueeze(-2) - 2 * a @ b.mT
    return matern52((5 * squares.clamp(min=0.0)).sqrt())
