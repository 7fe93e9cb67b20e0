"""A first look at accuracy on a real table, beside scikit-learn's own.

Diabetes (442 rows, 10 features), 5-fold cross-validation repeated 4 times:
``python benchmarks/accuracy.py``. NLL in nats per row, lower is better.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from _report import write
from scipy.stats import norm
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import BayesianRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import RepeatedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcmanp import CMANPRegressor

GP = GaussianProcessRegressor(RBF(np.ones(10)) + WhiteKernel(), normalize_y=True, random_state=0)
MODELS = {
    "CMANPRegressor()": CMANPRegressor(),
    "constant": DummyRegressor(),
    "BayesianRidge": BayesianRidge(),
    "RandomForest": RandomForestRegressor(random_state=0),
    "GP (ARD RBF)": make_pipeline(StandardScaler(), GP),
}


def predictive(model, X_train, y_train, X_test):
    """Mean and std; the std of models that have none is that of inner out-of-fold residuals."""
    if isinstance(model, (DummyRegressor, RandomForestRegressor)):
        residual = y_train - cross_val_predict(clone(model), X_train, y_train, cv=5)
        return model.predict(X_test), np.full(len(X_test), residual.std())
    return model.predict(X_test, return_std=True)


def main() -> None:
    warnings.simplefilter("ignore", ConvergenceWarning)  # length-scales of idle features go to their bound
    X, y = load_diabetes(return_X_y=True)
    folds = list(RepeatedKFold(n_splits=5, n_repeats=4, random_state=0).split(X))
    rows = []
    for name, model in MODELS.items():
        scores, start = [], time.perf_counter()
        for train, test in folds:
            fitted = clone(model).fit(X[train], y[train])
            mean, std = predictive(fitted, X[train], y[train], X[test])
            covered = np.abs(y[test] - mean) < norm.ppf(0.95) * std
            scores.append((r2_score(y[test], mean), -norm.logpdf(y[test], mean, std).mean(), covered.mean()))
        seconds = (time.perf_counter() - start) / len(folds)
        r2, nll, coverage = np.mean(scores, axis=0)
        r2_error, nll_error, _ = np.std(scores, axis=0, ddof=1) / np.sqrt(len(folds))
        rows.append(
            {
                "model": name,
                "r2": float(r2),
                "r2_se": float(r2_error),
                "nll": float(nll),
                "nll_se": float(nll_error),
                "coverage_90": float(coverage),
                "seconds_per_fold": seconds,
            }
        )
    write("accuracy", rows)


if __name__ == "__main__":
    main()
