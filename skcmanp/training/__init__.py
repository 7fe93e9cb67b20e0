"""Meta-training: maximise the log-likelihood of targets over a stream of tasks.

`loop.meta_train` is the loop; `options` says how it optimises, `evaluation` how
good a network is, `log` what was logged, `workers` how processes share a batch
and `signals` how a run is stopped.
"""

from skcmanp.training.evaluation import EVALUATION_STEP, evaluate, log_likelihood, task_generator
from skcmanp.training.log import TrainingLog
from skcmanp.training.loop import initialize, meta_train
from skcmanp.training.options import TrainingOptions

__all__ = [
    "EVALUATION_STEP",
    "TrainingLog",
    "TrainingOptions",
    "evaluate",
    "initialize",
    "log_likelihood",
    "meta_train",
    "task_generator",
]
