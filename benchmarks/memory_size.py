"""What more features of the conjugate memory buy, and what they cost: accuracy, state, seconds.

The shipped ``tabular`` with memories of other sizes than its own, on real tables:
``python benchmarks/memory_size.py [--uci FOLDER]``. Fits are from nothing, adaptation included.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from _report import RESULTS, figure, standard_error, write
from accuracy import add_table_options, score, tables
from tqdm.auto import tqdm

from skcmanp import CMANPRegressor

SIZES = (96, 128, 256, 448, 640, 896)


def measure(regressor: CMANPRegressor, X: np.ndarray, y: np.ndarray, splits: list) -> dict[str, float]:
    """Mean scores over splits, and what a fit took."""
    nll, rmse, seconds = [], [], []
    for train, test in splits:
        start = time.perf_counter()
        regressor.fit(X[train], y[train])
        seconds.append(time.perf_counter() - start)
        mean, std = regressor.predict(X[test], return_std=True)
        likelihood, error, _ = score(mean, std, y[test])
        nll.append(-likelihood)
        rmse.append(error)
    parts = {part.name: part for part in regressor.context_.adaptation.parts}
    return {
        "nll": float(np.mean(nll)),
        "nll se": standard_error(np.array(nll)),
        "rmse": float(np.mean(rmse)),
        "inducing points": parts["inducing_points"].n_features,
        "state bytes": regressor.context_.nbytes,
        "seconds to fit": float(np.median(seconds)),
    }


def draw(rows: list[dict]) -> None:
    """NLL and RMSE beside those of the shipped size, and the state's."""
    picture, (ax_nll, ax_rmse, ax_bytes) = figure(1, 3, figsize=(13, 4))
    for data in dict.fromkeys(row["data"] for row in rows):
        of_data = [row for row in rows if row["data"] == data]
        shipped = next(row for row in of_data if row["features"] == 448)
        size = [row["features"] for row in of_data]
        ax_nll.plot(size, [row["nll"] - shipped["nll"] for row in of_data], marker="o", label=data)
        ax_rmse.plot(size, [row["rmse"] / shipped["rmse"] for row in of_data], marker="o")
        ax_bytes.plot(size, [row["state bytes"] / 1e6 for row in of_data], marker="o")
    ax_nll.set(title="NLL compared with 448 features", ylabel="nats per row", ylim=(-0.4, 0.8))
    ax_rmse.set(title="RMSE compared with 448 features", ylabel="ratio", ylim=(0.7, 1.6))
    ax_bytes.set(title="state", ylabel="MB")
    for ax in (ax_nll, ax_rmse, ax_bytes):
        ax.set_xlabel("features of the memory")
        ax.grid(alpha=0.3)
    ax_nll.legend(fontsize=8)
    picture.savefig(RESULTS / "memory_size.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_table_options(parser)
    arguments = parser.parse_args()
    rows = []
    for data, X, y, splits in tables(arguments.uci, arguments.splits):
        for size in tqdm(SIZES, desc=data):
            regressor = CMANPRegressor("tabular", memory_features=size)
            scores = measure(regressor, X, y, splits[: arguments.splits])
            rows.append({"data": data, "features": size, "splits": min(len(splits), arguments.splits), **scores})
    write("memory_size", rows)
    draw(rows)


if __name__ == "__main__":
    main()
