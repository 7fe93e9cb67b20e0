"""Meta-training: maximise the log-likelihood of targets over a stream of tasks.

`loop.meta_train` is the loop; `options` says how it optimises, `evaluation` how
good a network is, `log` what was logged, `workers` how processes share a batch
and `signals` how a run is stopped.
"""

from skcmanp.training.evaluation import (
    EVALUATION_STEP,
    evaluate,
    joint_log_likelihood,
    log_likelihood,
    predict_jointly,
    task_generator,
)
from skcmanp.training.log import TrainingLog
from skcmanp.training.loop import initialize, meta_train
from skcmanp.training.options import TrainingOptions

__all__ = [
    "EVALUATION_STEP",
    "TrainingLog",
    "TrainingOptions",
    "evaluate",
    "initialize",
    "joint_log_likelihood",
    "log_likelihood",
    "meta_train",
    "predict_jointly",
    "task_generator",
]
