"""Functions of Gaussian processes: exact, and by random Fourier features."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from skcmanp.tasks.base import TaskBatch, log_uniform, uniform, uniform_int
from skcmanp.tasks.kernels import Kernel, draw_kernel, parse


class GPDraw(NamedTuple):
    """Tasks and the processes that they were drawn from."""

    batch: TaskBatch
    kernel: Kernel
    noise: Tensor  # standard deviation, (B, 1, 1), float64


class GPTasks:
    """Exact draws of Gaussian processes, at O(N^3) cost and without any scaling.

    The defaults are the meta-regression protocol of the neural-process papers
    as their code has it: RBF kernels on [-2, 2] with length-scales of 0.1 to
    0.6, scales of 0.1 to 1 and noise of 0.02; 3 to 46 context rows, and 3 or
    more targets, of at most 49 rows together. Tasks are drawn on the CPU in
    float64 and rounded to float32, so a seed gives the same tasks on every
    device.

    Parameters
    ----------
    kernel : str, default="rbf"
        Sums and products of "rbf", "matern12", "matern32", "matern52" and
        "periodic", such as "rbf * periodic + matern12". Every factor has its
        own length-scale and period, every term its own scale.
    dim_x : int, default=1
    lengthscale, scale, period : tuple of float
        Ranges of the hyperparameters, uniform, in units of x and y.
    noise : tuple of float, default=(0.02, 0.02)
        Range of the noise's standard deviation, log-uniform.
    x_range : tuple of float, default=(-2, 2)
        Features are uniform between these.
    n_context : tuple of int, default=(3, 46)
        Range of the number of context rows, uniform; it may start at 0.
    min_target, max_rows : int, default=3 and 49
        Targets number from `min_target` to what `max_rows` leaves, uniform.

    Raises
    ------
    ValueError
        If the kernel has an unknown name, or no room is left for targets.

    Examples
    --------
    >>> import torch
    >>> from skcmanp.tasks import GPTasks
    >>> batch = GPTasks("matern52").sample(16, torch.Generator().manual_seed(0))
    >>> batch.x.shape[0], batch.x.shape[1] + batch.x_target.shape[1] <= 49
    (16, True)
    """

    # Keeps the Cholesky factor of nearly equal rows real.
    jitter = 1e-9

    def __init__(
        self,
        kernel: str = "rbf",
        dim_x: int = 1,
        lengthscale: tuple[float, float] = (0.1, 0.6),
        scale: tuple[float, float] = (0.1, 1.0),
        period: tuple[float, float] = (0.5, 2.0),
        noise: tuple[float, float] = (0.02, 0.02),
        x_range: tuple[float, float] = (-2.0, 2.0),
        n_context: tuple[int, int] = (3, 46),
        min_target: int = 3,
        max_rows: int = 49,
    ) -> None:
        parse(kernel)
        if n_context[1] + min_target > max_rows:
            raise ValueError(
                f"max_rows={max_rows} leaves no room for min_target={min_target} targets beside "
                f"n_context={n_context} rows."
            )
        self.kernel = kernel
        self.dim_x = dim_x
        self.lengthscale = lengthscale
        self.scale = scale
        self.period = period
        self.noise = noise
        self.x_range = x_range
        self.n_context = n_context
        self.min_target = min_target
        self.max_rows = max_rows

    def sample(self, batch_size: int, generator: torch.Generator) -> TaskBatch:
        """Draw a batch of tasks."""
        return self.draw(batch_size, generator).batch

    def draw(self, batch_size: int, generator: torch.Generator) -> GPDraw:
        """Draw a batch of tasks with the kernel and noise behind it, for oracles."""
        n_context = uniform_int(*self.n_context, generator)
        n_target = uniform_int(self.min_target, self.max_rows - n_context, generator)
        n_rows = n_context + n_target
        kernel = draw_kernel(self.kernel, batch_size, self.lengthscale, self.scale, self.period, generator)
        noise = log_uniform(*self.noise, (batch_size, 1, 1), generator).double()

        x = uniform(*self.x_range, (batch_size, n_rows, self.dim_x), generator)
        covariance = kernel(x.double(), x.double())  # (B, N, N)
        covariance = covariance + (noise.square() + self.jitter) * torch.eye(n_rows, dtype=torch.float64)
        normal = torch.randn((batch_size, n_rows, 1), generator=generator).double()
        y = (torch.linalg.cholesky(covariance) @ normal).float()
        (x, x_target), (y, y_target) = (t.tensor_split([n_context], dim=1) for t in (x, y))
        return GPDraw(TaskBatch(x, y, x_target, y_target), kernel, noise)

    def describe(self) -> dict[str, str]:
        """What a checkpoint's card says of the tasks."""
        return {
            "features": str(self.dim_x),
            "context rows in training": "{} to {}".format(*self.n_context),
            "kernel": self.kernel,
            "length-scales": "{} to {}".format(*self.lengthscale),
            "scales": "{} to {}".format(*self.scale),
            "noise": " to ".join(map(str, dict.fromkeys(self.noise))),
        }


def random_relevance(batch_size: int, n_features: int, generator: torch.Generator) -> Tensor:
    """How much each feature matters, (B, d), mean square 1: many tasks have idle features."""
    relevance = (0.7 * torch.randn(batch_size, n_features, generator=generator)).exp()
    p_idle = 0.6 * torch.rand(batch_size, 1, generator=generator)
    idle = torch.rand(batch_size, n_features, generator=generator) < p_idle
    relevance = relevance.masked_fill(idle, 0.0) + 1e-3
    return relevance / relevance.square().mean(1, keepdim=True).sqrt()


def random_frequencies(batch_size: int, n_features: int, n_cosines: int, generator: torch.Generator) -> Tensor:
    """Frequencies of Matern or RBF processes of unit length-scale, one kind for each task, (B, d, cosines).

    A stationary kernel's spectral density gives them: normal for RBF, Student's
    t with ``2 nu`` degrees of freedom for Matern-nu.
    """
    frequency = torch.randn(batch_size, n_features, n_cosines, generator=generator)
    # chi2(2 nu) / (2 nu) as a mean of squared normals, 2 nu in {1, 3, 5, 7}; more is close to RBF
    degrees = 2 * torch.randint(0, 4, (batch_size, 1, 1), generator=generator) + 1
    squares = torch.randn(batch_size, 7, n_cosines, generator=generator).square()
    used = torch.arange(7).view(1, 7, 1) < degrees
    chi2 = (squares * used).sum(1, keepdim=True) / degrees  # (B, 1, cosines)
    is_rbf = torch.rand(batch_size, 1, 1, generator=generator) < 0.4
    return torch.where(is_rbf, frequency, frequency / chi2.sqrt().clamp(min=1e-2))


class RandomGP:
    """Draws of GPs with a Matern or RBF kernel and a length-scale per feature.

    A finite number of cosines makes a draw cost O(N) instead of O(N^3), see
    Rahimi and Recht, "Random features for large-scale kernel machines" (2007).

    Parameters
    ----------
    lengthscale : tuple of float, default=(0.1, 3.0)
        Range of the length-scale in units of one standardised feature; with d
        features it grows by sqrt(d).
    n_features : int, default=256
        Number of cosines.
    """

    def __init__(self, lengthscale: tuple[float, float] = (0.1, 3.0), n_features: int = 256) -> None:
        self.lengthscale = lengthscale
        self.n_features = n_features

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one function per task and evaluate it, (B, N, d) -> (B, N)."""
        batch_size, _, d = x.shape
        frequency = random_frequencies(batch_size, d, self.n_features, generator)
        lengthscale = log_uniform(*self.lengthscale, (batch_size, 1), generator) * math.sqrt(d)
        relevance = random_relevance(batch_size, d, generator)
        frequency = frequency * (relevance / lengthscale).unsqueeze(-1)
        phase = 2 * math.pi * torch.rand(batch_size, 1, self.n_features, generator=generator)
        amplitude = torch.randn(batch_size, self.n_features, 1, generator=generator) * math.sqrt(2 / self.n_features)
        return ((x @ frequency + phase).cos() @ amplitude).squeeze(-1)


class RandomSums:
    """Sums of smooth functions of one or two features each, drawn like those of `RandomGP`.

    Parameters
    ----------
    n_terms : int, default=16
        Largest number of terms.
    n_cosines : int, default=16
        Number of cosines of a term.
    lengthscale : tuple of float, default=(0.3, 5.0)
        Range of the terms' length-scales, in units of a standardised feature.
    p_pairs : float, default=0.25
        Fraction of terms of two features.
    """

    def __init__(
        self,
        n_terms: int = 16,
        n_cosines: int = 16,
        lengthscale: tuple[float, float] = (0.3, 5.0),
        p_pairs: float = 0.25,
    ) -> None:
        self.n_terms = n_terms
        self.n_cosines = n_cosines
        self.lengthscale = lengthscale
        self.p_pairs = p_pairs

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one function per task and evaluate it, (B, N, d) -> (B, N)."""
        batch_size, _, d = x.shape
        terms = (batch_size, self.n_terms)
        relevance = random_relevance(batch_size, d, generator)
        first, second = torch.multinomial(relevance, 2 * self.n_terms, replacement=True, generator=generator).chunk(
            2, dim=1
        )  # (B, T) each
        second = torch.where(torch.rand(terms, generator=generator) < self.p_pairs, second, first)
        features = torch.arange(d).view(1, -1, 1)
        reads = (features == first.unsqueeze(1)) | (features == second.unsqueeze(1))  # (B, d, T)
        scale = reads / log_uniform(*self.lengthscale, (batch_size, 1, self.n_terms), generator)
        frequency = random_frequencies(batch_size, d, self.n_terms * self.n_cosines, generator)
        frequency = frequency * scale.repeat_interleave(self.n_cosines, dim=2)  # (B, d, T * cosines)
        phase = 2 * math.pi * torch.rand(batch_size, 1, frequency.shape[2], generator=generator)
        amplitude = torch.randn(batch_size, 1, frequency.shape[2], generator=generator)
        values = ((x @ frequency + phase).cos() * amplitude).unflatten(2, (self.n_terms, -1)).sum(-1)  # (B, N, T)
        values = values - values.mean(1, keepdim=True)
        values = values / values.std(1, keepdim=True, correction=0).clamp(min=1e-6)
        weight = torch.randn(terms, generator=generator).exp()
        n_used = torch.randint(1, self.n_terms + 1, (batch_size, 1), generator=generator)
        used = torch.arange(self.n_terms) < n_used
        return (values @ (weight * used).unsqueeze(-1)).squeeze(-1)
