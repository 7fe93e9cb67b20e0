"""Predictive heads: from a query's encoding, and the latents, to a distribution over its target."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal

# The factor by which a head may correct a memory's standard deviation, up or down, is at most exp of this.
MAX_LOG_CORRECTION = 3.0


class GaussianHead(nn.Module):
    """Independent Gaussians, a mean and a standard deviation per target dimension.

    ``std = min_std + (1 - min_std) softplus(raw)``. `offset`, (B, M, dy), is added
    to the mean. Given a prediction to start from, it corrects that: the mean by
    multiples of its std, and the std by a bounded factor.

    Parameters
    ----------
    dim, dim_y : int
    min_std : float
    corrects : bool, default=False
        Whether it is going to be given predictions to start from; it then
        starts by changing nothing.
    """

    def __init__(self, dim: int, dim_y: int, min_std: float, corrects: bool = False) -> None:
        super().__init__()
        self.min_std = min_std
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, 2 * dim_y)
        if corrects:
            nn.init.zeros_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)

    def forward(self, h: Tensor, offset: Tensor | None = None, start: Normal | None = None) -> Normal:
        with torch.autocast(h.device.type, enabled=False):  # bfloat16 would round means and stds too coarsely
            h = self.norm(h.to(self.linear.weight.dtype))
            mean, raw = self.linear(h).chunk(2, dim=-1)  # (B, M, dy) each
        if start is None:
            std = self.min_std + (1 - self.min_std) * F.softplus(raw)
        else:
            mean = start.mean + start.stddev * mean
            std = self.min_std + start.stddev * (MAX_LOG_CORRECTION * (raw / MAX_LOG_CORRECTION).tanh()).exp()
        if offset is not None:
            mean = mean + offset
        return Normal(mean, std, validate_args=False)


class LinearReadout(nn.Module):
    """Coefficients of the features of x, from the latents, (B, L_I, D) -> (B, F, dy).

    The product of features and coefficients is a part of the mean. They start
    at zero.
    """

    def __init__(self, n_latents: int, dim: int, dim_features: int, dim_y: int) -> None:
        super().__init__()
        self.shape = (dim_features, dim_y)
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(n_latents * dim, dim_features * dim_y)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, latents: Tensor) -> Tensor:
        return self.linear(self.norm(latents).flatten(1)).unflatten(1, self.shape)
