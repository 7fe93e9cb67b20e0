"""What a meta-training task is, and how random functions become tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class TaskBatch(NamedTuple):
    """Tasks of equal size, stacked.

    Shapes: context ``x`` (B, N, dx) and ``y`` (B, N, dy), N may be 0;
    targets ``x_target`` (B, M, dx) and ``y_target`` (B, M, dy). float32.
    Tasks that are adapted as the estimator adapts itself also have ``hints``
    (B, M, n_hints), what the conjugate memory says of the targets, and, for
    networks with a not-diagonal head, its ``covariance`` of them (B, dy, M, M).
    """

    x: Tensor
    y: Tensor
    x_target: Tensor
    y_target: Tensor
    hints: Tensor | None = None
    covariance: Tensor | None = None

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What a network is given."""
        return self[:3] if self.hints is None else (*self[:3], None, None, self.hints)

    @property
    def jointly(self) -> tuple[Any, ...]:
        """What `predict_jointly` is given."""
        return (*self[:3], self.hints, self.covariance)

    def to(self, device: torch.device | str) -> TaskBatch:
        return self._replace(**{name: t.to(device) for name, t in self._asdict().items() if t is not None})

    def split(self, n_parts: int) -> list[TaskBatch]:
        """Parts of as nearly equal numbers of tasks as possible."""
        parts = zip(*(t.tensor_split(n_parts) for t in self if t is not None), strict=True)
        return [TaskBatch(*part) for part in parts]


class TaskGenerator(Protocol):
    """Anything that draws batches of tasks from a seeded generator.

    Draw on the CPU, from `generator` alone: then a seed gives the same tasks
    on every device, and a run that is resumed sees the tasks that it would
    have seen. The number of context rows may differ from batch to batch, down
    to none.
    """

    def sample(self, batch_size: int, generator: torch.Generator) -> TaskBatch:
        """Draw a batch."""
        ...

    def describe(self) -> dict[str, str]:
        """Rows of a checkpoint's card: features, context rows, and what the tasks are."""
        ...


class FunctionPrior(Protocol):
    """A distribution over functions of x."""

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one function per task and evaluate it, (B, N, d) -> (B, N)."""
        ...


def uniform(low: float, high: float, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Uniform draws between `low` and `high`."""
    return low + (high - low) * torch.rand(tuple(shape), generator=generator)


def log_uniform(low: float, high: float, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Log-uniform draws between `low` and `high`."""
    u = torch.rand(tuple(shape), generator=generator)
    return (math.log(low) + u * math.log(high / low)).exp()


def log_uniform_int(low: int, high: int, generator: torch.Generator) -> int:
    """One log-uniform integer in ``low..high``, both included."""
    value = log_uniform(low, high + 1, (1,), generator).item()
    return min(int(value), high)


def uniform_int(low: int, high: int, generator: torch.Generator) -> int:
    """One uniform integer in ``low..high``, both included."""
    return int(torch.randint(low, high + 1, (1,), generator=generator).item())


def random_inputs(batch_size: int, n_rows: int, n_features: int, generator: torch.Generator) -> Tensor:
    """Rows of features as tables have them, (B, N, d), of about unit scale.

    Features are correlated through a random factor, and each task's feature is
    normal, uniform, skewed or discrete. Some are functions of, or equal to, the
    feature before.
    """
    shape = (batch_size, n_rows, n_features)
    z = torch.randn(shape, generator=generator)
    factor = torch.randn(batch_size, n_rows, 1, generator=generator)
    loading = 2 * torch.rand(batch_size, 1, n_features, generator=generator) - 1
    loading = loading * (torch.rand(batch_size, 1, 1, generator=generator) < 0.7)
    if n_features > 1:
        z = loading * factor + (1 - loading**2).sqrt() * z
        before = z.roll(1, dims=-1)
        origin = torch.rand(batch_size, 1, n_features, generator=generator)
        caused = 1.2 * (2 * before).sin() + 0.3 * z
        z = torch.where(origin < 0.08, caused, torch.where(origin > 0.96, before, z))

    uniform = 0.5 * (1 + torch.erf(z / math.sqrt(2)))  # (B, N, d) in (0, 1)
    levels = torch.randint(2, 8, (batch_size, 1, n_features), generator=generator)
    discrete = (uniform * levels).floor().clamp(max=levels - 1) / (levels - 1)
    skewed = (0.7 * z).exp()
    kind = torch.rand(batch_size, 1, n_features, generator=generator)
    if n_features == 1:
        kind = kind * 0.7  # a single feature is continuous
    x = torch.where(
        kind < 0.35,
        math.sqrt(12) * (uniform - 0.5),
        torch.where(
            kind < 0.7,
            z,
            torch.where(kind < 0.85, (skewed - 1.28) / 0.85, (discrete - 0.5) / 0.4),
        ),
    )
    return x


def noise_like(x: Tensor, p_heavy: float, p_varying: float, generator: torch.Generator) -> Tensor:
    """Noise of the rows of tasks, of about unit variance, (B, N, d) -> (B, N).

    Gaussian; in a fraction `p_heavy` of tasks Student's t with 3 degrees of
    freedom, and in a fraction `p_varying` with a scale that varies with x, by a
    factor of up to about 10.
    """
    batch_size, n_rows, d = x.shape
    noise = torch.randn(batch_size, n_rows, generator=generator)
    if p_heavy:
        heavy = torch.rand(batch_size, 1, generator=generator) < p_heavy
        chi2 = torch.randn(batch_size, n_rows, 3, generator=generator).square().sum(-1)
        student = noise / chi2.clamp(min=0.03).sqrt()  # variance 1: 3 / (3 - 2) / 3
        noise = torch.where(heavy, student, noise)
    if p_varying:
        varying = torch.rand(batch_size, 1, generator=generator) < p_varying
        direction = torch.randn(batch_size, d, 1, generator=generator) * 1.5 / math.sqrt(d)
        phase = 2 * math.pi * torch.rand(batch_size, 1, generator=generator)
        log_scale = 1.2 * torch.cos((x @ direction).squeeze(-1) + phase)
        scale = log_scale.exp()
        scale = scale / scale.square().mean(1, keepdim=True).sqrt()
        noise = torch.where(varying, noise * scale, noise)
    return noise


def standardize(batch: TaskBatch, n_reference: int) -> TaskBatch:
    """Centre and scale as the estimator does, by the first `n_reference` context rows."""

    def by(reference: Tensor, values: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        centre = reference.mean(1, keepdim=True)
        scale = reference.std(1, keepdim=True, correction=0)
        scale = torch.where(scale > 1e-6, scale, torch.ones_like(scale))
        return (values[0] - centre) / scale, (values[1] - centre) / scale

    x, x_target = by(batch.x[:, :n_reference], (batch.x, batch.x_target))
    y, y_target = by(batch.y[:, :n_reference], (batch.y, batch.y_target))
    return TaskBatch(x, y, x_target, y_target)
