"""The constant memory attention block, and what queries its latents (arXiv 2305.14567, sections 3.1 and 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skcmanp.nn.attention import FeedForward, KeyValue, MultiHeadAttention, SelfAttention, split_heads


class CMAB(nn.Module):
    """Compresses any number of rows into a fixed number of latents.

    The block's own queries, `block_latents`, are learned and do not depend on
    data. So the only part that touches the rows is a weighted mean per query,
    whose running statistics can be updated at constant cost; everything after
    it has constant size.
    """

    def __init__(self, dim: int, n_heads: int, dim_feedforward: int, n_block_latents: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.block_latents = nn.Parameter(torch.randn(n_block_latents, dim) * 0.5)
        self.norm_block = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.block_feedforward = FeedForward(dim, dim_feedforward)
        self.block_attention = SelfAttention(dim, n_heads)
        self.block_feedforward_2 = FeedForward(dim, dim_feedforward)
        self.latent_cross = MultiHeadAttention(dim, n_heads)
        self.latent_feedforward = FeedForward(dim, dim_feedforward)
        self.latent_attention = SelfAttention(dim, n_heads)
        self.latent_feedforward_2 = FeedForward(dim, dim_feedforward)

    def queries(self) -> Tensor:
        """Fixed queries to the rows, (H, L_B, E)."""
        return split_heads(self.query(self.norm_block(self.block_latents)).unsqueeze(0), self.n_heads)[0]

    def forward(self, attended: Tensor, latents: Tensor) -> Tensor:
        """New latents from what the queries saw of the rows.

        Parameters
        ----------
        attended : Tensor (B, L_B, D)
            Attention output of `queries` over the rows; zero for no rows.
        latents : Tensor (B, L_I, D)
            Latents of the previous block.
        """
        block = self.block_latents + self.out(attended)  # (B, L_B, D)
        block = block + self.block_feedforward(block)
        block = block + self.block_attention(block)
        block = block + self.block_feedforward_2(block)

        latents = latents + self.latent_cross(latents, self.latent_cross.keys_values(block))  # (B, L_I, D)
        latents = latents + self.latent_feedforward(latents)
        latents = latents + self.latent_attention(latents)
        return latents + self.latent_feedforward_2(latents)


class Decoder(nn.Module):
    """One query layer: attends to the latents of one block."""

    def __init__(self, dim: int, n_heads: int, dim_feedforward: int) -> None:
        super().__init__()
        self.cross = MultiHeadAttention(dim, n_heads)
        self.feedforward = FeedForward(dim, dim_feedforward)

    def forward(self, h: Tensor, kv: KeyValue) -> Tensor:
        h = h + self.cross(h, kv)
        return h + self.feedforward(h)
