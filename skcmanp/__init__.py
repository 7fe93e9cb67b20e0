"""Probabilistic regression on data that keeps arriving, with scikit-learn's interface.

The rooms, from a call of the estimator downwards; each imports only from those below it::

    regressor      CMANPRegressor, the public contract: validates rows (validation), holds the state
    stream         CMANPStreamRegressor, for streams that move on
    mixture/       its experts, and how they are weighted
                       mixture . experts . reading . trees . linear . columns . ring
                       weights . errors . scale . conformal
    algebra        what can be done with a state: forget, merge, decay
    notebook       how an estimator looks in a notebook
    prediction     what it says of rows: moments, quantiles, draws, densities
    learner        rows and a state -> a state
    predictor      rows and a state -> predictions in the targets' own units
    joint          many targets together, block by block
    parallel       reads rows chunk by chunk and shard by shard
    checkpoints    weights on disk; one network per process, device (devices) and dtype
    inference      a network in use: numpy in, numpy out
    nn/            the network, in torch: rows -> statistics -> latents and posterior -> predictions
                       model . config . embedding . attention . cmab . heads . conjugate . features . calibration
    state/         what is remembered of rows, and its bytes
                       context . summary . softmax . sums
    adaptation/    what the first rows fix, part by part
                       columns . rows . evidence . trend . main_effects . inducing . waves
                       sparse_process . noise . missed . first_rows
    kernels        Matern-5/2, for numpy and torch

    deployment     outside of pickles: for skops, and for torch.export

For any regressor with a standard deviation::

    streaming/     arrays, tables and files in batches; learns them, scores each before
    metrics/       NLL, CRPS, intervals and calibration; scorers
    shards         shards of rows read apart, by any engine, and merged
    wrappers       regressors inside pipelines, searches and stacks
    inspection/    displays of intervals, calibration and streams
    images         pictures as rows

How checkpoints are made, which the estimator never imports::

    tasks/         data sets to train on, adapted as the estimator adapts itself
    training/      the loop, its log, its evaluation
    recipes        TOML files that determine a checkpoint
    cards, cli     model cards, the command line
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
    from skcmanp.stream import CMANPStreamRegressor
    from skcmanp.training import TrainingOptions, meta_train

__version__ = "0.1.0"

# Importing the package loads neither torch nor scikit-learn; using a name does.
_MODULES = {
    "CMANP": "nn.model",
    "CMANPConfig": "nn.config",
    "CMANPRegressor": "regressor",
    "CMANPStreamRegressor": "stream",
    "ContextState": "state.context",
    "StreamState": "mixture.mixture",
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
    "CMANPStreamRegressor",
    "ContextState",
    "StreamState",
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
