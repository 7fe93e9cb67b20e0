"""Noisy rows of random functions as tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from skcmanp.nn.config import CMANPConfig
from skcmanp.tasks.adapted import MIN_REFERENCE, adapted
from skcmanp.tasks.base import (
    FunctionPrior,
    TaskBatch,
    log_uniform,
    log_uniform_int,
    noise_like,
    random_inputs,
    standardize,
    uniform,
    uniform_int,
)
from skcmanp.tasks.gp import random_relevance


class FunctionTasks:
    """Noisy rows of random functions, scaled as the estimator scales them.

    Every batch has one number of features and one number of context rows; its
    tasks are shared out among the priors.

    Parameters
    ----------
    priors : sequence of FunctionPrior
    dim_x : int
        Width of x. Tasks have `min_features` to `dim_x` features; the rest are
        zeros.
    n_context : tuple of int, default=(1, 512)
        Smallest and largest number of context rows, log-uniform in between.
    n_target : int, default=64
        Number of target rows.
    noise : tuple of float, default=(0.02, 1.5)
        Smallest and largest noise std relative to the function's, log-uniform.
    p_empty : float, default=0.03
        Probability of a batch without context rows.
    p_heavy, p_varying : float, default=0.0
        Fractions of tasks with heavy-tailed noise, and with noise whose scale
        varies with x; see `noise_like`.
    min_features : int, default=1
        Smallest number of features.
    inputs : {"table", "field"}, default="table"
        Features as tables have them, see `random_inputs`, or independent and
        uniform, as places in a field are.
    p_trend : float, default=0.0
        Fraction of tasks whose function has a linear trend on top.
    p_beyond : float, default=0.0
        Fraction of batches half of whose targets lie beyond the context, at one
        end of one of the features.
    adapt_for : CMANPConfig, optional
        Adapt every task as the estimator does for this network, see
        `skcmanp.tasks.adapted`; for networks with ``relevance=True``.

    Examples
    --------
    >>> import torch
    >>> from skcmanp.tasks import FunctionTasks, RandomGP
    >>> tasks = FunctionTasks([RandomGP()], dim_x=3)
    >>> tasks.sample(4, torch.Generator().manual_seed(0)).x_target.shape
    torch.Size([4, 64, 3])
    """

    def __init__(
        self,
        priors: Sequence[FunctionPrior],
        dim_x: int,
        n_context: tuple[int, int] = (1, 512),
        n_target: int = 64,
        noise: tuple[float, float] = (0.02, 1.5),
        p_empty: float = 0.03,
        p_heavy: float = 0.0,
        p_varying: float = 0.0,
        min_features: int = 1,
        inputs: str = "table",
        p_trend: float = 0.0,
        p_beyond: float = 0.0,
        adapt_for: CMANPConfig | None = None,
    ) -> None:
        if inputs not in ("table", "field"):
            raise ValueError(f"inputs={inputs!r} must be 'table' or 'field'.")
        if not 1 <= min_features <= dim_x:
            raise ValueError(f"min_features={min_features} must be between 1 and dim_x={dim_x}.")
        self.priors = list(priors)
        self.dim_x = dim_x
        self.n_context = n_context
        self.n_target = n_target
        self.noise = noise
        self.p_empty = p_empty
        self.p_heavy = p_heavy
        self.p_varying = p_varying
        self.min_features = min_features
        self.inputs = inputs
        self.p_trend = p_trend
        self.p_beyond = p_beyond
        self.adapt_for = adapt_for

    def sample(self, batch_size: int, generator: torch.Generator) -> TaskBatch:
        """Draw a batch of tasks."""
        n_features = log_uniform_int(self.min_features, self.dim_x, generator)
        empty = torch.rand(1, generator=generator).item() < self.p_empty
        n_context = 0 if empty else log_uniform_int(*self.n_context, generator)
        return self.sample_sized(batch_size, n_features, n_context, generator)

    def sample_sized(self, batch_size: int, n_features: int, n_context: int, generator: torch.Generator) -> TaskBatch:
        """Draw a batch with a given number of features and of context rows."""
        n_rows = n_context + self.n_target
        if self.inputs == "table":
            x = random_inputs(batch_size, n_rows, n_features, generator)
        else:
            x = uniform(-math.sqrt(3), math.sqrt(3), (batch_size, n_rows, n_features), generator)
        parts = x.tensor_split(len(self.priors))
        f = torch.cat([p(part, generator) for p, part in zip(self.priors, parts, strict=True) if len(part)])
        f = f - f.mean(1, keepdim=True)
        f = f / f.std(1, keepdim=True, correction=0).clamp(min=1e-3)
        if self.p_trend:
            f = f + self._trends(x, generator)
            f = f / f.std(1, keepdim=True, correction=0).clamp(min=1e-3)
        noise = log_uniform(*self.noise, (batch_size, 1), generator)
        y = f + noise * noise_like(x, self.p_heavy, self.p_varying, generator)
        y = y / (1 + noise**2).sqrt()

        if self.p_beyond and torch.rand(1, generator=generator).item() < self.p_beyond:
            x, y = self._beyond_last(x, y, generator)
        x = torch.nn.functional.pad(x, (0, self.dim_x - n_features))
        x, x_target = x.tensor_split([n_context], dim=1)
        y, y_target = y.unsqueeze(-1).tensor_split([n_context], dim=1)
        batch = TaskBatch(x, y, x_target, y_target)
        n_reference = 0
        if n_context >= MIN_REFERENCE:
            n_reference = n_context
            if torch.rand(1, generator=generator).item() < 0.25:  # a stream's first chunk
                n_reference = uniform_int(min(10, n_context), n_context, generator)
        if self.adapt_for is not None:
            return adapted(batch, n_features, n_reference, self.adapt_for)
        return standardize(batch, n_reference) if n_reference else batch

    def _trends(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Lines along random directions, in a fraction of the tasks, (B, N, d) -> (B, N)."""
        batch_size, _, d = x.shape
        slope = random_relevance(batch_size, d, generator) * torch.randn(batch_size, d, generator=generator)
        line = (x @ slope.unsqueeze(-1)).squeeze(-1)
        line = line / line.std(1, keepdim=True, correction=0).clamp(min=1e-3)
        size = log_uniform(0.3, 5.0, (batch_size, 1), generator)
        return line * size * (torch.rand(batch_size, 1, generator=generator) < self.p_trend)

    def _beyond_last(self, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """With the rows at one end of a random feature of every task as the last ones, half as many as targets."""
        batch_size, n_rows, d = x.shape
        feature = torch.randint(d, (batch_size, 1, 1), generator=generator)
        sign = 2.0 * torch.randint(2, (batch_size, 1), generator=generator) - 1
        value = sign * x.gather(2, feature.expand(-1, n_rows, 1)).squeeze(2)  # (B, N)
        threshold = value.sort(dim=1).values[:, [-(self.n_target // 2)]]
        order = (value >= threshold).to(torch.int8).sort(dim=1, stable=True).indices  # others stay as they are
        return x.gather(1, order.unsqueeze(2).expand(-1, -1, d)), y.gather(1, order)

    def describe(self) -> dict[str, str]:
        """What a checkpoint's card says of the tasks."""
        features = dict.fromkeys((self.min_features, self.dim_x))
        return {
            "features": " to ".join(map(str, features)),
            "context rows in training": "{} to {}".format(*self.n_context) + (", and none" if self.p_empty else ""),
            "priors": ", ".join(type(prior).__name__ for prior in self.priors),
            "noise / signal": "{} to {}".format(*self.noise),
            "of them heavy-tailed, varying with x": f"{self.p_heavy:.0%}, {self.p_varying:.0%}",
            "with a trend, with targets beyond the context": f"{self.p_trend:.0%}, {self.p_beyond:.0%}",
        }
