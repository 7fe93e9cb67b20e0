"""Does the order of the features matter? It should not, but networks are not exactly symmetric in them.

For the first split of every table, predictions after fitting with the columns in random orders, beside
those with the columns as they are: how far apart, and what it means for the scores. As a yardstick, how
far apart are predictions after leaving out a random tenth of the training rows.
``python benchmarks/feature_order.py [--uci FOLDER]``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _report import write
from accuracy import tables
from scipy.stats import norm

from skcmanp import CMANPRegressor

Prediction = tuple[np.ndarray, np.ndarray]


def compare(X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, n_orders: int) -> dict[str, float]:
    """How far predictions in other orders of the columns are from those in the given one."""
    rng = np.random.default_rng(0)
    given = np.arange(X.shape[1])

    def predict(columns: np.ndarray, kept: np.ndarray) -> Prediction:
        regressor = CMANPRegressor().fit(X[np.ix_(kept, columns)], y[kept])
        return regressor.predict(X[np.ix_(test, columns)], return_std=True)

    mean, std = predict(given, train)
    orders = [predict(rng.permutation(given), train) for _ in range(n_orders)]
    fewer = [predict(given, rng.permutation(train)[: int(0.9 * len(train))]) for _ in range(n_orders)]

    def change(predictions: list[Prediction]) -> float:
        return float(np.mean([np.square((m - mean) / std).mean() for m, _ in predictions]) ** 0.5)

    nll = [float(-norm.logpdf(y[test], *prediction).mean()) for prediction in orders]
    return {
        "rms change of mean / std": change(orders),
        "with a tenth of the rows left out": change(fewer),
        "rms change of log std": float(np.mean([np.square(np.log(s / std)).mean() for _, s in orders]) ** 0.5),
        "nll": float(-norm.logpdf(y[test], mean, std).mean()),
        "lowest nll": min(nll),
        "highest nll": max(nll),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uci", type=Path, help="folder of the UCI sets")
    parser.add_argument("--orders", type=int, default=10)
    arguments = parser.parse_args()
    rows = [
        {
            "data": data,
            "features": X.shape[1],
            "orders": arguments.orders,
            **compare(X, y, *splits[0], arguments.orders),
        }
        for data, X, y, splits in tables(arguments.uci, 1)
    ]
    write("feature_order", rows)


if __name__ == "__main__":
    main()
