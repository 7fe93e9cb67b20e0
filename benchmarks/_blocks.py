"""Joint log-likelihood of targets in blocks, as the papers evaluate CMANP-AND."""

from __future__ import annotations

import torch
from torch import Tensor

from skcmanp import CMANP
from skcmanp.tasks import TaskBatch
from skcmanp.training import joint_log_likelihood, log_likelihood, predict_jointly


def by_blocks(model: CMANP, batch: TaskBatch, block_size: int) -> Tensor:
    """Joint log-likelihood per target of every task, of blocks that know the true targets of those before, (B,).

    With 0, every target is predicted by itself, and none is known to the others.
    """
    if block_size == 0:
        return log_likelihood(model(*batch.inputs), batch.y_target)
    total = torch.zeros(len(batch.x), dtype=torch.float64)
    x, y, x_target, y_target = batch[:4]
    for start in range(0, x_target.shape[1], block_size):
        rows = slice(start, start + block_size)
        # Reading rows anew is absorbing them into a copy of the state, up to rounding.
        known = torch.cat([x, x_target[:, :start]], dim=1), torch.cat([y, y_target[:, :start]], dim=1)
        joint = predict_jointly(model, *known, x_target[:, rows])[1]
        total += joint_log_likelihood(joint, y_target[:, rows]) * y_target[:, rows].shape[1]
    return total / y_target.shape[1]
