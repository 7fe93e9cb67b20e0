"""The conjugate memory: Bayesian linear regression on learned features.

Softmax attention from fixed queries sees a context through soft bins. A linear
model with Gaussian weights sees it exactly, and its sufficient statistics are
plain sums over rows, so they are as additive as the attention's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
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
    cholesky: Tensor  # L with tau L^-T L^-1 tau the posterior covariance of the weights, (B, K, F, F)
    probability: Tensor  # of each regression, (B, K, dy)


class ConjugateMemory(nn.Module):
    """K Bayesian linear regressions on the same features, which differ in noise and scale.

    With features psi(x), prior weights N(0, diag(tau_k^2)) and noise sigma_k,
    evidence decides between the regressions; the prediction is their mixture.
    Features are cosines and a small network's, both learned, beside x and 1.
    Bishop, "Pattern Recognition and Machine Learning" (2006), sections 3.3 and 3.5.

    Parameters
    ----------
    dim_x, dim_y : int
    n_features : int
        F; half of them are cosines.
    n_regressions : int
        K.
    fourier_scales : tuple of float
        See `FourierFeatures`.
    noise : tuple of float, default=(0.018, 0.8)
        Smallest and largest initial sigma.
    """

    # Below this sigma rounding would show in the sums of long contexts.
    min_noise = 0.01

    def __init__(
        self,
        dim_x: int,
        dim_y: int,
        n_features: int,
        n_regressions: int,
        fourier_scales: tuple[float, float],
        noise: tuple[float, float] = (0.018, 0.8),
    ) -> None:
        super().__init__()
        self.dim_y, self.n_features, self.n_regressions = dim_y, n_features, n_regressions
        n_cosines = n_features // 2
        n_learned = n_features - n_cosines - dim_x - 1
        self.cosines = FourierFeatures(dim_x, n_cosines, fourier_scales)
        self.learned = mlp(dim_x + n_cosines, 64, n_learned, 3)
        self.log_prior = nn.Parameter(torch.full((n_features,), -0.5 * math.log(n_features)))
        self.log_scale = nn.Parameter(torch.linspace(0.5, 0.0, n_regressions))
        low, high = (math.log(sigma - self.min_noise) for sigma in noise)
        self.log_noise = nn.Parameter(torch.linspace(low, high, n_regressions))
        self.n_hints = (2 + 3 * n_regressions) * dim_y

    def features(self, x: Tensor) -> Tensor:
        """psi(x), (B, N, dx) -> (B, N, F), float64."""
        waves = self.cosines(x.to(self.log_prior.dtype))  # (B, N, dx + cosines)
        ones = torch.ones_like(x[..., :1])
        return torch.cat([waves, self.learned(waves).tanh(), ones], dim=-1).double()

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
        variance = self._noise().square().view(1, -1, 1, 1)  # (1, K, 1, 1)
        tau = self._tau().unsqueeze(-1)  # (K, F, 1)
        a = tau * sums.a.unsqueeze(1) * tau.mT / variance  # (B, K, F, F)
        cholesky = _cholesky_of_one_plus(a)
        b = tau * sums.b.unsqueeze(1) / variance  # (B, K, F, dy)
        white = torch.linalg.solve_triangular(cholesky, b, upper=False)  # (B, K, F, dy)
        log_determinant = 2 * cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # (B, K)
        residual = sums.c.unsqueeze(1) / variance.squeeze(-1) - white.square().sum(-2)  # (B, K, dy)
        log_noise = count.double().view(-1, 1) * variance.view(1, -1).log()  # (B, K)
        evidence = -0.5 * (residual + (log_determinant + log_noise).unsqueeze(-1))
        coefficients = tau * torch.linalg.solve_triangular(cholesky.mT, white, upper=True)
        return Posterior(coefficients, cholesky, evidence.softmax(1))

    def query(self, x: Tensor, posterior: Posterior) -> tuple[Normal, Tensor]:
        """The mixture's mean and standard deviation, and what a network may want to know of its parts.

        (B, M, dx) -> Normal of (B, M, dy), and hints (B, M, n_hints).
        """
        psi = self.features(x).unsqueeze(1)  # (B, 1, M, F)
        means = psi @ posterior.coefficients  # (B, K, M, dy)
        scaled = self._tau().unsqueeze(-1) * psi.mT  # (B, K, F, M)
        white = torch.linalg.solve_triangular(posterior.cholesky, scaled, upper=False)
        variances = white.square().sum(-2).unsqueeze(-1) + self._noise().square().view(1, -1, 1, 1)  # (B, K, M, 1)
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
        """Prior standard deviations of the weights, (K, F)."""
        return (self.log_prior + self.log_scale.unsqueeze(-1)).double().exp()

    def _noise(self) -> Tensor:
        return self.min_noise + self.log_noise.double().exp()


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
