"""What the benchmarks of fields over two coordinates share: models that complete a field from some of its places."""

from __future__ import annotations

import pickle
import time
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsRegressor

from skcmanp import CMANPRegressor

FIRST, CHUNK = 2048, 8192


@dataclass
class Completion:
    """Predictions of a field, and what they cost."""

    mean: np.ndarray
    std: np.ndarray
    read_seconds: float
    predict_seconds: float
    cpu_seconds: float  # of both; less than those on a machine that others use
    nbytes: int  # of the state, or of the pickled peer

    @property
    def costs(self) -> dict[str, float]:
        names = ("read_seconds", "predict_seconds", "cpu_seconds", "nbytes")
        return {name: getattr(self, name) for name in names}


def read(model: CMANPRegressor, X: np.ndarray, y: np.ndarray) -> None:
    """Read rows in chunks, the first one smaller."""
    for rows in np.split(np.arange(len(X)), np.arange(FIRST, len(X), CHUNK)):
        model.partial_fit(X[rows], y[rows])


def neighbours() -> KNeighborsRegressor:
    return KNeighborsRegressor(n_neighbors=8, weights="distance")


def complete(model: BaseEstimator, X: np.ndarray, y: np.ndarray, X_test: np.ndarray) -> Completion:
    """Read rows, in chunks if the model can, and predict others.

    A model without std gets that of its out-of-fold residuals, whose fits count as reading.
    """
    begun, cpu = time.perf_counter(), time.process_time()
    std = None
    if isinstance(model, CMANPRegressor):
        read(model, X, y)
    else:
        model.fit(X, y)
        if isinstance(model, (KNeighborsRegressor, HistGradientBoostingRegressor)):
            std = (y - cross_val_predict(model, X, y, cv=5)).std(axis=0)
    between = time.perf_counter()
    mean, std = model.predict(X_test, return_std=True) if std is None else (model.predict(X_test), std)
    done = time.perf_counter()
    nbytes = model.context_.nbytes if isinstance(model, CMANPRegressor) else len(pickle.dumps(model))
    std = np.broadcast_to(std, mean.shape)
    return Completion(mean, std, between - begun, done - between, time.process_time() - cpu, nbytes)
