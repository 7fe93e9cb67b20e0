"""Initial weights that fit the data that a network is going to see."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skcmanp.nn.attention import MultiHeadAttention, SelfAttention
from skcmanp.nn.model import CMANP

MIN_ROWS = 8


@torch.no_grad()
def sharpen(module: nn.Module, logit_std: float = 1.5) -> None:
    """Scale the queries of all attention within a fresh module, for logits of the given standard deviation.

    torch's default weights give 1/3 on normalised inputs: attention that is
    nearly uniform, so that all latents look alike to what reads them, and many
    steps pass until they do not.

    Parameters
    ----------
    module : Module
        Changed in place.
    logit_std : float, default=1.5
    """
    for part in module.modules():
        if isinstance(part, MultiHeadAttention):
            part.query.weight.mul_(3 * logit_std)
        elif isinstance(part, SelfAttention):
            part.qkv.weight[: part.qkv.in_features].mul_(3 * logit_std)


@torch.no_grad()
def calibrate(model: CMANP, batches: Sequence[tuple[Tensor, Tensor]], logit_std: float = 1.5) -> None:
    """Scale a fresh network's weights by what the rows of some tasks look like.

    Means over rows differ little from task to task beside their common part,
    so a fresh network hardly sees its context and learns slowly. Here queries
    to rows are scaled to logits of the given standard deviation, and the
    projections of the attention outputs to unit variance across tasks. The
    architecture is untouched.

    Parameters
    ----------
    model : CMANP
        Changed in place.
    batches : sequence of (x, y)
        Contexts (B, N, dx) and (B, N, dy); those with fewer than 8 rows are
        passed over, and without any other the network stays as it is.
    logit_std : float, default=1.5
    """
    batches = [(x, y) for x, y in batches if x.shape[1] >= MIN_ROWS]
    if not batches:
        return
    n_blocks = model.config.n_blocks
    projection = model.row_projection()
    stds = []
    for x, y in batches:
        k, _ = model.rows_keys_values(x, y, projection)
        z = projection.queries @ k.transpose(-1, -2) / math.sqrt(k.shape[-1])  # (B, H, L_B, N)
        stds.append(z.std(-1).mean((0, 2)).view(n_blocks, -1).mean(1))
    for block, std in zip(model.blocks, torch.stack(stds).median(0).values, strict=True):
        block.query.weight.mul_(logit_std / std)
        block.query.bias.mul_(logit_std / std)

    projection = model.row_projection()
    means, stds = [], []
    for x, y in batches:
        attended = model.attend(x, y, projection).unflatten(1, (n_blocks, -1))  # (B, blocks, heads, L_B, E)
        means.append(attended.mean((0, 3)).flatten(1))  # (blocks, D)
        stds.append(attended.std(0).mean(2).flatten(1))  # (blocks, D)
    mean, std = torch.stack(means).mean(0), torch.stack(stds).median(0).values
    for i, block in enumerate(model.blocks):
        block.out.weight.div_(std[i].clamp(min=1e-4))
        block.out.bias.sub_(block.out.weight @ mean[i])
