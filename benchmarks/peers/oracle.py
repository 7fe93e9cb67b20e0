"""Exact Gaussian processes on the tasks that were drawn from them: no model can do better on average."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from skcmanp.tasks import GPTasks
from skcmanp.tasks.gp import GPDraw
from skcmanp.tasks.kernels import Factor

LOG_2PI = math.log(2 * math.pi)


class Optimum(NamedTuple):
    """Log-likelihoods per target of each task, (B,): every target by itself, and all together."""

    per_point: Tensor
    joint: Tensor


def _normal(y: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return -0.5 * ((y - mean).square() / variance + variance.log() + LOG_2PI)


def _evidence(y: Tensor, covariance: Tensor) -> Tensor:
    """Log-density of (B, N, 1) under a zero-mean Gaussian."""
    factor = torch.linalg.cholesky(covariance)
    white = torch.linalg.solve_triangular(factor, y, upper=False)
    log_determinant = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return -0.5 * (white.square().sum((1, 2)) + y.shape[1] * LOG_2PI) - log_determinant


def true_optimum(draw: GPDraw) -> Optimum:
    """The process with the hyperparameters that each task was drawn with."""
    x, y, x_target, y_target = (t.double() for t in draw.batch[:4])
    n_targets = y_target.shape[1]
    noise = draw.noise.square() + GPTasks.jitter

    def covariance(rows: Tensor) -> Tensor:
        return draw.kernel(rows, rows) + noise * torch.eye(rows.shape[1], dtype=torch.float64)

    factor = torch.linalg.cholesky(covariance(x))
    cross = torch.linalg.solve_triangular(factor, draw.kernel(x, x_target), upper=False)  # (B, N, M)
    mean = cross.transpose(1, 2) @ torch.linalg.solve_triangular(factor, y, upper=False)  # (B, M, 1)
    prior = sum(scale.square() for scale in draw.kernel.scales)
    variance = prior + noise - cross.square().sum(1).unsqueeze(-1)
    everything = torch.cat([x, x_target], 1)
    joint = _evidence(torch.cat([y, y_target], 1), covariance(everything)) - _evidence(y, covariance(x))
    return Optimum(_normal(y_target, mean, variance).mean((1, 2)), joint / n_targets)


class _Grid(NamedTuple):
    """One length-scale's process at all scales, in the eigenbasis of its correlations."""

    basis: Tensor  # (B, N, N)
    projected: Tensor  # (B, 1, N), y in the basis
    variances: Tensor  # (B, S, N)

    @classmethod
    def of(cls, correlation: Tensor, y: Tensor, scales: Tensor, noise: Tensor) -> _Grid:
        values, basis = torch.linalg.eigh(correlation)
        variances = scales.square().view(1, -1, 1) * values.clamp(min=0).unsqueeze(1) + noise
        return cls(basis, (basis.transpose(1, 2) @ y).transpose(1, 2), variances)

    def evidence(self) -> Tensor:
        """Log-density of y at every scale, (B, S)."""
        return _normal(self.projected, torch.zeros(()), self.variances).sum(-1)


def integrated_optimum(tasks: GPTasks, draw: GPDraw, n_lengthscales: int = 25, n_scales: int = 15) -> Optimum:
    """The Bayes optimum: hyperparameters are integrated out on a grid over their prior.

    For tasks with one stationary kernel and fixed noise. The scale costs nothing: in
    the eigenbasis of the correlations it only multiplies the eigenvalues.
    """
    x, y, x_target, y_target = (t.double() for t in draw.batch[:4])
    noise = draw.noise.square() + GPTasks.jitter  # (B, 1, 1)

    def midpoints(bounds: tuple[float, float], n: int) -> Tensor:
        return bounds[0] + (bounds[1] - bounds[0]) * (torch.arange(n, dtype=torch.float64) + 0.5) / n

    scales = midpoints(tasks.scale, n_scales)
    squares = scales.square().view(1, -1, 1)
    everything, y_everything = torch.cat([x, x_target], 1), torch.cat([y, y_target], 1)
    context, joint, points = [], [], []
    for lengthscale in midpoints(tasks.lengthscale, n_lengthscales):
        correlation = Factor(tasks.kernel, lengthscale.view(1, 1, 1), torch.ones(1, 1, 1))
        grid = _Grid.of(correlation(x, x), y, scales, noise)
        cross = grid.basis.transpose(1, 2) @ correlation(x, x_target)  # (B, N, M)
        mean = squares * ((grid.projected / grid.variances) @ cross)  # (B, S, M)
        variance = squares + noise - squares.square() * (grid.variances.reciprocal() @ cross.square())
        context.append(grid.evidence())
        joint.append(_Grid.of(correlation(everything, everything), y_everything, scales, noise).evidence())
        points.append(_normal(y_target.transpose(1, 2), mean, variance))
    evidence = torch.cat(context, 1)  # (B, G)
    posterior = evidence.log_softmax(1).unsqueeze(-1)  # (B, G, 1)
    per_point = (posterior + torch.cat(points, 1)).logsumexp(1).mean(-1)
    together = torch.cat(joint, 1).logsumexp(1) - evidence.logsumexp(1)
    return Optimum(per_point, together / y_target.shape[1])
