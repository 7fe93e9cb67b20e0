"""Probabilistic regression on data that keeps arriving, with scikit-learn's interface.

From a call of the estimator downwards::

    regressor    CMANPRegressor: the public contract; holds the state
    learner      rows and a state to a state; predictor: to predictions
    parallel     reads rows chunk by chunk, shard by shard
    checkpoints  weights on disk; one network per process
    inference    a network in use: numpy in, numpy out
    nn           the network: rows -> statistics -> latents -> predictions
    state        ContextState: what has been read, of which table, and its bytes; statistics and their algebra
    scaling      what the first data fixes, with relevance and points
    adaptation   the first rows of a stream, until there are enough to fix it by
    images       pictures as rows
    metrics      NLL, CRPS, intervals and calibration of any regressor with std; scorers
    streaming    arrays, tables and files in batches; learns from them, scores each first
    inspection   displays of intervals, calibration and streams
    tasks, training, recipes, cards, cli   how checkpoints are made
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skcmanp.checkpoints import load_checkpoint, save_checkpoint, shipped_checkpoints
    from skcmanp.nn.config import CMANPConfig
    from skcmanp.nn.model import CMANP
    from skcmanp.regressor import CMANPRegressor
    from skcmanp.state.context import ContextState
    from skcmanp.training import TrainingOptions, meta_train

__version__ = "0.1.0"

# Importing the package loads neither torch nor scikit-learn; using a name does.
_MODULES = {
    "CMANP": "nn.model",
    "CMANPConfig": "nn.config",
    "CMANPRegressor": "regressor",
    "ContextState": "state.context",
    "TrainingOptions": "training",
    "load_checkpoint": "checkpoints",
    "meta_train": "training",
    "save_checkpoint": "checkpoints",
    "shipped_checkpoints": "checkpoints",
}

__all__ = [
    "CMANP",
    "CMANPConfig",
    "CMANPRegressor",
    "ContextState",
    "TrainingOptions",
    "load_checkpoint",
    "meta_train",
    "save_checkpoint",
    "shipped_checkpoints",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
