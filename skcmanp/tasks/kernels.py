"""Kernels of Gaussian processes, batched over tasks, with random hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from skcmanp.tasks.base import uniform


def _rbf(r: Tensor) -> Tensor:
    return (-0.5 * r.square()).exp()


def _matern12(r: Tensor) -> Tensor:
    return (-r).exp()


def _matern32(r: Tensor) -> Tensor:
    a = math.sqrt(3) * r
    return (1 + a) * (-a).exp()


def _matern52(r: Tensor) -> Tensor:
    a = math.sqrt(5) * r
    return (1 + a + a.square() / 3) * (-a).exp()


# Functions of the distance in length-scales.
STATIONARY: dict[str, Callable[[Tensor], Tensor]] = {
    "rbf": _rbf,
    "matern12": _matern12,
    "matern32": _matern32,
    "matern52": _matern52,
}
NAMES = (*STATIONARY, "periodic")


@dataclass(frozen=True)
class Factor:
    """One stationary or periodic kernel with a length-scale and a period per task.

    Parameters
    ----------
    name : {"rbf", "matern12", "matern32", "matern52", "periodic"}
    lengthscale, period : Tensor (B, 1, 1)
        In units of x; the period is the periodic kernel's alone.
    """

    name: str
    lengthscale: Tensor
    period: Tensor

    def __call__(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Correlations between rows, (B, N, d) and (B, M, d) -> (B, N, M)."""
        if self.name == "periodic":
            difference = x1.unsqueeze(-2) - x2.unsqueeze(-3)  # (B, N, M, d)
            sines = torch.sin(math.pi * difference / self.period.unsqueeze(-1))
            return (-2 * sines.square().sum(-1) / self.lengthscale.square()).exp()
        distance = torch.cdist(x1, x2, compute_mode="donot_use_mm_for_euclid_dist")
        return STATIONARY[self.name](distance / self.lengthscale)


@dataclass(frozen=True)
class Kernel:
    """A sum of products of `Factor`, each product with a scale per task.

    Parameters
    ----------
    terms : list of list of Factor
    scales : list of Tensor (B, 1, 1)
        Standard deviation of the function that each term contributes.
    """

    terms: list[list[Factor]]
    scales: list[Tensor]

    def __call__(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Covariances between rows, (B, N, d) and (B, M, d) -> (B, N, M)."""
        total = torch.zeros((), dtype=x1.dtype)
        for factors, scale in zip(self.terms, self.scales, strict=True):
            term = scale.square()
            for factor in factors:
                term = term * factor(x1, x2)
            total = total + term
        return total


def parse(expression: str) -> list[list[str]]:
    """Names of the factors of the terms of an expression such as "rbf * periodic + matern12".

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    terms = [[name.strip() for name in term.split("*")] for term in expression.split("+")]
    for name in (name for term in terms for name in term):
        if name not in NAMES:
            raise ValueError(f"Unknown kernel {name!r} in {expression!r}; the known ones are {', '.join(NAMES)}.")
    return terms


def draw_kernel(
    expression: str,
    batch_size: int,
    lengthscale: tuple[float, float],
    scale: tuple[float, float],
    period: tuple[float, float],
    generator: torch.Generator,
) -> Kernel:
    """Draw uniform hyperparameters for every factor and term, in float64.

    Parameters
    ----------
    expression : str
        Sums and products of names, see `parse`.
    batch_size : int
    lengthscale, scale, period : tuple of float
        Smallest and largest value.
    generator : torch.Generator
    """

    def draw(bounds: tuple[float, float]) -> Tensor:
        return uniform(*bounds, (batch_size, 1, 1), generator).double()

    terms, scales = [], []
    for names in parse(expression):
        terms.append([Factor(name, draw(lengthscale), draw(period)) for name in names])
        scales.append(draw(scale))
    return Kernel(terms, scales)
