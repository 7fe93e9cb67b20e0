"""What people use on streams: models with ``partial_fit(X, y)`` and ``predict(X) -> mean, std or None``.

Peers see features scaled (AMF: to their range) and a target scaled by its moments in the first rows; models of a window
are refitted to its last rows, scaled anew. None for a standard deviation means that of the last 1,000 errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from accuracy import gaussian_process
from sklearn.linear_model import BayesianRidge, SGDRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import MinMaxScaler, StandardScaler


@dataclass(frozen=True)
class Stream:
    """What a model may know of a stream before its first row."""

    columns: list[str]
    period: int

    @property
    def n_features(self) -> int:
        return len(self.columns)


Prediction = tuple[np.ndarray, np.ndarray | None]


class Learner(Protocol):
    """What is run on a stream."""

    def partial_fit(self, X: np.ndarray, y: np.ndarray) -> Any: ...

    def predict(self, X: np.ndarray) -> Prediction: ...


class Incremental:
    """A regressor with partial_fit, on scaled features and target."""

    def __init__(self, regressor: Any, scaler: Any) -> None:
        self.regressor, self.scaler = regressor, scaler
        self.centre = self.scale = np.nan

    def partial_fit(self, X: np.ndarray, y: np.ndarray) -> None:
        if np.isnan(self.scale):
            self.centre, self.scale = y.mean(), y.std()
        self.regressor.partial_fit(self.scaler.partial_fit(X).transform(X), (y - self.centre) / self.scale)

    def predict(self, X: np.ndarray) -> Prediction:
        return self.regressor.predict(self.scaler.transform(X)) * self.scale + self.centre, None


class BayesianLinear(Incremental):
    """River's Bayesian linear regression, whose standard deviation is its own."""

    def __init__(self) -> None:
        from river import linear_model

        super().__init__(linear_model.BayesianLinearRegression(), StandardScaler())

    def partial_fit(self, X: np.ndarray, y: np.ndarray) -> None:
        if np.isnan(self.scale):
            self.centre, self.scale = y.mean(), y.std()
        for x, target in zip(self.scaler.partial_fit(X).transform(X), (y - self.centre) / self.scale, strict=True):
            self.regressor.learn_one(dict(enumerate(x)) | {"constant": 1.0}, target)

    def predict(self, X: np.ndarray) -> Prediction:
        rows = (dict(enumerate(x)) | {"constant": 1.0} for x in self.scaler.transform(X))
        said = [self.regressor.predict_one(row, with_dist=True) for row in rows]
        mean, std = np.array([(normal.mu, normal.sigma) for normal in said]).T
        return mean * self.scale + self.centre, std * self.scale


class Window:
    """A model refitted to the last `size` rows, as soon as there are `every` new ones."""

    def __init__(self, model: Any, size: int, every: int, n_features: int, has_std: bool) -> None:
        self.model, self.size, self.every, self.has_std = model, size, every, has_std
        self.X, self.y = np.empty((0, n_features)), np.empty(0)
        self.waiting = every

    def partial_fit(self, X: np.ndarray, y: np.ndarray) -> None:
        self.X = np.concatenate([self.X, X])[-self.size :]
        self.y = np.concatenate([self.y, y])[-self.size :]
        self.waiting += len(y)
        if self.waiting >= self.every:
            self.waiting = 0
            self.refit()

    def refit(self) -> None:
        self.scaler = StandardScaler().fit(self.X)
        self.centre, self.scale = self.y.mean(), self.y.std() or 1.0
        self.model.fit(self.scaler.transform(self.X), (self.y - self.centre) / self.scale)

    def predict(self, X: np.ndarray) -> Prediction:
        said = self.model.predict(self.scaler.transform(X), **({"return_std": True} if self.has_std else {}))
        mean, std = said if self.has_std else (said, None)
        return mean * self.scale + self.centre, None if std is None else std * self.scale


class WindowGP(Window):
    """An exact Gaussian process of the last 200 rows, tuned every 500 rows, from where it was."""

    def __init__(self, n_features: int, size: int = 200, tune_every: int = 500) -> None:
        super().__init__(gaussian_process(n_features), size, 1, n_features, has_std=True)
        self.tune_every = self.untuned = tune_every

    def partial_fit(self, X: np.ndarray, y: np.ndarray) -> None:
        self.untuned += len(y)
        super().partial_fit(X, y)

    def refit(self) -> None:
        tune = self.untuned >= self.tune_every
        self.model[-1].set_params(optimizer="fmin_l_bfgs_b" if tune else None)
        super().refit()
        if tune:
            self.untuned = 0
            self.model[-1].set_params(kernel=self.model[-1].kernel_)


class Earlier:
    """The value so many rows before: a feature where the table has it, and else the newest one that was learned.

    For a period, that is the newest one of the same phase.
    """

    def __init__(self, period: int, column: int | None) -> None:
        self.period, self.column, self.y = period, column, np.empty(0)

    def partial_fit(self, X: np.ndarray, y: np.ndarray) -> None:
        self.y = np.concatenate([self.y, y])[-self.period :]

    def predict(self, X: np.ndarray) -> Prediction:
        if self.column is not None:
            return X[:, self.column], None
        return self.y[np.arange(len(X)) % len(self.y)], None


def earlier(stream: Stream, period: int) -> Learner:
    name = f"lag_{period}"
    return Earlier(period, stream.columns.index(name) if name in stream.columns else None)


def river(name: str, stream: Stream) -> Learner:
    """A regressor of River, through its own scikit-learn wrapper."""
    from river import forest
    from river.compat import convert_river_to_sklearn

    if name == "amf":
        return Incremental(convert_river_to_sklearn(forest.AMFRegressor(seed=0)), MinMaxScaler())
    return Incremental(convert_river_to_sklearn(forest.ARFRegressor(seed=0)), StandardScaler())


def bayesian_ridge(size: int, stream: Stream) -> Learner:
    return Window(BayesianRidge(), size, 1, stream.n_features, has_std=True)


def lightgbm(size: int, stream: Stream) -> Learner:
    from lightgbm import LGBMRegressor

    return Window(LGBMRegressor(n_jobs=1, verbose=-1), size, 500, stream.n_features, has_std=False)


PEERS: dict[str, Callable[[Stream], Learner]] = {
    "last value": lambda stream: earlier(stream, 1),
    "a period before": lambda stream: earlier(stream, stream.period),
    "bayesian ridge, 1,000": partial(bayesian_ridge, 1000),
    "bayesian ridge, 5,000": partial(bayesian_ridge, 5000),
    "lightgbm, 1,000": partial(lightgbm, 1000),
    "lightgbm, 5,000": partial(lightgbm, 5000),
    "sgd": lambda stream: Incremental(SGDRegressor(random_state=0), StandardScaler()),
    "mlp": lambda stream: Incremental(MLPRegressor(batch_size=1, random_state=0), StandardScaler()),
    "river bayesian linear": lambda stream: BayesianLinear(),
    "river amf": partial(river, "amf"),
    "river arf": partial(river, "arf"),
    "gp, 200": lambda stream: WindowGP(stream.n_features),
}
