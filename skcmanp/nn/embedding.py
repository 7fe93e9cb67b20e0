"""How a row becomes a token: bounded inputs, Fourier features, a small MLP."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn


def mlp(dim_in: int, dim_hidden: int, dim_out: int, depth: int) -> nn.Sequential:
    """`depth` linear layers with ReLU in between."""
    widths = [dim_in] + [dim_hidden] * (depth - 1) + [dim_out]
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


# Squares of layers' outputs are finite in float32 up to here, whatever the weights.
LARGEST_INPUT = 1e12


def bounded(x: Tensor, limit: float | None) -> Tensor:
    """The identity within ``[-limit, limit]``, logarithmic outside; without one, clamped where squares end.

    It is smooth and monotone, so far-away inputs stay distinguishable while
    the network never sees a number it was not trained near.
    """
    if limit is None:
        return x.clamp(-LARGEST_INPUT, LARGEST_INPUT)
    excess = (x.abs() - limit).clamp(min=0)
    return x.clamp(-limit, limit) + x.sign() * excess.log1p()


class FourierFeatures(nn.Module):
    """``x -> [x, cos(x W + b)]`` with learned frequencies.

    The frequencies start log-spaced between smooth and wiggly, so that both
    trends and fine detail are linear in the features. With no features it is
    the identity, which is the paper's embedder.
    """

    def __init__(self, dim_x: int, n_features: int, scales: tuple[float, float]) -> None:
        super().__init__()
        self.dim_out = dim_x + n_features
        self.n_features = n_features
        if n_features:
            low, high = (math.log(s / math.sqrt(dim_x)) for s in scales)
            scale = torch.linspace(low, high, n_features).exp()
            self.frequency = nn.Parameter(torch.randn(dim_x, n_features) * scale)
            self.phase = nn.Parameter(torch.rand(n_features) * 2 * math.pi)

    def forward(self, x: Tensor) -> Tensor:
        if not self.n_features:
            return x  # (B, N, dx)
        return torch.cat([x, torch.cos(x @ self.frequency + self.phase)], dim=-1)


class RowEmbedder(nn.Module):
    """``(features of x, y) -> token``.

    With Fourier features the products of y with every feature are inputs too:
    means of such products are what a regression is made of, and attention
    averages them.
    """

    def __init__(self, dim_features: int, dim_y: int, dim: int, depth: int, products: bool) -> None:
        super().__init__()
        self.products = products
        dim_in = dim_features + dim_y + (dim_features * dim_y if products else 0)
        self.mlp = mlp(dim_in, dim, dim, depth)
        self.linear = nn.Linear(dim_in, dim, bias=False) if products else None

    def forward(self, features: Tensor, y: Tensor) -> Tensor:
        inputs = [features, y]  # (B, N, F), (B, N, dy)
        if self.linear is None:
            return self.mlp(torch.cat(inputs, dim=-1))  # (B, N, D)
        inputs.append((features.unsqueeze(-1) * y.unsqueeze(-2)).flatten(-2))
        rows = torch.cat(inputs, dim=-1)
        return self.linear(rows) + self.mlp(rows)
