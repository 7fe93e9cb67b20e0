"""Features of x on which the conjugate memory regresses."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import f as f_distribution
from torch import Tensor, nn

from skcmanp.nn.embedding import mlp


class Noise(NamedTuple):
    """How the noise's scale varies, see `skcmanp.process.NoiseProfile`."""

    points: Tensor  # (B, q, dx)
    weights: Tensor  # (B, q)
    slope: Tensor  # (B, dx)
    reach: Tensor  # (B, dx)

    def variance(self, x: Tensor) -> Tensor:
        """Relative to its mean over the first rows, (B or 1, N, dx) -> (B, N), float64."""
        x, (points, weights, slope, reach) = x.double(), (t.double() for t in self)
        local = (_matern52(x, points) @ weights.unsqueeze(-1)).squeeze(-1)  # (B, N)
        reach = reach.unsqueeze(1)
        trend = (x.clamp(-reach, reach) @ slope.unsqueeze(-1)).squeeze(-1)  # (B, N)
        return (2 * (local + trend)).exp()


class Basis(NamedTuple):
    """What features need to know of the first rows of a context."""

    points: Tensor  # some of them, (B, p, dx), p may be 0
    factor: Tensor  # Cholesky factor of their covariance, (B, p, p), float64
    ratio: Tensor  # signal to noise, (B,)
    share: Tensor  # of the variance that these features carry, (B,)
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

    def basis(self, points: Tensor, ratio: Tensor, share: Tensor | None = None) -> Basis:
        """There is none: the features are the same for all contexts."""
        return Basis(points[:, :0], points.new_zeros(len(points), 0, 0), ratio, torch.zeros_like(ratio))

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
    """x, 1, and features whose Gaussian combinations are draws of a Matern-5/2 process of unit length-scale.

    Of points among the first rows, the process's values there, whitened (the
    Nystrom method); random waves stand in for the points that a small first
    chunk cannot offer. Each kind carries a share of the process's variance. What the values at the points leave of its
    variance elsewhere is told beside the features: Snelson and Ghahramani,
    "Sparse Gaussian processes using pseudo-inputs" (2006).

    The spectral density of the kernel is Student's t with 5 degrees of freedom.
    Orthogonal directions (Yu et al., "Orthogonal random features", 2016) and
    evenly spread quantiles of the radius make few waves more accurate. Nothing
    is learned, so that no training task limits what can be represented.

    Parameters
    ----------
    dim_x, n_features : int
        The number of points is at most n_features - dim_x - 1.
    """

    frequency: Tensor

    def __init__(self, dim_x: int, n_features: int) -> None:
        super().__init__()
        self.n_points = n_features - dim_x - 1
        n_waves = self.n_points // 2
        generator = torch.Generator().manual_seed(0)
        blocks = [torch.randn(dim_x, dim_x, generator=generator) for _ in range(-(-n_waves // dim_x))]
        directions = torch.cat([torch.linalg.qr(block).Q for block in blocks], dim=1)[:, :n_waves]
        quantiles = (torch.randperm(n_waves, generator=generator).numpy() + 0.5) / n_waves
        radius = np.sqrt(dim_x * f_distribution.ppf(quantiles, dim_x, 5))
        self.register_buffer("frequency", directions * torch.tensor(radius, dtype=torch.float32))

    def log_prior(self, n_priors: int) -> Tensor:
        """Logarithm of the weights' prior standard deviations, all alike but for x and 1, (n, F)."""
        dim_x = len(self.frequency)
        parts = [torch.zeros(self.n_points), torch.full((dim_x,), math.log(0.3)), torch.tensor([math.log(0.5)])]
        return torch.cat(parts).expand(n_priors, -1)

    def basis(self, points: Tensor, ratio: Tensor, share: Tensor | None = None) -> Basis:
        """Factorise the points' covariance, (B, p, dx); those beyond the features' number are left out.

        Their share is by default their number's.
        """
        points = points[:, : self.n_points].double()
        if share is None:
            share = torch.full_like(ratio, points.shape[1] / self.n_points)
        covariance = _matern52(points, points)
        jitter = 1e-8 * torch.eye(points.shape[1], dtype=torch.float64, device=points.device)
        return Basis(points, torch.linalg.cholesky(covariance + jitter), ratio, share.double())

    def forward(self, x: Tensor, basis: Basis) -> tuple[Tensor, Tensor]:
        n_points, n_waves = basis.points.shape[1], (self.n_points - basis.points.shape[1]) // 2
        share = basis.share.view(-1, 1, 1)
        values = self._values(x, basis)  # (B, N, p)
        missing = share.squeeze(-1) * (1 - values.square().sum(-1)).clamp(min=0.0)  # (B, N)
        angle = x @ self.frequency[:, :n_waves]  # (B, N, waves)
        waves = torch.cat([angle.cos(), angle.sin()], dim=-1) * ((1 - share) / max(n_waves, 1)).sqrt()
        # An odd number of features is left over for one wave less than there is room for.
        waves = nn.functional.pad(waves, (0, self.n_points - n_points - 2 * n_waves))
        x = x.double()
        return torch.cat([share.sqrt() * values, waves, x, torch.ones_like(x[..., :1])], dim=-1), missing

    def missing_covariance(self, x: Tensor, basis: Basis) -> Tensor:
        """Covariance of what the features miss of the process, (B, M, dx) -> (B, M, M)."""
        values, x = self._values(x, basis), x.double()
        return basis.share.view(-1, 1, 1) * (_matern52(x, x) - values @ values.mT)

    def _values(self, x: Tensor, basis: Basis) -> Tensor:
        """The process's whitened values at the points, as far as they tell of those at x, (B, N, p)."""
        return torch.linalg.solve_triangular(basis.factor, _matern52(basis.points, x.double()), upper=False).mT


def _matern52(a: Tensor, b: Tensor) -> Tensor:
    """Kernel of unit variance and length-scale, (B, N, dx) and (B or 1, M, dx) -> (B, N, M)."""
    squares = a.square().sum(-1, keepdim=True) + b.square().sum(-1).unsqueeze(-2) - 2 * a @ b.mT
    r = (5 * squares.clamp(min=0.0)).sqrt()
    return (1 + r + r.square() / 3) * (-r).exp()
