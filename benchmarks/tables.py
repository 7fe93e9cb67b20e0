"""Tables as people have them, with text, categories, dates and missing values, beside other regressors.

``python benchmarks/tables.py FOLDER`` reads parquet files, whose column ``target`` is predicted from all others as they
are: 12,000 rows at most, of which a fifth is for testing. CRPS and RMSE are in standard deviations of the test targets,
NLL in nats per row and the target's own units; 90 % intervals are between quantiles. Log targets are for positive ones.
Needs catboost, lightgbm, ngboost, quantile-forest and skrub, and leaves out those that are not installed.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _report import RESULTS, figure, write
from matplotlib.ticker import LogLocator, NullLocator
from peers.tables import LEVELS, PEERS, Told
from tqdm.auto import tqdm

MAX_ROWS = 12_000


def split(path: Path) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]:
    """Features and targets to fit and to test."""
    table = pd.read_parquet(path)
    table = table.iloc[np.random.default_rng(0).permutation(len(table))[:MAX_ROWS]].reset_index(drop=True)
    n_train = len(table) - len(table) // 5
    X, y = table.drop(columns="target"), table["target"].to_numpy(float)
    return X.iloc[:n_train], y[:n_train], X.iloc[n_train:], y[n_train:]


def scores(told: Told, y: np.ndarray) -> dict[str, float]:
    error = y[:, None] - told.quantiles
    pinball = np.maximum(LEVELS * error, (LEVELS - 1) * error).mean()
    low, high = (np.array([np.interp(level, LEVELS, row) for row in told.quantiles]) for level in (0.05, 0.95))
    return {
        "nll": float(-told.log_density.mean()),
        "crps": float(2 * pinball / y.std()),
        "rmse": float(np.sqrt(np.square(y - told.mean).mean()) / y.std()),
        "coverage_90": float(((low <= y) & (y <= high)).mean()),
    }


def draw(rows: list[dict]) -> None:
    """CRPS relative to the best of a table, one point a model and table."""
    tables = sorted({row["data"] for row in rows})
    picture, ax = figure(figsize=(8, 5))
    best = {name: min(float(row["crps"]) for row in rows if row["data"] == name) for name in tables}
    for model in PEERS:
        own = {row["data"]: float(row["crps"]) / best[row["data"]] for row in rows if row["model"] == model}
        ours = model.startswith("CMANP")
        ax.plot(
            [own.get(name, np.nan) for name in tables],
            range(len(tables)),
            "o" if ours else ".",
            color="black" if ours else None,
            markersize=9 if ours else 7,
            label=model,
        )
    ax.set(yticks=range(len(tables)), yticklabels=tables, xscale="log", xlabel="CRPS / the table's best")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.legend(fontsize=8)
    picture.savefig(RESULTS / "tables.png", dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", help="only these; the other results of the file stay")
    parser.add_argument("--data", nargs="+", help="only these")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for path in sorted(arguments.folder.glob("*.parquet")):
        if arguments.data and path.stem not in arguments.data:
            continue
        X, y, X_test, y_test = split(path)
        for name, peer in tqdm(PEERS.items(), desc=path.stem):
            if arguments.models and name not in arguments.models:
                continue
            if "log y" in name and min(y.min(), y_test.min()) <= 0:
                continue
            start = time.process_time()
            try:
                told = peer(X, y, X_test, y_test)
            except ImportError:
                continue
            seconds = time.process_time() - start
            row = {"data": path.stem, "rows": len(y), "columns": X.shape[1], "model": name, **scores(told, y_test)}
            rows = write("tables", [{**row, "cpu_seconds": seconds}], keys=("data", "model"))
    draw(rows)


if __name__ == "__main__":
    main()
