"""Real streams, prequentially, beside what else learns from a stream.

Rows come in time order. The first are only learned; then every chunk is predicted, scored, and
learned: ``python benchmarks/streams.py --streams FOLDER``, with the folder of their parquet files.
NLL in nats per row, in the target's own units, its standard error over chunks as if these were
independent; seconds are of predicting and learning after the first rows; bytes are the pickled
model's at the end.

Peers see features scaled by their running moments (AMF: range) and a target scaled by its moments in
the first rows. Those without a std get the root of their mean squared error in the chunks before,
exponentially weighted over about 1,000 rows; in the first chunk the std of the first targets. The
Gaussian process knows the last 200 rows and tunes its hyperparameters every 500 rows, starting from
the previous ones. MLP, as the others, makes a step for every row.
"""

from __future__ import annotations

import argparse
import pickle
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from _report import RESULTS, figure, standard_error, write
from _streams import STREAMS, load
from accuracy import gaussian_process
from matplotlib.ticker import LogLocator, NullLocator
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from tqdm.auto import tqdm

from skcmanp import CMANPRegressor

KEEP = 0.999  # weight of an error after one more row
POINTS = 10


class Learner(Protocol):
    """What is run on a stream."""

    def partial_fit(self, X: np.ndarray, y: np.ndarray) -> None: ...

    def predict(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]: ...


class Reader:
    """CMANPRegressor(), its memory decayed before every chunk."""

    def __init__(self, gamma: float) -> None:
        self.regressor, self.gamma = CMANPRegressor(), gamma

    def partial_fit(self, X: np.ndarray, y: np.ndarray) -> None:
        if self.gamma < 1 and hasattr(self.regressor, "context_"):
            self.regressor.decay(self.gamma)
        self.regressor.partial_fit(X, y)

    def predict(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.regressor.predict(X, return_std=True)


class Peer:
    """A regressor with partial_fit, on scaled features and target."""

    def __init__(self, regressor: Any, scaler: Any) -> None:
        self.regressor, self.scaler = regressor, scaler
        self.centre = self.scale = np.nan

    def partial_fit(self, X: np.ndarray, y: np.ndarray) -> None:
        if np.isnan(self.scale):
            self.centre, self.scale = y.mean(), y.std()
        self.regressor.partial_fit(self.scaler.partial_fit(X).transform(X), (y - self.centre) / self.scale)

    def predict(self, X: np.ndarray) -> tuple[np.ndarray, None]:
        return self.regressor.predict(self.scaler.transform(X)) * self.scale + self.centre, None


class WindowGP:
    """An exact Gaussian process of the last rows."""

    def __init__(self, n_features: int, window: int = 200, tune_every: int = 500) -> None:
        self.process, self.window, self.tune_every = gaussian_process(n_features), window, tune_every
        self.X, self.y = np.empty((0, n_features)), np.empty(0)
        self.untuned = tune_every

    def partial_fit(self, X: np.ndarray, y: np.ndarray) -> None:
        self.X = np.concatenate([self.X, X])[-self.window :]
        self.y = np.concatenate([self.y, y])[-self.window :]
        self.untuned += len(y)
        tune = self.untuned >= self.tune_every
        self.process[-1].set_params(optimizer="fmin_l_bfgs_b" if tune else None)
        self.process.fit(self.X, self.y)
        if tune:
            self.untuned = 0
            self.process[-1].set_params(kernel=self.process[-1].kernel_)

    def predict(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.process.predict(X, return_std=True)


def sgd(n_features: int) -> Learner:
    return Peer(SGDRegressor(random_state=0), StandardScaler())


def mlp(n_features: int) -> Learner:
    return Peer(MLPRegressor(batch_size=1, random_state=0), StandardScaler())


def passive_aggressive(n_features: int) -> Learner:
    """PA-I; scikit-learn's class of that name is deprecated in favour of this."""
    rule = {"learning_rate": "pa1", "eta0": 1.0, "penalty": None}
    return Peer(SGDRegressor(loss="epsilon_insensitive", **rule, random_state=0), StandardScaler())


def river(name: str, n_features: int) -> Learner:
    """A regressor of River, through its own scikit-learn wrapper."""
    from river import forest, linear_model
    from river.compat import convert_river_to_sklearn

    if name == "linear":
        return Peer(convert_river_to_sklearn(linear_model.LinearRegression()), StandardScaler())
    if name == "amf":
        return Peer(convert_river_to_sklearn(forest.AMFRegressor(seed=0)), MinMaxScaler())
    return Peer(convert_river_to_sklearn(forest.ARFRegressor(seed=0)), StandardScaler())


MODELS: dict[str, Callable[[int], Learner]] = {
    "cmanp": lambda n_features: Reader(1.0),
    "cmanp, decay 0.99": lambda n_features: Reader(0.99),
    "sgd": sgd,
    "mlp": mlp,
    "passive-aggressive": passive_aggressive,
    "river linear": partial(river, "linear"),
    "river amf": partial(river, "amf"),
    "river arf": partial(river, "arf"),
    "gp, last 200": WindowGP,
}


@dataclass
class Scores:
    """Of every predicted row, and what it took."""

    squared: np.ndarray
    nll: np.ndarray
    covered: np.ndarray
    seconds: float
    n_bytes: int


def prequential(model: Learner, X: np.ndarray, y: np.ndarray, first: int, chunk: int, label: str = "") -> Scores:
    """Learn the first rows; then predict, score and learn chunk after chunk."""
    model.partial_fit(X[:first], y[:first])
    mean, std = np.empty(len(y)), np.empty(len(y))
    weight, spread, seconds = 0.0, 0.0, 0.0
    for start in tqdm(range(first, len(y), chunk), desc=label, leave=False):
        rows = slice(start, start + chunk)
        begun = time.perf_counter()
        mean[rows], own = model.predict(X[rows])
        model.partial_fit(X[rows], y[rows])
        seconds += time.perf_counter() - begun
        if own is None:
            own = np.sqrt(spread / weight) if weight else y[:first].std()
        std[rows] = own
        keep = KEEP ** len(y[rows])
        weight = keep * weight + 1 - keep
        spread = keep * spread + (1 - keep) * np.square(y[rows] - mean[rows]).mean()
    y, mean, std = y[first:], mean[first:], std[first:]
    covered = np.abs(y - mean) < norm.ppf(0.95) * std
    return Scores(np.square(y - mean), -norm.logpdf(y, mean, std), covered, seconds, len(pickle.dumps(model)))


def total(scores: Scores, chunk: int) -> dict[str, float]:
    """Scores of the whole stream."""
    n_rows = len(scores.nll)
    chunks = np.array([scores.nll[start : start + chunk].mean() for start in range(0, n_rows, chunk)])
    return {
        "rmse": float(scores.squared.mean() ** 0.5),
        "nll": float(scores.nll.mean()),
        "nll_se": standard_error(chunks),
        "coverage_90": float(scores.covered.mean()),
        "seconds_per_1000": 1e3 * scores.seconds / n_rows,
        "bytes": scores.n_bytes,
    }


def running(scores: Scores, first: int, chunk: int) -> list[dict[str, float]]:
    """Averages over the rows until then, at points that are even on a logarithmic scale."""
    n_rows = len(scores.nll)
    points = np.unique(np.geomspace(min(chunk, n_rows), n_rows, POINTS).round().astype(int))
    return [
        {
            "rows_seen": first + int(n),
            "rmse": float(scores.squared[:n].mean() ** 0.5),
            "nll": float(scores.nll[:n].mean()),
            "coverage_90": float(scores.covered[:n].mean()),
        }
        for n in points
    ]


def draw(curve: list[dict]) -> None:
    """Running RMSE in units of the first model's, a panel for each stream."""
    files = [name for name in STREAMS if any(row["stream"] == name for row in curve)]
    models = [name for name in MODELS if any(row["model"] == name for row in curve)]
    n_columns = min(4, len(files))
    n_rows = -(-len(files) // n_columns)
    picture, axes = figure(n_rows, n_columns, figsize=(3.6 * n_columns + 0.5, 3.2 * n_rows + 0.5))
    panels = list(np.ravel(axes))
    styles: list[dict] = [{"color": f"C{i - 1}", "linewidth": 1.2} for i in range(len(models))]
    styles[0] = {"color": "black", "linewidth": 2.5}
    for ax, file in zip(panels, files, strict=False):
        points = {model: [r for r in curve if (r["stream"], r["model"]) == (file, model)] for model in models}
        base = np.array([float(row["rmse"]) for row in points[models[0]]])
        for i, model in enumerate(models):
            seen, rmse = np.array([(row["rows_seen"], row["rmse"]) for row in points[model]], dtype=float).T
            ax.loglog(seen, rmse / base, label=model, **styles[i])
        low, high = ax.get_ylim()
        ax.set(title=file, xlabel="rows seen", ylim=(max(low, 1 / 8), min(high, 8)))  # some models diverge
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.yaxis.set_major_locator(LogLocator(2))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
        ax.grid(alpha=0.3)
    for ax in panels[len(files) :]:
        ax.axis("off")
    for ax in panels[::n_columns]:
        ax.set_ylabel(f"running RMSE / that of {models[0]}")
    picture.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=9)
    picture.savefig(RESULTS / "streams.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=Path, required=True, help="folder of the parquet files")
    parser.add_argument("--files", nargs="+", default=list(STREAMS), choices=STREAMS, metavar="NAME")
    parser.add_argument(
        "--models", nargs="+", default=list(MODELS), choices=MODELS, metavar="NAME", help="the others' results stay"
    )
    parser.add_argument("--first", type=int, default=1000, help="rows that are only learned")
    parser.add_argument("--chunk", type=int, default=100)
    parser.add_argument("--rows", type=int, default=20_000, help="of each stream, at most")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # length-scales of idle features go to their bound
    first, chunk = arguments.first, arguments.chunk
    rows: list[dict] = []
    curve: list[dict] = []
    for file in arguments.files:
        X, y = (array[: arguments.rows] for array in load(arguments.streams, file))
        for name in arguments.models:
            scores = prequential(MODELS[name](X.shape[1]), X, y, first, chunk, f"{file}, {name}")
            key = {"stream": file, "model": name}
            rows.append({**key, "rows": len(scores.nll), "features": X.shape[1], **total(scores, chunk)})
            curve += [{**key, **point} for point in running(scores, first, chunk)]
    write("streams", rows, keys=("stream", "model"))
    draw(write("streams_curve", curve, keys=("stream", "model")))


if __name__ == "__main__":
    main()
