"""LBANP: latents that attend to the context again in every block."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from peers.joint import make_head
from skcmanp import CMANPConfig
from skcmanp.nn.attention import FeedForward, KeyValue, MultiHeadAttention, SelfAttention
from skcmanp.nn.embedding import mlp
from skcmanp.nn.model import Decoder


class Block(nn.Module):
    """Latents read the rows, then one another."""

    def __init__(self, dim: int, n_heads: int, dim_feedforward: int) -> None:
        super().__init__()
        self.cross = MultiHeadAttention(dim, n_heads)
        self.feedforward = FeedForward(dim, dim_feedforward)
        self.attention = SelfAttention(dim, n_heads)
        self.feedforward_2 = FeedForward(dim, dim_feedforward)

    def forward(self, latents: Tensor, rows: Tensor) -> Tensor:
        latents = latents + self.cross(latents, self.cross.keys_values(rows))  # (B, L, D)
        latents = latents + self.feedforward(latents)
        latents = latents + self.attention(latents)
        return latents + self.feedforward_2(latents)


class LBANP(nn.Module):
    """Latent bottlenecked attentive neural process, diagonal or not.

    Feng et al., arXiv 2211.08458. From the second block on the latents' queries
    depend on the data, so a new row means reading all of them again: memory
    and update cost grow with the context.
    """

    def __init__(self, config: CMANPConfig, joint: bool = False) -> None:
        super().__init__()
        dim, n_heads, dim_feedforward = config.dim, config.n_heads, config.dim_feedforward
        self.embed_row = mlp(config.dim_x + config.dim_y, dim, dim, config.embed_depth)
        self.embed_query = mlp(config.dim_x, dim, dim, config.embed_depth)
        self.latents = nn.Parameter(torch.randn(config.n_input_latents, dim) * 0.5)
        self.blocks = nn.ModuleList(Block(dim, n_heads, dim_feedforward) for _ in range(config.n_blocks))
        self.decoders = nn.ModuleList(Decoder(dim, n_heads, dim_feedforward) for _ in range(config.n_blocks))
        self.head = make_head(config, joint)

    def condition(self, x: Tensor, y: Tensor) -> list[KeyValue]:
        """Keys and values of the latents of every block, for the decoders."""
        rows = self.embed_row(torch.cat([x, y], -1))  # (B, N, D)
        latents, memory = self.latents.expand(len(x), -1, -1), []
        for block, decoder in zip(self.blocks, self.decoders, strict=True):
            latents = block(latents, rows)
            memory.append(decoder.cross.keys_values(latents))
        return memory

    def query(self, x: Tensor, memory: list[KeyValue]) -> Distribution:
        h = self.embed_query(x)  # (B, M, D)
        for decoder, kv in zip(self.decoders, memory, strict=True):
            h = decoder(h, kv)
        return self.head(h)

    def forward(self, x: Tensor, y: Tensor, x_target: Tensor) -> Distribution:
        return self.query(x_target, self.condition(x, y))
