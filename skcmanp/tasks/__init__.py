"""Generators of meta-training tasks.

A generator draws batches of tasks (`base.TaskGenerator`). `FunctionTasks`
makes one of priors over functions (`base.FunctionPrior`), `GPTasks` draws
Gaussian processes exactly, `DatasetTasks` splits the user's own data, and
`ImageTasks` completes images.
"""

from skcmanp.tasks.base import FunctionPrior, FunctionTasks, TaskBatch, TaskGenerator
from skcmanp.tasks.datasets import DatasetTasks
from skcmanp.tasks.gp import GPTasks, RandomGP
from skcmanp.tasks.images import ImageTasks
from skcmanp.tasks.series import RandomGates, RandomPeriodic
from skcmanp.tasks.tabular import RandomLinear, RandomMLP, RandomTrees

__all__ = [
    "DatasetTasks",
    "FunctionPrior",
    "FunctionTasks",
    "GPTasks",
    "ImageTasks",
    "RandomGP",
    "RandomGates",
    "RandomLinear",
    "RandomMLP",
    "RandomPeriodic",
    "RandomTrees",
    "TaskBatch",
    "TaskGenerator",
]
