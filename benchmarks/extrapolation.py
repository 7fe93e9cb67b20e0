"""Beyond the edge of the data: are intervals honest where there are no rows?

Random functions with a trend in one feature and steps or curves in two others,
or linear in all, from 400 rows in [-1, 1]^3 with noise of 0.2; predicted at
some distance beyond the edge in the trend's direction:
``python benchmarks/extrapolation.py [--functions N]``. Coverage is that of 90 %
intervals; RMSE is relative to that of `BayesianRidge` on the same linear functions.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import numpy as np
from _report import write
from accuracy import models, predictive, score
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from tqdm.auto import tqdm

DISTANCES = (0.1, 0.3, 0.6, 1.0, 2.0)
NOISE = 0.2
CHOSEN = ("CMANPRegressor()", "BayesianRidge", "HistGradientBoosting", "GP (ARD Matern-5/2)")


def random_function(rng: np.random.Generator, linear: bool) -> Callable[[np.ndarray], np.ndarray]:
    """A trend in the first feature; lines, or a step and a curve, in the others."""
    a, b, c = 3 * rng.normal(size=3)
    if linear:
        return lambda X: X @ [a, b, c]
    return lambda X: a * X[:, 0] + b * np.sign(X[:, 1]) + c * np.sin(3 * X[:, 2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functions", type=int, default=24, help="half of them linear")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    scores: dict[tuple[str, float, bool], list[tuple[float, float, float]]] = {}
    for i in tqdm(range(arguments.functions)):
        rng, linear = np.random.default_rng(i), i % 2 == 1
        f = random_function(rng, linear)
        X = rng.uniform(-1, 1, (400, 3))
        y = f(X) + NOISE * rng.normal(size=400)
        beyond = {d: np.column_stack([np.full(400, 1 + d), X[:, 1:]]) for d in DISTANCES}
        y_beyond = {d: f(rows) + NOISE * rng.normal(size=400) for d, rows in beyond.items()}
        for name in CHOSEN:
            fitted = clone(models(3)[name]).fit(X, y)
            for d in DISTANCES:
                mean, std = predictive(fitted, X, y, beyond[d])
                scores.setdefault((name, d, linear), []).append(score(mean, std, y_beyond[d]))
    rows = []
    for name in CHOSEN:
        for d in DISTANCES:
            both = np.array(scores[name, d, False] + scores[name, d, True])
            rmse, reference = (np.array(scores[model, d, True])[:, 1] for model in (name, "BayesianRidge"))
            rows.append(
                {
                    "model": name,
                    "beyond": d,
                    "functions": arguments.functions,
                    "coverage_90": float(both[:, 2].mean()),
                    "smallest_coverage": float(both[:, 2].min()),
                    "nll": float(-both[:, 0].mean()),
                    "nll_se": float(both[:, 0].std(ddof=1) / len(both) ** 0.5),
                    "linear_rmse_ratio": float((rmse / reference).mean()),
                }
            )
    write("extrapolation", rows)


if __name__ == "__main__":
    main()
