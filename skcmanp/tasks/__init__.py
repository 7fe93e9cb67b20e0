"""Generators of meta-training tasks.

A generator draws batches of tasks (`base.TaskGenerator`); `FunctionTasks`
makes one of priors over functions (`base.FunctionPrior`).
"""

from skcmanp.tasks.base import FunctionPrior, FunctionTasks, TaskBatch, TaskGenerator
from skcmanp.tasks.gp import RandomGP
from skcmanp.tasks.tabular import RandomLinear, RandomMLP

__all__ = [
    "FunctionPrior",
    "FunctionTasks",
    "RandomGP",
    "RandomLinear",
    "RandomMLP",
    "TaskBatch",
    "TaskGenerator",
]
