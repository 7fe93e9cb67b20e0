"""More rows, better predictions? Scores, time and size against the number of rows read.

Friedman's first function (10 features, half of them idle, noise of std 1) and, given the folder of the
streams, hourly traffic in random order: ``python benchmarks/growth.py [--streams FOLDER]``. Rows are
nested prefixes of a permutation, read incrementally; scores are those of 2,000 other rows, in nats per
row and the target's own units. The first call freezes scaling and length-scales: it gets the first
1,000 rows, or the first 300 in a second kind of row. Seconds are of all reading up to then, or of
fitting; bytes are of the state, or of the pickled peer. The std of HistGradientBoosting is that of inner
out-of-fold residuals, whose five fits count.
"""

from __future__ import annotations

import argparse
import pickle
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _report import RESULTS, figure, standard_error, write
from _streams import load
from accuracy import gaussian_process, predictive, score
from sklearn.base import BaseEstimator
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from tqdm.auto import tqdm

from skcmanp import CMANPRegressor

SIZES = [10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000]
METRICS = ["ll", "rmse", "coverage_90", "seconds", "bytes"]
Table = tuple[np.ndarray, np.ndarray]
Result = tuple[str, int, np.ndarray]  # model, rows, metrics


def read(train: Table, test: Table, sizes: list[int], first: int, name: str) -> Iterator[Result]:
    """CMANPRegressor() after so many rows; all that is frozen is frozen on the first ones."""
    (X, y), (X_test, y_test) = train, test
    seen, seconds = 0, 0.0
    for n in sizes:
        begun = time.perf_counter()
        if seen < first:
            seen, seconds = min(n, first), 0.0
            regressor = CMANPRegressor().fit(X[:seen], y[:seen])
        if n > seen:
            regressor.partial_fit(X[seen:n], y[seen:n])
            seen = n
        seconds += time.perf_counter() - begun
        mean, std = regressor.predict(X_test, return_std=True)
        yield name, n, np.array([*score(mean, std, y_test), seconds, regressor.context_.nbytes])


def fit(model: BaseEstimator, train: Table, test: Table, n: int, name: str) -> Result:
    """A peer, fitted to so many rows at once."""
    X, y = (array[:n] for array in train)
    begun = time.perf_counter()
    mean, std = predictive(model.fit(X, y), X, y, test[0])
    seconds = time.perf_counter() - begun
    return name, n, np.array([*score(mean, std, test[1]), seconds, len(pickle.dumps(model))])


def run(train: Table, test: Table, sizes: list[int], gp_rows: int) -> Iterator[Result]:
    """All models at all sizes."""
    yield from read(train, test, sizes, 1000, "CMANPRegressor()")
    yield from read(train, test, [n for n in sizes if n > 300], 300, "CMANPRegressor(), frozen on 300")
    for n in tqdm(sizes, leave=False):
        yield fit(HistGradientBoostingRegressor(random_state=0), train, test, n, "HistGradientBoosting")
        if n <= gp_rows:
            yield fit(gaussian_process(train[0].shape[1]), train, test, n, "GP (ARD Matern-5/2)")


def draw(rows: list[dict]) -> None:
    """A row of panels for each task."""
    tasks, names = (list(dict.fromkeys(row[key] for row in rows)) for key in ("data", "model"))
    panels = {"nll": "NLL, nats per row", "rmse": "RMSE", "seconds": "seconds of reading or fitting", "bytes": "bytes"}
    picture, axes = figure(len(tasks), len(panels), figsize=(15, 3.4 * len(tasks) + 0.5))
    for task, line in zip(tasks, np.reshape(axes, (len(tasks), -1)), strict=True):
        for (key, label), ax in zip(panels.items(), line, strict=True):
            for i, name in enumerate(names):
                chosen = [row for row in rows if (row["data"], row["model"]) == (task, name)]
                value = [-row["ll"] if key == "nll" else row[key] for row in chosen]
                style = {"color": "black", "linestyle": "-" if i == 0 else "--"} if i < 2 else {"color": f"C{i - 2}"}
                ax.plot([row["rows"] for row in chosen], value, marker="o", markersize=3, label=name, **style)
            ax.set(xscale="log", yscale="linear" if key in ("nll", "rmse") else "log", title=task)
            ax.set(xlabel="rows read", ylabel=label)
            if key == "nll":
                losses = {m: [-r["ll"] for r in rows if (r["data"], r["model"]) == (task, m)] for m in names}
                lowest = min(min(values) for values in losses.values())
                ax.set_ylim(lowest - 0.1, max(losses[names[0]]) + 0.3)  # the GP of ten rows is far beyond
            ax.grid(alpha=0.3)
    picture.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    picture.savefig(RESULTS / "growth.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=Path, help="folder of the streams' parquet files")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="rows read")
    parser.add_argument("--seeds", type=int, default=5, help="permutations up to 1,000 rows")
    parser.add_argument("--large-seeds", type=int, default=2, help="permutations beyond; of the GP, from there")
    parser.add_argument("--test", type=int, default=2000, help="rows predicted")
    parser.add_argument("--gp-rows", type=int, default=1000, help="leave the exact GP out beyond")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # length-scales of idle features go to their bound
    n_test = arguments.test
    tables = {"friedman1": make_friedman1(max(arguments.sizes) + n_test, noise=1.0, random_state=0)}
    if arguments.streams is not None:
        tables["metro_traffic_i94"] = load(arguments.streams, "metro_traffic_i94")
    rows: list[dict] = []
    for data, (X, y) in tables.items():
        results: dict[tuple[str, int], list[np.ndarray]] = {}
        sizes = sorted(n for n in arguments.sizes if n <= len(y) - n_test)
        for seed in tqdm(range(arguments.seeds), desc=data):
            order = np.random.default_rng(seed).permutation(len(y))
            test, train = ((X[part], y[part]) for part in np.split(order, [n_test]))
            few = seed >= arguments.large_seeds
            affordable = [n for n in sizes if n <= 1000] if few else sizes
            gp_rows = min(arguments.gp_rows, 999) if few else arguments.gp_rows
            for name, n, result in run(train, test, affordable, gp_rows):
                results.setdefault((name, n), []).append(result)
        for (name, n), values in results.items():
            row: dict = {"data": data, "model": name, "rows": n, "seeds": len(values)}
            for metric, column in zip(METRICS, np.transpose(values), strict=True):
                row[metric] = float(column.mean())
                if metric in ("ll", "rmse"):
                    row[f"{metric}_se"] = standard_error(column) if len(column) > 1 else np.nan
            rows.append(row)
    write("growth", rows)
    draw(rows)


if __name__ == "__main__":
    main()
