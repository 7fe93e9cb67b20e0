"""Tasks as the estimator gives them to a network: adapted to their first rows, with what the memory says."""

from __future__ import annotations

import torch

from skcmanp.adaptation import Adaptation
from skcmanp.nn.config import CMANPConfig
from skcmanp.nn.conjugate import ConjugateMemory
from skcmanp.tasks.base import TaskBatch

# Fewer rows say little of what is typical; such tasks keep their population's scales, as declared bounds would give.
MIN_REFERENCE = 5


@torch.no_grad()
def adapted(batch: TaskBatch, n_features: int, n_reference: int, config: CMANPConfig) -> TaskBatch:
    """Scale tasks, and let the conjugate memory read their contexts.

    The estimator's own adaptation does it, so that a network is trained on what
    it will meet. Nothing in the memory is trained, and its predictions are all
    that a network gets of it, so they are made here, once.

    Parameters
    ----------
    batch : TaskBatch
    n_features : int
        Columns of x that are not absent.
    n_reference : int
        Context rows that the adaptation is fitted to, the first ones; with
        fewer than `MIN_REFERENCE`, it is that before anything is known.
    config : CMANPConfig
        Of the network.
    """
    batch = batch._replace(x=batch.x[..., :n_features], x_target=batch.x_target[..., :n_features])
    tasks = [_adapted_task(task, n_reference, config) for task in batch.split(len(batch.x))]
    parts = zip(*tasks, strict=True)
    return TaskBatch(*(torch.cat(part).float() for part in parts if part[0] is not None))


def _adapted_task(task: TaskBatch, n_reference: int, config: CMANPConfig) -> TaskBatch:
    """A batch of one task, whose x then has the network's width."""
    x, y, x_target, y_target = (t.squeeze(0).double() for t in task[:4])
    known = n_reference >= MIN_REFERENCE
    rows = slice(n_reference if known else None)
    adaptation = Adaptation.fit(
        x[rows].numpy() if known else x_target.numpy(),
        y[rows].numpy() if known else y_target.numpy(),
        standardize=known,
        how="fit" if known else "default",
        memory_features=config.adapted_features,
        may_grow=True,
        max_columns=config.dim_x,
        trees=False,  # their predictions would be one more column, like others
    )
    x, x_target = (torch.from_numpy(adaptation.scale_x(t.numpy())).unsqueeze(0) for t in (x, x_target))
    y, y_target = (torch.from_numpy(adaptation.scale_y(t.numpy())).unsqueeze(0) for t in (y, y_target))
    hints, covariance = None, None
    if config.adapted_features:
        n_features = adaptation.size_of_memory(config.adapted_features)
        memory = ConjugateMemory(n_features, config.dim_y, config.memory_regressions)
        basis = adaptation.basis(n_features)
        posterior = memory.posterior(memory.read(x, y, basis), torch.tensor([float(x.shape[1])]), basis)
        parts = memory.parts(x_target, posterior, basis)
        hints = memory.mixture(parts, posterior)[1]
        if config.joint_rank:
            covariance = memory.covariance(x_target, parts, posterior, basis)
    x, x_target = (torch.nn.functional.pad(t, (0, config.dim_x - t.shape[-1])) for t in (x, x_target))
    return TaskBatch(x, y, x_target, y_target, hints, covariance)
