"""Transformer neural processes: all rows attend to all, or each to those before it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution

from peers.joint import make_head
from skcmanp import CMANPConfig
from skcmanp.nn.attention import FeedForward, KeyValue, MultiHeadAttention, merge_heads, split_heads
from skcmanp.nn.embedding import mlp


class Layer(nn.Module):
    """Attention to the context and a feed-forward layer, for rows and queries alike."""

    def __init__(self, dim: int, n_heads: int, dim_feedforward: int) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(dim, n_heads)
        self.feedforward = FeedForward(dim, dim_feedforward)

    def forward(self, h: Tensor, kv: KeyValue, causal: bool = False) -> Tensor:
        attention = self.attention
        q = split_heads(attention.query(attention.norm(h)), attention.n_heads)  # (B, H, N, E)
        h = h + attention.out(merge_heads(F.scaled_dot_product_attention(q, kv.k, kv.v, is_causal=causal)))
        return h + self.feedforward(h)


class TNP(nn.Module):
    """TNP-D, TNP-ND, and a TNP whose context is causal and cached.

    Nguyen and Grover, "Transformer Neural Processes" (arXiv 2207.04179); the
    target tokens attend to the context alone, so rows and queries can be
    encoded one after the other. With `causal`, a row attends to itself and to the rows
    before it, so that the keys and values of a growing context can be cached
    (incremental TNP, arXiv 2602.18955); rows then have an order.
    """

    def __init__(self, config: CMANPConfig, joint: bool = False, causal: bool = False) -> None:
        super().__init__()
        self.causal, self.dim_y = causal, config.dim_y
        self.embed = mlp(config.dim_x + config.dim_y, config.dim, config.dim, config.embed_depth)
        layers = (Layer(config.dim, config.n_heads, config.dim_feedforward) for _ in range(config.n_blocks))
        self.layers = nn.ModuleList(layers)
        self.head = make_head(config, joint)

    def condition(self, x: Tensor, y: Tensor) -> list[KeyValue]:
        """Keys and values of the context in every layer."""
        h, memory = self.embed(torch.cat([x, y], -1)), []  # (B, N, D)
        for layer in self.layers:
            memory.append(layer.attention.keys_values(h))
            h = layer(h, memory[-1], self.causal)
        return memory

    def update(self, memory: list[KeyValue], x: Tensor, y: Tensor) -> list[KeyValue]:
        """Append one row, (B, 1, dx) and (B, 1, dy), to a causal context."""
        h, extended = self.embed(torch.cat([x, y], -1)), []
        for layer, old in zip(self.layers, memory, strict=True):
            new = layer.attention.keys_values(h)
            extended.append(KeyValue(torch.cat([old.k, new.k], 2), torch.cat([old.v, new.v], 2)))
            h = layer(h, extended[-1])
        return extended

    def query(self, x: Tensor, memory: list[KeyValue]) -> Distribution:
        h = self.embed(F.pad(x, (0, self.dim_y)))  # (B, M, D): targets are masked with zeros
        for layer, kv in zip(self.layers, memory, strict=True):
            h = layer(h, kv)
        return self.head(h)

    def forward(self, x: Tensor, y: Tensor, x_target: Tensor) -> Distribution:
        return self.query(x_target, self.condition(x, y))
