"""Conditional neural processes that pool the context: CNP and CANP."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from skcmanp import CMANPConfig
from skcmanp.nn.attention import FeedForward, KeyValue, MultiHeadAttention, SelfAttention
from skcmanp.nn.embedding import mlp
from skcmanp.nn.heads import GaussianHead


class CNP(nn.Module):
    """The mean of the rows' encodings, and a network that reads it beside the query.

    Garnelo et al., "Conditional Neural Processes" (arXiv 1807.01613). Hidden layers
    have twice the width of the attention models, as in the transformer papers' comparisons.
    """

    def __init__(self, config: CMANPConfig) -> None:
        super().__init__()
        dim = 2 * config.dim
        self.encode = mlp(config.dim_x + config.dim_y, dim, dim, config.embed_depth)
        self.pooled = mlp(dim, dim, dim, 2)
        self.decode = mlp(config.dim_x + dim, dim, dim, 3)
        self.head = GaussianHead(dim, config.dim_y, config.min_std)

    def condition(self, x: Tensor, y: Tensor) -> tuple[Tensor, int]:
        """Sum of encodings and number of rows."""
        return self.encode(torch.cat([x, y], -1)).sum(1, keepdim=True), x.shape[1]  # (B, 1, D)

    def update(self, memory: tuple[Tensor, int], x: Tensor, y: Tensor) -> tuple[Tensor, int]:
        total, count = self.condition(x, y)
        return memory[0] + total, memory[1] + count

    def query(self, x: Tensor, memory: tuple[Tensor, int]) -> Normal:
        total, count = memory
        pooled = self.pooled(total / max(1, count)).expand(-1, x.shape[1], -1)  # (B, M, D)
        return self.head(self.decode(torch.cat([x, pooled], -1)))

    def forward(self, x: Tensor, y: Tensor, x_target: Tensor) -> Normal:
        return self.query(x_target, self.condition(x, y))


class CANP(nn.Module):
    """A CNP with a second path, in which queries attend to the rows.

    Kim et al., "Attentive Neural Processes" (arXiv 1901.05761), without the latent variable.
    """

    def __init__(self, config: CMANPConfig) -> None:
        super().__init__()
        dim, dim_in = 2 * config.dim, config.dim_x + config.dim_y
        self.encode = mlp(dim_in, dim, dim, config.embed_depth)
        self.attention = SelfAttention(dim, config.n_heads)
        self.feedforward = FeedForward(dim, dim)
        self.query_encoder = mlp(config.dim_x, dim, dim, 2)
        self.key_encoder = mlp(config.dim_x, dim, dim, 2)
        self.cross = MultiHeadAttention(dim, config.n_heads)
        self.value = nn.Linear(dim, dim)
        self.encode_pooled = mlp(dim_in, dim, dim, config.embed_depth)
        self.pooled = mlp(dim, dim, dim, 2)
        self.decode = mlp(config.dim_x + 2 * dim, dim, dim, 3)
        self.head = GaussianHead(dim, config.dim_y, config.min_std)

    def condition(self, x: Tensor, y: Tensor) -> tuple[KeyValue, Tensor]:
        """Keys and values of the rows, and their pooled encoding."""
        rows = torch.cat([x, y], -1)
        h = self.encode(rows)
        h = h + self.attention(h)
        h = h + self.feedforward(h)  # (B, N, D)
        keys = self.cross.keys_values(self.key_encoder(x)).k  # (B, H, N, E)
        values = self.value(h).unflatten(-1, (keys.shape[1], -1)).transpose(1, 2)
        return KeyValue(keys, values), self.pooled(self.encode_pooled(rows).mean(1, keepdim=True))

    def query(self, x: Tensor, memory: tuple[KeyValue, Tensor]) -> Normal:
        keys_values, pooled = memory
        attended = self.cross(self.query_encoder(x), keys_values)  # (B, M, D)
        return self.head(self.decode(torch.cat([x, attended, pooled.expand_as(attended)], -1)))

    def forward(self, x: Tensor, y: Tensor, x_target: Tensor) -> Normal:
        return self.query(x_target, self.condition(x, y))
