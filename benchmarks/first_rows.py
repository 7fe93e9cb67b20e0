"""What it is worth that effects of features are found in the first rows, that points move, and that noise varies.

The default as it is, and with each of that left out: no effects, points that stay rows, noise that is taken for
constant; and with none of it. On real tables, ``python benchmarks/first_rows.py [--uci FOLDER]``, and on a made-up one
whose noise grows 13-fold along a feature (1,000 rows read, 2,000 predicted; five draws).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from itertools import chain
from typing import Any
from unittest.mock import patch

import numpy as np
from _report import standard_error, write
from accuracy import Splits, add_table_options, score, tables
from tqdm.auto import tqdm

from skcmanp import CMANPRegressor
from skcmanp.process import Process, constant_noise, fit_process


def points_stay(x: np.ndarray, y: np.ndarray, weight: np.ndarray, points: np.ndarray, *others: Any) -> Process:
    return fit_process(x, y, weight, points, *others)._replace(points=points)


def noise_constant(x: np.ndarray, *others: Any) -> Process:
    return fit_process(x, *others)._replace(noise=constant_noise(x.shape[1]))


def nothing(x: np.ndarray, y: np.ndarray, weight: np.ndarray, points: np.ndarray, *others: Any) -> Process:
    return Process(points, constant_noise(x.shape[1]))


def no_cosines(n_features: int, n_points: int) -> int:
    return 0


# What takes the place of functions in `skcmanp.scaling`.
VARIANTS: dict[str, dict[str, Callable[..., Any]]] = {
    "all": {},
    "no effects": {"n_cosines": no_cosines},
    "points stay": {"fit_process": points_stay},
    "constant noise": {"fit_process": noise_constant},
    "none": {"n_cosines": no_cosines, "fit_process": nothing},
}


def swelling() -> tuple[str, np.ndarray, np.ndarray, Splits]:
    """Noise whose standard deviation grows 13-fold along the first of three features."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (3000, 3))
    y = 2 * np.sin(3 * X[:, 0]) + 4 * X[:, 1] + np.exp(1.3 * np.sin(2.5 * X[:, 0])) * rng.normal(size=len(X))
    splits = [np.split(rng.permutation(len(X)), [1000]) for _ in range(5)]
    return "swelling noise", X, y, [(train, test) for train, test in splits]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_table_options(parser)
    arguments = parser.parse_args()
    rows = []
    for data, X, y, splits in chain([swelling()], tables(arguments.uci, arguments.splits)):
        baseline: np.ndarray | None = None
        for name, variant in tqdm(VARIANTS.items(), desc=data):
            scores = []
            for train, test in splits[: arguments.splits]:
                with ExitStack() as stack:
                    for function, other in variant.items():
                        stack.enter_context(patch(f"skcmanp.scaling.{function}", other))
                    regressor = CMANPRegressor().fit(X[train], y[train])
                scores.append(score(*regressor.predict(X[test], return_std=True), y[test]))
            likelihood, rmse, coverage = np.array(scores).T
            baseline = -likelihood if baseline is None else baseline
            rows.append(
                {
                    "data": data,
                    "variant": name,
                    "splits": len(scores),
                    "nll": float(-likelihood.mean()),
                    "nll se": standard_error(-likelihood),
                    "beyond all": float((-likelihood - baseline).mean()),
                    "beyond all se": standard_error(-likelihood - baseline),
                    "rmse": float(rmse.mean()),
                    "coverage_90": float(coverage.mean()),
                }
            )
    write("first_rows", rows)


if __name__ == "__main__":
    main()
