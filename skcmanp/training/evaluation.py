"""How good a network is: log-likelihood and coverage on tasks."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal, Normal

from skcmanp.nn.model import CMANP
from skcmanp.tasks.base import TaskGenerator

# Steps from here on are for evaluation; training never gets so far.
EVALUATION_STEP = 2**31

# Half of a normal distribution's central interval of 90 %, in standard deviations.
HALF_WIDTH_90 = 1.6448536


def task_generator(step: int) -> torch.Generator:
    """Random generator of one step's tasks.

    A step draws the same tasks in every run. So models are trained on equal
    data, and resuming at a step needs no other state. Negative steps are for
    calibration. Only 32 bits of a seed reach the generator.
    """
    return torch.Generator().manual_seed(step % 2**32)


def log_likelihood(distribution: Distribution, y: Tensor) -> Tensor:
    """Per task: sum over target dimensions, mean over targets, (B, M, dy) -> (B,)."""
    shape = distribution.batch_shape + distribution.event_shape  # (B, M, dy), or (B, M * dy) if joint
    return distribution.log_prob(y.reshape(shape)).reshape(len(y), -1).sum(1) / y.shape[1]


def has_joint_head(model: nn.Module) -> TypeGuard[CMANP]:
    """Whether it is a network whose predictions of all targets together are trained and evaluated."""
    return isinstance(model, CMANP) and model.correlations is not None


def predict_jointly(
    model: CMANP, x: Tensor, y: Tensor, x_target: Tensor, hints: Tensor | None = None, covariance: Tensor | None = None
) -> tuple[Normal, MultivariateNormal]:
    """Predictive distributions of every target by itself, (B, M, dy), and of all together, (B, dy) events of M.

    Arguments are those of a `TaskBatch`.
    """
    memory, count = model.condition(x, y, reads=hints is None)
    mean, covariance = model.joint(x_target, memory, count, hints, covariance)
    std = covariance.diagonal(dim1=2, dim2=3).sqrt().mT
    marginals = Normal(mean, std.to(mean.dtype), validate_args=False)
    return marginals, MultivariateNormal(mean.mT.double(), covariance, validate_args=False)


def joint_log_likelihood(distribution: MultivariateNormal, y: Tensor) -> Tensor:
    """Per task: of all targets together, divided by their number, (B, dy) events of M, (B, M, dy) -> (B,)."""
    return distribution.log_prob(y.mT.double()).sum(1) / y.shape[1]


@torch.no_grad()
def evaluate(model: nn.Module, tasks: TaskGenerator, n_batches: int = 32, batch_size: int = 32) -> dict[str, Any]:
    """Log-likelihood and calibration on fixed tasks.

    Parameters
    ----------
    model : CMANP
        Or any other module that maps (x, y, x_target) to a distribution of the
        targets, elementwise or a joint one of their flattened values.
    tasks : TaskGenerator
    n_batches, batch_size : int, default=32

    Returns
    -------
    dict
        ``log_likelihood`` (nats per target, higher is better),
        ``standard_error`` (over batches, whose tasks share their sizes),
        ``coverage_90`` (fraction of targets in the central 90 % interval), and
        ``pit`` (fractions of targets in ten intervals that are predicted to
        hold a tenth each, from the lowest to the highest). With a not-diagonal
        head also ``joint_log_likelihood``, nats per target of all together.
    """
    device = next(model.parameters()).device
    likelihoods, jointly, covered = [], [], []
    pit = torch.zeros(10, dtype=torch.float64)
    for i in range(n_batches):
        batch = tasks.sample(batch_size, task_generator(EVALUATION_STEP + i)).to(device)
        if has_joint_head(model):
            distribution, joint = predict_jointly(model, *batch.jointly)
            jointly.append(joint_log_likelihood(joint, batch.y_target).mean().item())
        else:
            distribution = model(*batch.inputs)
        likelihoods.append(log_likelihood(distribution, batch.y_target).mean().item())
        error = batch.y_target - distribution.mean.view_as(batch.y_target)
        z = error / distribution.stddev.view_as(error)
        covered.append((z.abs() < HALF_WIDTH_90).float().mean().item())
        tenth = (10 * torch.special.ndtr(z)).long().clamp(max=9).flatten()
        pit += torch.bincount(tenth, minlength=10).double().cpu() / (tenth.numel() * n_batches)
    values = torch.tensor(likelihoods, dtype=torch.float64)
    return {
        "log_likelihood": values.mean().item(),
        "standard_error": values.std().item() / math.sqrt(n_batches) if n_batches > 1 else math.nan,
        "coverage_90": sum(covered) / n_batches,
        "pit": pit.tolist(),
        **({"joint_log_likelihood": sum(jointly) / n_batches} if jointly else {}),
    }
