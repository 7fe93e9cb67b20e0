"""What a meta-training task is, and how random functions become tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from skcmanp.effects import MAX_COSINES, N_KNOTS, fit_ranks, n_cosines, row_cosines
from skcmanp.process import NOISE_COSINES, NOISE_POINTS, fit_process
from skcmanp.relevance import default_lengthscale, fit_relevance


class TaskBatch(NamedTuple):
    """Tasks of equal size, stacked.

    Shapes: context ``x`` (B, N, dx) and ``y`` (B, N, dy), N may be 0;
    targets ``x_target`` (B, M, dx) and ``y_target`` (B, M, dy). float32.
    Tasks that are scaled by their relevance also have what was learned on the
    way: ``points`` (B, p, dx) among the first rows, ``ratio`` (B,) of signal to
    noise, what each of d features does alone, see `skcmanp.effects.Effects`:
    ``effect_knots`` and ``effect_ranks`` (B, d, k) and ``effect_scale``
    (B, d, m), and how the noise varies, see `skcmanp.process.NoiseProfile`:
    ``noise_points`` (B, q, dx), ``noise_lengthscale`` (B, dx),
    ``noise_weights`` (B, q) and ``noise_coefficients`` (B, d, l).
    """

    x: Tensor
    y: Tensor
    x_target: Tensor
    y_target: Tensor
    points: Tensor | None = None
    ratio: Tensor | None = None
    effect_knots: Tensor | None = None
    effect_ranks: Tensor | None = None
    effect_scale: Tensor | None = None
    noise_points: Tensor | None = None
    noise_lengthscale: Tensor | None = None
    noise_weights: Tensor | None = None
    noise_coefficients: Tensor | None = None

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What a network is given."""
        return tuple(t for name, t in self._asdict().items() if name != "y_target" and t is not None)

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


# Moments of fewer rows say little of the scale; such tasks keep their
# population's, as declared bounds would give it.
MIN_REFERENCE = 5


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


class Effort(NamedTuple):
    """How thoroughly tasks are adapted, each as the estimator adapts itself to its first rows.

    Every task needs a fit, and those of hundreds of rows take longer than
    learning from them. Much less effort than the estimator's makes memories
    that are less sure and less often right than a network will meet.
    """

    rows: int = 160  # to which length-scales are fitted; the estimator takes 512
    process_rows: int = 400  # to which points and noise are fitted; 2,000
    points: int = 128  # that may move; 85 % of what the memory has room for


def relevance_scaled(batch: TaskBatch, n_features: int, n_reference: int, effort: Effort) -> TaskBatch:
    """Features in units of their length-scales, as the estimator fits them to the first `n_reference` context rows.

    With no such rows the length-scales are those before anything is known.
    Rows of tasks are exchangeable, so points start from their first ones, where
    the estimator chooses with more care.
    """
    n_tasks, n_rows, n_points = len(batch.x), min(n_reference, effort.process_rows), min(n_reference, effort.points)
    n_noise = min(n_points, NOISE_POINTS)
    lengthscale = torch.full((n_tasks, 1, batch.x.shape[-1]), default_lengthscale(n_features))
    points, noise_points = batch.x.new_zeros(n_tasks, n_points, batch.x.shape[-1]), batch.x[:, :n_noise]
    ratio, noise_weights = torch.ones(n_tasks), torch.zeros(n_tasks, n_noise)
    noise_lengthscale = torch.ones_like(lengthscale.squeeze(1))
    noise_coefficients = batch.x.new_zeros(n_tasks, n_features, NOISE_COSINES)
    effect_knots, effect_ranks = batch.x.new_zeros(2, n_tasks, n_features, N_KNOTS)
    effect_scale = batch.x.new_zeros(n_tasks, n_features, n_cosines(n_features, effort.points))
    for i in range(n_tasks if n_rows else 0):
        x, y = batch.x[i, :n_rows, :n_features].double().numpy(), batch.y[i, :n_rows].double().numpy()
        weight = np.ones(n_rows)
        knots, ranks = fit_ranks(x, weight)
        waves = row_cosines(x, knots, ranks, MAX_COSINES)
        few = waves[..., : effect_scale.shape[-1]]
        fitted = fit_relevance(*(rows[: effort.rows] for rows in (x, y, weight, few)))
        x = x / fitted.lengthscale
        process = fit_process(x, y, weight, x[:n_points], waves, fitted)
        lengthscale[i, 0, :n_features] = torch.tensor(fitted.lengthscale)
        points[i, :, :n_features] = torch.tensor(process.points)
        ratio[i] = fitted.ratio
        effect_knots[i] = torch.tensor(knots / fitted.lengthscale[:, None])
        effect_ranks[i] = torch.tensor(ranks)
        if fitted.effects.size:
            effect_scale[i] = torch.tensor(fitted.effects)
        if len(process.noise.points):
            noise_lengthscale[i, :n_features] = torch.tensor(process.noise.lengthscale)
            noise_weights[i] = torch.tensor(process.noise.weights)
            noise_coefficients[i] = torch.tensor(process.noise.coefficients)
    return batch._replace(
        x=batch.x / lengthscale,
        x_target=batch.x_target / lengthscale,
        points=points,
        ratio=ratio,
        effect_knots=effect_knots,
        effect_ranks=effect_ranks,
        effect_scale=effect_scale,
        noise_points=noise_points / lengthscale,
        noise_lengthscale=noise_lengthscale,
        noise_weights=noise_weights,
        noise_coefficients=noise_coefficients,
    )


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
    relevance : bool, default=False
        Give features in units of their length-scales, fitted to every task; for
        networks with ``CMANPConfig(relevance=True)``.
    effort : tuple of int, default=(160, 400, 128)
        How thoroughly; see `Effort`.

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
        relevance: bool = False,
        effort: tuple[int, int, int] = Effort(),
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
        self.relevance = relevance
        self.effort = Effort(*effort)

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
        noise = log_uniform(*self.noise, (batch_size, 1), generator)
        y = f + noise * noise_like(x, self.p_heavy, self.p_varying, generator)
        y = y / (1 + noise**2).sqrt()

        x = torch.nn.functional.pad(x, (0, self.dim_x - n_features))
        x, x_target = x.tensor_split([n_context], dim=1)
        y, y_target = y.unsqueeze(-1).tensor_split([n_context], dim=1)
        batch = TaskBatch(x, y, x_target, y_target)
        n_reference = 0
        if n_context >= MIN_REFERENCE:
            n_reference = n_context
            if torch.rand(1, generator=generator).item() < 0.25:  # a stream's first chunk
                n_reference = uniform_int(min(10, n_context), n_context, generator)
            batch = standardize(batch, n_reference)
        return relevance_scaled(batch, n_features, n_reference, self.effort) if self.relevance else batch

    def describe(self) -> dict[str, str]:
        """What a checkpoint's card says of the tasks."""
        features = dict.fromkeys((self.min_features, self.dim_x))
        return {
            "features": " to ".join(map(str, features)),
            "context rows in training": "{} to {}".format(*self.n_context) + (", and none" if self.p_empty else ""),
            "priors": ", ".join(type(prior).__name__ for prior in self.priors),
            "noise / signal": "{} to {}".format(*self.noise),
            "of them heavy-tailed, varying with x": f"{self.p_heavy:.0%}, {self.p_varying:.0%}",
        }
