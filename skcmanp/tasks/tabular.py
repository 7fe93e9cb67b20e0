"""Functions as tables have them: linear, of random networks, and of random trees."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skcmanp.tasks.base import log_uniform
from skcmanp.tasks.gp import random_relevance


class RandomLinear:
    """Linear functions of a random subset of the features, some with products of pairs of features.

    Parameters
    ----------
    p_products : float, default=0.5
        Fraction of functions with products.
    """

    def __init__(self, p_products: float = 0.5) -> None:
        self.p_products = p_products

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one function per task and evaluate it, (B, N, d) -> (B, N)."""
        batch_size, _, d = x.shape
        sign = torch.randn(batch_size, d, generator=generator)
        slope = random_relevance(batch_size, d, generator) * sign
        linear = (x @ slope.unsqueeze(-1)).squeeze(-1)  # (B, N)
        pairs = torch.randint(d, (2, batch_size, 1, d), generator=generator)
        a, b = (x.gather(2, pair.expand(-1, x.shape[1], -1)) for pair in pairs)  # (B, N, d) each
        weight = torch.randn(batch_size, 1, d, generator=generator)
        interacts = torch.rand(batch_size, 1, generator=generator) < self.p_products
        return linear + interacts * (a * b * weight).sum(-1)


class RandomMLP:
    """Networks with one or two hidden layers of random size, gain and activation.

    Parameters
    ----------
    n_hidden : int, default=32
        Largest number of hidden units.
    gain : tuple of float, default=(0.3, 4.0)
        Range of the standard deviation of the hidden units' inputs.
    """

    def __init__(self, n_hidden: int = 32, gain: tuple[float, float] = (0.3, 4.0)) -> None:
        self.n_hidden = n_hidden
        self.gain = gain

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one function per task and evaluate it, (B, N, d) -> (B, N)."""
        batch_size, _, d = x.shape
        weight = torch.randn(batch_size, d, self.n_hidden, generator=generator)
        weight = weight * random_relevance(batch_size, d, generator).unsqueeze(-1) / math.sqrt(d)
        gain = log_uniform(*self.gain, (batch_size, 1, 1), generator)
        bias = torch.randn(batch_size, 1, self.n_hidden, generator=generator)
        h = (x @ weight + bias) * gain  # (B, N, hidden)
        is_relu = torch.rand(batch_size, 1, 1, generator=generator) < 0.4
        h = torch.where(is_relu, h.relu(), h.tanh())
        second = torch.randn(batch_size, self.n_hidden, self.n_hidden, generator=generator) / math.sqrt(self.n_hidden)
        deep = torch.rand(batch_size, 1, 1, generator=generator) < 0.5
        h = torch.where(deep, (h @ second * gain).tanh(), h)
        n_used = torch.randint(1, self.n_hidden + 1, (batch_size, 1, 1), generator=generator)
        used = torch.arange(self.n_hidden).view(1, -1, 1) < n_used
        out = torch.randn(batch_size, self.n_hidden, 1, generator=generator) * used
        return (h @ out).squeeze(-1)


class RandomTrees:
    """Sums of random decision trees: piecewise constant, with interactions.

    All nodes of a tree's level ask the same question, whether a feature exceeds
    a threshold, which is a value of that feature in the task.

    Parameters
    ----------
    n_trees : int, default=16
        Largest number of trees.
    depth : int, default=3
    """

    def __init__(self, n_trees: int = 16, depth: int = 3) -> None:
        self.n_trees = n_trees
        self.depth = depth

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one function per task and evaluate it, (B, N, d) -> (B, N)."""
        batch_size, n_rows, d = x.shape
        n_questions = self.n_trees * self.depth
        relevance = random_relevance(batch_size, d, generator)
        feature = torch.multinomial(relevance, n_questions, replacement=True, generator=generator)  # (B, Q)
        row = torch.randint(n_rows, (batch_size, n_questions), generator=generator)
        tasks = torch.arange(batch_size).unsqueeze(1)
        threshold = x[tasks, row, feature]  # (B, Q)
        asked = x.gather(2, feature.unsqueeze(1).expand(-1, n_rows, -1))  # (B, N, Q)
        answers = (asked > threshold.unsqueeze(1)).unflatten(-1, (self.n_trees, self.depth))
        leaf = (answers * 2 ** torch.arange(self.depth)).sum(-1)  # (B, N, trees)
        n_used = torch.randint(1, self.n_trees + 1, (batch_size, 1, 1), generator=generator)
        used = torch.arange(self.n_trees).view(1, -1, 1) < n_used
        value = torch.randn(batch_size, self.n_trees, 2**self.depth, generator=generator) * used
        return value.gather(2, leaf.transpose(1, 2)).sum(1)
