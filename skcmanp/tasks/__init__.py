"""Generators of meta-training tasks.

A generator draws batches of tasks (`base.TaskGenerator`). `FunctionTasks`
makes one of priors over functions (`base.FunctionPrior`), `GPTasks` draws
Gaussian processes exactly, `DatasetTasks` splits the user's own data, and
`ImageTasks` completes images: of arrays, of EMNIST (`read_emnist`), of `CelebA`.
`KeptTasks` keeps what another one draws.
"""

from skcmanp.tasks.base import FunctionPrior, TaskBatch, TaskGenerator
from skcmanp.tasks.celeba import CelebA
from skcmanp.tasks.datasets import DatasetTasks
from skcmanp.tasks.emnist import read_emnist
from skcmanp.tasks.functions import FunctionTasks
from skcmanp.tasks.gp import GPTasks, RandomGP, RandomSums
from skcmanp.tasks.image_files import ImageSource
from skcmanp.tasks.images import ImageTasks
from skcmanp.tasks.kept import KeptTasks
from skcmanp.tasks.series import RandomGates, RandomPeriodic
from skcmanp.tasks.tabular import RandomLinear, RandomMLP, RandomTrees

__all__ = [
    "CelebA",
    "DatasetTasks",
    "FunctionPrior",
    "FunctionTasks",
    "GPTasks",
    "ImageSource",
    "ImageTasks",
    "KeptTasks",
    "RandomGP",
    "RandomGates",
    "RandomLinear",
    "RandomMLP",
    "RandomPeriodic",
    "RandomSums",
    "RandomTrees",
    "TaskBatch",
    "TaskGenerator",
    "read_emnist",
]
