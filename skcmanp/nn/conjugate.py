"""The conjugate memory: Bayesian linear regression on features of x.

Softmax attention from fixed queries sees a context through soft bins. A linear
model with Gaussian weights sees it exactly, and its sufficient statistics are
plain sums over rows, so they are as additive as the attention's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import f as f_distribution
from torch import Tensor, nn
from torch.distributions import Normal

from skcmanp.nn.embedding import FourierFeatures, mlp


class Sums(NamedTuple):
    """What the memory has seen of a context; sums over rows with weights w, float64."""

    a: Tensor  # sum w psi psi^T, (B, F, F)
    b: Tensor  # sum w psi y, (B, F, dy)
    c: Tensor  # sum w y^2, (B, dy)


class Posterior(NamedTuple):
    """The K regressions given a context, and how likely each is."""

    coefficients: Tensor  # posterior mean of the weights, (B, K, F, dy)
    cholesky: Tensor  # L: the weights have covariance noise * tau L^-T L^-1 tau, (B, K, F, F)
    noise: Tensor  # expected noise variance, (B, K, dy)
    probability: Tensor  # of each regression, (B, K, dy)


class LearnedFeatures(nn.Module):
    """x, 1, cosines with learned frequencies, and a small network's outputs.

    Parameters
    ----------
    dim_x, n_features : int
        Half of the features are cosines.
    scales : tuple of float
        See `FourierFeatures`.
    """

    def __init__(self, dim_x: int, n_features: int, scales: tuple[float, float]) -> None:
        super().__init__()
        n_cosines = n_features // 2
        self.cosines = FourierFeatures(dim_x, n_cosines, scales)
        self.learned = mlp(dim_x + n_cosines, 64, n_features - n_cosines - dim_x - 1, 3)
        self.log_prior = nn.Parameter(torch.full((n_features,), -0.5 * math.log(n_features)))

    def forward(self, x: Tensor) -> Tensor:
        waves = self.cosines(x)  # (B, N, dx + cosines)
        return torch.cat([waves, self.learned(waves).tanh(), torch.ones_like(x[..., :1])], dim=-1)


class MaternFeatures(nn.Module):
    """x, 1, and random waves whose Gaussian combinations are draws of a Matern-5/2 process of unit length-scale.

    The spectral density of the kernel is Student's t with 5 degrees of freedom.
    Orthogonal directions (Yu et al., "Orthogonal random features", 2016) and
    evenly spread quantiles of the radius make few waves more accurate. Nothing
    is learned, so that no training task limits what can be represented.

    Parameters
    ----------
    dim_x, n_features : int
        Beside dim_x + 1, features come in pairs of a sine and a cosine.
    """

    frequency: Tensor

    def __init__(self, dim_x: int, n_features: int) -> None:
        super().__init__()
        n_waves = (n_features - dim_x - 1) // 2
        generator = torch.Generator().manual_seed(0)
        blocks = [torch.randn(dim_x, dim_x, generator=generator) for _ in range(-(-n_waves // dim_x))]
        directions = torch.cat([torch.linalg.qr(block).Q for block in blocks], dim=1)[:, :n_waves]
        quantiles = (torch.randperm(n_waves, generator=generator).numpy() + 0.5) / n_waves
        radius = np.sqrt(dim_x * f_distribution.ppf(quantiles, dim_x, 5))
        self.register_buffer("frequency", directions * torch.tensor(radius, dtype=torch.float32))
        log_prior = [torch.full((2 * n_waves,), -0.5 * math.log(n_waves)), torch.full((dim_x,), math.log(0.3))]
        self.log_prior = nn.Parameter(torch.cat([*log_prior, torch.tensor([math.log(0.5)])]))

    def forward(self, x: Tensor) -> Tensor:
        angle = x @ self.frequency  # (B, N, waves)
        return torch.cat([angle.cos(), angle.sin(), x, torch.ones_like(x[..., :1])], dim=-1)


class ConjugateMemory(nn.Module):
    """K Bayesian linear regressions on the same features, which differ in their ratio of signal to noise.

    With features psi(x), weights ~ N(0, sigma^2 diag(tau_k^2)) and sigma^2 ~
    InverseGamma(a, b_k), everything is closed form. Evidence decides between
    the regressions, and the prediction has the moments of their mixture.
    Bishop, "Pattern Recognition and Machine Learning" (2006), sections 2.3.6 and 3.5.

    Parameters
    ----------
    features : LearnedFeatures or MaternFeatures
        With ``log_prior``, the logarithm of tau for a ratio of one.
    dim_y : int
    n_regressions : int
        K.
    ratio : tuple of float, default=(0.5, 500)
        Smallest and largest initial ratio.
    """

    def __init__(
        self,
        features: LearnedFeatures | MaternFeatures,
        dim_y: int,
        n_regressions: int,
        ratio: tuple[float, float] = (0.5, 500.0),
    ) -> None:
        super().__init__()
        self.embed = features
        self.log_ratio = nn.Parameter(torch.linspace(math.log(ratio[0]), math.log(ratio[1]), n_regressions))
        # Signal and noise together have a variance of about one, give or take an order of magnitude.
        self.log_shape = nn.Parameter(torch.tensor(math.log(0.5)))  # of a - 1
        self.log_rate = nn.Parameter(math.log(0.5) - torch.log1p((2 * self.log_ratio.detach()).exp()))
        self.n_hints = (2 + 3 * n_regressions) * dim_y

    def features(self, x: Tensor) -> Tensor:
        """psi(x), (B, N, dx) -> (B, N, F), float64."""
        return self.embed(x.to(self.log_ratio.dtype)).double()

    def read(self, x: Tensor, y: Tensor, log_weight: Tensor | None = None) -> Sums:
        """Sums of some rows.

        Parameters
        ----------
        x : Tensor (B or 1, N, dx)
        y : Tensor (B, N, dy)
        log_weight : Tensor (N,), optional
            Logarithm of the row weights.
        """
        psi, y = self.features(x), y.double()
        weight = torch.ones(len(y[0]), 1).to(y) if log_weight is None else log_weight.double().exp().unsqueeze(-1)
        weighted = weight * psi
        return Sums(weighted.mT @ psi, weighted.mT @ y, (weight * y.square()).sum(1))

    def posterior(self, sums: Sums, count: Tensor) -> Posterior:
        """The regressions given a context.

        Parameters
        ----------
        sums : Sums
            ``a`` may have one batch entry for all.
        count : Tensor (B,)
            Sum of the row weights.
        """
        tau = self._tau().unsqueeze(-1)  # (K, F, 1)
        cholesky = _cholesky_of_one_plus(tau * sums.a.unsqueeze(1) * tau.mT)  # (B, K, F, F)
        white = torch.linalg.solve_triangular(cholesky, tau * sums.b.unsqueeze(1), upper=False)  # (B, K, F, dy)
        coefficients = tau * torch.linalg.solve_triangular(cholesky.mT, white, upper=True)
        unexplained = (sums.c.unsqueeze(1) - white.square().sum(-2)).clamp(min=0.0)  # (B, K, dy)

        prior_shape, prior_rate = 1 + self.log_shape.double().exp(), self.log_rate.double().exp().view(1, -1, 1)
        shape = prior_shape + 0.5 * count.double().view(-1, 1, 1)  # (B, 1, 1)
        rate = prior_rate + 0.5 * unexplained  # (B, K, dy)
        log_determinant = 2 * cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)  # (B, K, 1)
        evidence = prior_shape * prior_rate.log() - shape * rate.log() - 0.5 * log_determinant
        return Posterior(coefficients, cholesky, rate / (shape - 1), evidence.softmax(1))

    def query(self, x: Tensor, posterior: Posterior) -> tuple[Normal, Tensor]:
        """The mixture's mean and standard deviation, and what a network may want to know of its parts.

        (B, M, dx) -> Normal of (B, M, dy), and hints (B, M, n_hints).
        """
        psi = self.features(x).unsqueeze(1)  # (B, 1, M, F)
        means = psi @ posterior.coefficients  # (B, K, M, dy)
        scaled = self._tau().unsqueeze(-1) * psi.mT  # (B, K, F, M)
        white = torch.linalg.solve_triangular(posterior.cholesky, scaled, upper=False)
        variances = (1 + white.square().sum(-2).unsqueeze(-1)) * posterior.noise.unsqueeze(2)  # (B, K, M, dy)
        probability = posterior.probability.unsqueeze(2)  # (B, K, 1, dy)
        mean = (probability * means).sum(1)  # (B, M, dy)
        spread = means - mean.unsqueeze(1)
        std = (probability * (variances + spread.square())).sum(1).sqrt()  # (B, M, dy)
        parts = [
            spread / std.unsqueeze(1),
            (0.5 * variances.log() - std.log().unsqueeze(1)),
            probability.expand_as(means),
        ]
        hints = torch.cat([mean, std.log(), *(part.permute(0, 2, 1, 3).flatten(2) for part in parts)], dim=-1)
        return Normal(mean.to(x.dtype), std.to(x.dtype), validate_args=False), hints.to(x.dtype)

    def _tau(self) -> Tensor:
        """Prior standard deviations of the weights in units of the noise's, (K, F)."""
        return (self.embed.log_prior + self.log_ratio.unsqueeze(-1)).double().exp()


def _cholesky_of_one_plus(a: Tensor) -> Tensor:
    """Factor of 1 + a for a positive semidefinite up to rounding, (..., F, F); it always succeeds.

    In exact arithmetic no jitter is needed. Rounding errors are relative to the
    size of a, and so is the jitter, which grows in the rare cases that the
    first is too small, as after subtractions.
    """
    n_features = a.shape[-1]
    identity = torch.eye(n_features, dtype=a.dtype, device=a.device)
    size = a.diagonal(dim1=-2, dim2=-1).abs().amax(-1)[..., None, None]
    relative = 4 * n_features * torch.finfo(a.dtype).eps
    while True:
        factor, failed = torch.linalg.cholesky_ex(a + (1 + relative * size) * identity)
        if not failed.any():
            return factor
        relative *= 100
