"""Real streams, prequentially, beside what else learns from a stream.

Rows come in time order. The first are only learned; then every chunk is predicted, scored, and
learned: ``python benchmarks/streams.py --streams FOLDER``, with the folder of their parquet files.
Features are those of `_streams`, models those of `_stream_peers`, and this package's. NLL and CRPS
in the target's own units, the standard error of the NLL over chunks as if these were independent;
the least coverage is that of the worst tenth of a stream; ``start``, ``middle`` and ``end`` are NLL in
thirds of it; seconds are of predicting and learning after the first rows; bytes are the pickled
model's at the end. Models without a standard deviation get that of their last 1,000 errors; in the
first chunk, that of the first targets.
"""

from __future__ import annotations

import argparse
import pickle
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _report import RESULTS, figure, standard_error, write
from _stream_peers import PEERS, Learner, Stream
from _streams import PERIODS, STREAMS, columns, load
from matplotlib.ticker import FixedLocator, NullLocator
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from tqdm.auto import tqdm

from skcmanp import CMANPRegressor, CMANPStreamRegressor

N_ERRORS = 1000  # that tell the standard deviation of a model that has none of its own
THIRDS = ("start", "middle", "end")
POINTS = 10


class Reader:
    """One of the estimators of this package."""

    def __init__(self, regressor: CMANPRegressor | CMANPStreamRegressor) -> None:
        self.regressor = regressor

    def partial_fit(self, X: np.ndarray, y: np.ndarray) -> None:
        self.regressor.partial_fit(X, y)

    def predict(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.regressor.predict(X, return_std=True)


MODELS: dict[str, Callable[[Stream], Learner]] = {
    "cmanp stream": lambda stream: Reader(CMANPStreamRegressor()),
    "cmanp": lambda stream: Reader(CMANPRegressor()),
    **PEERS,
}


@dataclass
class Scores:
    """Of every predicted row, and what it took."""

    squared: np.ndarray
    nll: np.ndarray
    crps: np.ndarray
    covered: np.ndarray
    seconds: float
    n_bytes: int


def prequential(model: Learner, X: np.ndarray, y: np.ndarray, first: int, chunk: int, label: str = "") -> Scores:
    """Learn the first rows; then predict, score and learn chunk after chunk."""
    model.partial_fit(X[:first], y[:first])
    mean, std = np.empty(len(y)), np.empty(len(y))
    errors, seconds = np.empty(0), 0.0
    for start in tqdm(range(first, len(y), chunk), desc=label, leave=False):
        rows = slice(start, start + chunk)
        begun = time.perf_counter()
        mean[rows], own = model.predict(X[rows])
        model.partial_fit(X[rows], y[rows])
        seconds += time.perf_counter() - begun
        if own is None:
            own = np.sqrt(np.square(errors).mean()) if len(errors) else y[:first].std()
        std[rows] = own
        errors = np.concatenate([errors, y[rows] - mean[rows]])[-N_ERRORS:]
    y, mean, std = y[first:], mean[first:], std[first:]
    z = (y - mean) / std
    crps = std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.pi**0.5)
    covered = np.abs(z) < norm.ppf(0.95)
    return Scores(np.square(y - mean), -norm.logpdf(y, mean, std), crps, covered, seconds, len(pickle.dumps(model)))


def total(scores: Scores, chunk: int) -> dict[str, float]:
    """Scores of the whole stream."""
    n_rows = len(scores.nll)
    chunks = np.array([scores.nll[start : start + chunk].mean() for start in range(0, n_rows, chunk)])
    return {
        "rmse": float(scores.squared.mean() ** 0.5),
        "nll": float(scores.nll.mean()),
        "nll_se": standard_error(chunks),
        "crps": float(scores.crps.mean()),
        "coverage_90": float(scores.covered.mean()),
        "least_coverage": float(min(tenth.mean() for tenth in np.array_split(scores.covered, 10))),
        **{name: float(third.mean()) for name, third in zip(THIRDS, np.array_split(scores.nll, 3), strict=True)},
        "rows_per_second": n_rows / scores.seconds,
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
    """Running NLL beside the first model's, a panel for each stream."""
    files = [name for name in STREAMS if any(row["stream"] == name for row in curve)]
    models = [name for name in MODELS if any(row["model"] == name for row in curve)]
    n_columns = min(4, len(files))
    n_rows = -(-len(files) // n_columns)
    picture, axes = figure(n_rows, n_columns, figsize=(3.6 * n_columns + 0.5, 3.2 * n_rows + 0.5))
    panels = list(np.ravel(axes))
    dashes = ["-", "--"]
    styles: list[dict] = [
        {"color": f"C{i % 10}", "linestyle": dashes[i // 10], "linewidth": 1.2} for i in range(len(models))
    ]
    styles[0] = {"color": "black", "linewidth": 2.5}
    for ax, file in zip(panels, files, strict=False):
        points = {model: [r for r in curve if (r["stream"], r["model"]) == (file, model)] for model in models}
        base = np.array([float(row["nll"]) for row in points[models[0]]])
        for i, model in enumerate(models):
            if len(points[model]) != len(base):  # not measured yet
                continue
            seen, nll = np.array([(row["rows_seen"], row["nll"]) for row in points[model]], dtype=float).T
            ax.semilogx(seen, nll - base, label=model, **styles[i])
        ax.set(title=file, xlabel="rows seen", ylim=(-0.5, 1.5))  # some models are far above
        ax.xaxis.set_major_locator(FixedLocator([1000, 2000, 5000, 10_000]))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.grid(alpha=0.3)
    for ax in panels[len(files) :]:
        ax.axis("off")
    for ax in panels[::n_columns]:
        ax.set_ylabel(f"running NLL - that of {models[0]}")
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
    parser.add_argument("--rows", type=int, default=12_000, help="of each stream, at most")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # length-scales of idle features go to their bound
    first, chunk = arguments.first, arguments.chunk
    rows: list[dict] = []
    curve: list[dict] = []
    for file in arguments.files:
        X, y = (array[: arguments.rows] for array in load(arguments.streams, file))
        stream = Stream(columns(arguments.streams, file), PERIODS[file])
        for name in arguments.models:
            scores = prequential(MODELS[name](stream), X, y, first, chunk, f"{file}, {name}")
            key = {"stream": file, "model": name}
            rows.append({**key, "rows": len(scores.nll), "features": X.shape[1], **total(scores, chunk)})
            curve += [{**key, **point} for point in running(scores, first, chunk)]
    write("streams", rows, keys=("stream", "model"))
    draw(write("streams_curve", curve, keys=("stream", "model")))


if __name__ == "__main__":
    main()
