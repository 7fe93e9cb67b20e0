"""Accuracy on real tables, beside scikit-learn's own regressors.

Diabetes (442 rows, 10 features), 5-fold cross-validation repeated 4 times; and, given a folder
with their files, UCI sets with the first of their standard splits:
``python benchmarks/accuracy.py [--uci FOLDER]``. NLL in nats per
row, in the target's own units; lower is better. The std of models that have
none is that of inner out-of-fold residuals. The exact Gaussian process is left out where there
are more than 2,000 rows.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _report import write
from scipy.stats import norm
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_diabetes
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import BayesianRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import RepeatedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from skcmanp import CMANPRegressor

UCI = ["bostonHousing", "concrete", "energy", "wine-quality-red", "yacht", "airfoil", "pol"]
GP_ROWS = 2000
Splits = list[tuple[np.ndarray, np.ndarray]]


def gaussian_process(n_features: int) -> Pipeline:
    """With a length-scale per feature, tuned by evidence."""
    kernel = ConstantKernel() * Matern(np.ones(n_features), (1e-2, 1e3), nu=2.5) + WhiteKernel(0.1)
    return make_pipeline(StandardScaler(), GaussianProcessRegressor(kernel, normalize_y=True, random_state=0))


def models(n_features: int) -> dict[str, BaseEstimator]:
    return {
        "CMANPRegressor()": CMANPRegressor(),
        "constant": DummyRegressor(),
        "BayesianRidge": BayesianRidge(),
        "RandomForest": RandomForestRegressor(random_state=0),
        "HistGradientBoosting": HistGradientBoostingRegressor(random_state=0),
        "GP (ARD Matern-5/2)": gaussian_process(n_features),
    }


def tables(folder: Path | None, n_splits: int) -> Iterator[tuple[str, np.ndarray, np.ndarray, Splits]]:
    """Name, features, target and splits of every table."""
    X, y = load_diabetes(return_X_y=True)
    yield "diabetes", X, y, list(RepeatedKFold(n_splits=5, n_repeats=4, random_state=0).split(X))
    for name in [] if folder is None else UCI:
        data = np.load(folder / f"{name}.npz")
        X, y = data["X"], data["y"]
        if "test_idx" in data:
            tests = list(data["test_idx"])
        else:  # a column of bits for each split
            tests = [np.flatnonzero(column) for column in np.unpackbits(data["test_mask_packed"], axis=0)[: len(y)].T]
        yield name, X, y, [(np.setdiff1d(np.arange(len(y)), test), test) for test in tests[:n_splits]]


def add_table_options(parser: argparse.ArgumentParser, n_splits: int = 5) -> None:
    """What `tables` needs to be told: ``--uci`` and ``--splits``."""
    parser.add_argument("--uci", type=Path, help="folder of the UCI sets")
    parser.add_argument("--splits", type=int, default=n_splits, help="of each UCI set")


def predictive(model: BaseEstimator, X_train: np.ndarray, y_train: np.ndarray, X_test: np.ndarray) -> tuple:
    """Mean and standard deviation."""
    if isinstance(model, (DummyRegressor, RandomForestRegressor, HistGradientBoostingRegressor)):
        residual = y_train - cross_val_predict(clone(model), X_train, y_train, cv=5)
        return model.predict(X_test), np.full(len(X_test), residual.std())
    return model.predict(X_test, return_std=True)


def score(mean: np.ndarray, std: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Log-likelihood, RMSE and coverage of 90 % intervals."""
    covered = np.abs(y - mean) < norm.ppf(0.95) * std
    return float(norm.logpdf(y, mean, std).mean()), float(np.square(y - mean).mean() ** 0.5), float(covered.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_table_options(parser, n_splits=10)
    parser.add_argument("--models", nargs="+", help="only these; the other results of the file stay")
    parser.add_argument("--data", nargs="+", help="only these")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # length-scales of idle features go to their bound
    rows = []
    for data, X, y, splits in tables(arguments.uci, arguments.splits):
        if arguments.data and data not in arguments.data:
            continue
        for name, model in models(X.shape[1]).items():
            if (arguments.models and name not in arguments.models) or (name.startswith("GP") and len(y) > GP_ROWS):
                continue
            scores, start = [], time.perf_counter()
            for train, test in tqdm(splits, desc=f"{data}, {name}"):
                fitted = clone(model).fit(X[train], y[train])
                mean, std = predictive(fitted, X[train], y[train], X[test])
                likelihood, rmse, coverage = score(mean, std, y[test])
                if isinstance(fitted, CMANPRegressor):  # whose targets may be bent
                    likelihood = fitted.log_prob(X[test], y[test]).mean()
                    low, high = fitted.predict(X[test], interval=0.9).T
                    coverage = np.mean((low <= y[test]) & (y[test] <= high))
                scores.append((r2_score(y[test], mean), rmse, -likelihood, coverage))
            seconds = (time.perf_counter() - start) / len(splits)
            r2, rmse, nll, coverage = np.mean(scores, axis=0)
            r2_error, rmse_error, nll_error, _ = np.std(scores, axis=0, ddof=1) / np.sqrt(len(splits))
            rows.append(
                {
                    "data": data,
                    "splits": len(splits),
                    "model": name,
                    "r2": float(r2),
                    "r2_se": float(r2_error),
                    "rmse": float(rmse),
                    "rmse_se": float(rmse_error),
                    "nll": float(nll),
                    "nll_se": float(nll_error),
                    "coverage_90": float(coverage),
                    "seconds_per_split": seconds,
                }
            )
    write("accuracy", rows, keys=("data", "model"))


if __name__ == "__main__":
    main()
