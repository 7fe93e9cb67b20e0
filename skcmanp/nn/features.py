"""Features of x on which the conjugate memory regresses, learned from the training tasks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skcmanp.nn.embedding import mlp


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

    def forward(self, x: Tensor) -> Tensor:
        angle = x @ self.frequency  # (B, N, waves)
        waves = torch.cat([angle.cos(), angle.sin()], dim=-1)
        learned = self.learned(torch.cat([x, waves], dim=-1)).tanh()
        return torch.cat([waves, learned, x, torch.ones_like(x[..., :1])], dim=-1)  # (B, N, F)
