"""Attention over rows as running-softmax statistics, and attention between latents.

Cross-attention from fixed queries to rows is a weighted mean, so all that it
needs to remember of the rows are three sums per query (see `Statistics`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Statistics(NamedTuple):
    """What fixed queries have seen of a chunk of rows.

    With logits ``z = q . k / sqrt(head dim)`` and row weights ``w``::

        m: reference logit; any finite value will do, the largest is safe
        s = sum_i w_i exp(z_i - m)
        o = sum_i w_i exp(z_i - m) v_i

    ``o / s`` is the attention output. Shapes: ``m`` and ``s`` (B, H, L),
    ``o`` (B, H, L, head dim).
    """

    m: Tensor
    s: Tensor
    o: Tensor


# With fewer rows the fused kernel's overhead is larger than the work (measured: 0.23 ms against 0.06 for one row).
MIN_FUSED_ROWS = 16

_fused_cpu = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)


def read_statistics(q: Tensor, k: Tensor, v: Tensor, log_weight: Tensor | None = None) -> Statistics:
    """Statistics of one chunk, without autograd.

    Parameters
    ----------
    q : Tensor (B, H, L, E)
    k, v : Tensor (B, H, N, E), N >= 1
    log_weight : Tensor (N,), optional
        Logarithm of the row weights; it is added to the logits.
    """
    bias = None if log_weight is None else log_weight.view(1, 1, 1, -1).to(q.dtype)
    if q.device.type == "cpu" and _fused_cpu is not None and k.shape[2] >= MIN_FUSED_ROWS:
        # The fused kernel normalises its output and returns the log-sum-exp:
        # statistics with the log-sum-exp itself as reference have s = 1.
        out, lse = _fused_cpu(q, k, v, 0.0, False, attn_mask=bias)
        return Statistics(lse, torch.ones_like(lse), out)
    return plain_statistics(q, k, v, bias)


def plain_statistics(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Statistics:
    """`read_statistics` written out; for few rows, and devices without the fused kernel."""
    z = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)  # (B, H, L, N)
    if bias is not None:
        z = z + bias
    m = z.amax(-1)  # (B, H, L)
    p = (z - m.unsqueeze(-1)).exp()
    return Statistics(m, p.sum(-1), p @ v)


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    """(B, N, H * E) -> (B, H, N, E)."""
    return x.unflatten(-1, (n_heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, N, E) -> (B, N, H * E)."""
    return x.transpose(1, 2).flatten(2)


class KeyValue(NamedTuple):
    """Keys and values of a set of latents, (B, H, L, E) each."""

    k: Tensor
    v: Tensor


class MultiHeadAttention(nn.Module):
    """Pre-norm multi-head attention between two sets of vectors.

    ``forward(x, kv)`` returns the update to add to ``x``. Keys and values come
    from `keys_values`, separately, so that they can be computed once for many
    query blocks.
    """

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(dim)
        self.norm_memory = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def keys_values(self, memory: Tensor) -> KeyValue:
        k, v = self.key_value(self.norm_memory(memory)).chunk(2, dim=-1)  # (B, L, D) each
        return KeyValue(split_heads(k, self.n_heads), split_heads(v, self.n_heads))

    def forward(self, x: Tensor, kv: KeyValue) -> Tensor:
        q = split_heads(self.query(self.norm(x)), self.n_heads)  # (B, H, N, E)
        return self.out(merge_heads(F.scaled_dot_product_attention(q, kv.k, kv.v)))


class SelfAttention(nn.Module):
    """Pre-norm multi-head self-attention; returns the update to add."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(t, self.n_heads) for t in self.qkv(self.norm(x)).chunk(3, dim=-1))
        return self.out(merge_heads(F.scaled_dot_product_attention(q, k, v)))


class FeedForward(nn.Module):
    """Pre-norm gated feed-forward layer (GEGLU); returns the update to add."""

    def __init__(self, dim: int, dim_feedforward: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.into = nn.Linear(dim, 2 * dim_feedforward)
        self.out = nn.Linear(dim_feedforward, dim)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.into(self.norm(x)).chunk(2, dim=-1)  # (..., F) each
        return self.out(value * F.gelu(gate))
