"""The not-diagonal head: one Gaussian over all targets of a task."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import LowRankMultivariateNormal

from skcmanp import CMANPConfig
from skcmanp.nn.attention import FeedForward, SelfAttention
from skcmanp.nn.embedding import mlp
from skcmanp.nn.heads import GaussianHead

RANK = 20
N_LAYERS = 2


class JointHead(nn.Module):
    """A covariance of low rank plus a diagonal, from a small transformer over the targets.

    Nguyen and Grover, "Transformer Neural Processes" (arXiv 2207.04179), section 3.3.
    """

    def __init__(self, config: CMANPConfig) -> None:
        super().__init__()
        self.min_std, self.dim_y = config.min_std, config.dim_y
        dim, n_heads, dim_feedforward = config.dim, config.n_heads, config.dim_feedforward
        self.mean = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, config.dim_y))
        self.attention = nn.ModuleList(SelfAttention(dim, n_heads) for _ in range(N_LAYERS))
        self.feedforward = nn.ModuleList(FeedForward(dim, dim_feedforward) for _ in range(N_LAYERS))
        self.norm = nn.LayerNorm(dim)
        self.factor = mlp(dim, dim, config.dim_y * RANK, config.embed_depth)
        self.std = nn.Linear(dim, config.dim_y)

    def forward(self, h: Tensor) -> LowRankMultivariateNormal:
        """Joint distribution of the flattened targets, (B, M, D) -> event of M * dy."""
        mean = self.mean(h)  # (B, M, dy)
        for attention, feedforward in zip(self.attention, self.feedforward, strict=True):
            h = h + attention(h)
            h = h + feedforward(h)
        h = self.norm(h)
        factor = self.factor(h).unflatten(-1, (self.dim_y, RANK)).flatten(1, 2)  # (B, M * dy, rank)
        std = self.min_std + (1 - self.min_std) * F.softplus(self.std(h))  # (B, M, dy)
        return LowRankMultivariateNormal(
            mean.flatten(1), factor / RANK**0.5, std.flatten(1).square(), validate_args=False
        )


def make_head(config: CMANPConfig, joint: bool) -> nn.Module:
    """The not-diagonal head, or the package's own diagonal one."""
    return JointHead(config) if joint else GaussianHead(config.dim, config.dim_y, config.min_std)
