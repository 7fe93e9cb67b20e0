"""Regressors of tables as people have them, each as its users use it: distributions of the targets of rows.

Those that predict no distribution get the std of out-of-fold residuals. What needs numbers gets ordinal codes and
medians, what takes categories and missing values gets these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import BayesianRidge
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from skcmanp import CMANPRegressor

LEVELS = (np.arange(100) + 0.5) / 100
MAX_LEVELS = 250  # of a category of HistGradientBoosting


class Told(NamedTuple):
    """What is said of the targets of rows."""

    mean: np.ndarray  # (n,)
    quantiles: np.ndarray  # (n, 100)
    log_density: np.ndarray  # of the targets, (n,)


def normal(mean: np.ndarray, std: np.ndarray | float, y: np.ndarray) -> Told:
    std = np.broadcast_to(std, mean.shape)
    return Told(mean, mean[:, None] + std[:, None] * norm.ppf(LEVELS), norm.logpdf(y, mean, std))


def log_normal(mean: np.ndarray, std: float, y: np.ndarray) -> Told:
    """Of predictions of log(y)."""
    told = normal(mean, std, np.log(y))
    return Told(np.exp(mean + std**2 / 2), np.exp(told.quantiles), told.log_density - np.log(y))


def typed(X: pd.DataFrame) -> pd.DataFrame:
    """Text as categories, dates as numbers."""
    X = X.copy()
    for name in X.columns:
        if X[name].dtype.kind == "M":
            X[name] = X[name].astype("int64")
        elif not pd.api.types.is_numeric_dtype(X[name]):
            X[name] = X[name].astype("category")
    return X


def as_numbers() -> Pipeline:
    """Ordinal codes, and medians where values are missing."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    columns = make_column_transformer(
        (encoder, make_column_selector(dtype_exclude="number")), remainder=SimpleImputer(strategy="median")
    )
    return make_pipeline(columns)


def residual_std(model: BaseEstimator, X: pd.DataFrame, y: np.ndarray) -> float:
    return float(np.std(y - cross_val_predict(model, X, y, cv=5)))


def ours(X: pd.DataFrame, y: np.ndarray, X_test: pd.DataFrame, y_test: np.ndarray) -> Told:
    reg = CMANPRegressor().fit(X, y)
    return Told(reg.predict(X_test), reg.predict(X_test, quantiles=LEVELS), reg.log_prob(X_test, y_test))


def boosting(make: Callable[[], BaseEstimator], log: bool = False) -> Callable[..., Told]:
    """Of trees that take categories."""

    def told(X: pd.DataFrame, y: np.ndarray, X_test: pd.DataFrame, y_test: np.ndarray) -> Told:
        both = typed(pd.concat([X, X_test]))
        for name in both.select_dtypes("category"):
            if len(both[name].cat.categories) > MAX_LEVELS:
                both[name] = both[name].cat.codes.astype(float)
        X, X_test = both.iloc[: len(X)], both.iloc[len(X) :]
        z = np.log(y) if log else y
        std, mean = residual_std(make(), X, z), make().fit(X, z).predict(X_test)
        return (log_normal if log else normal)(mean, std, y_test)

    return told


def lightgbm() -> BaseEstimator:
    from lightgbm import LGBMRegressor

    return LGBMRegressor(random_state=0, n_jobs=1, verbose=-1)


def catboost(X: pd.DataFrame, y: np.ndarray, X_test: pd.DataFrame, y_test: np.ndarray) -> Told:
    from catboost import CatBoostRegressor

    X, X_test = typed(X), typed(X_test)
    names = list(X.select_dtypes("category"))
    X, X_test = (
        part.assign(**{n: part[n].astype(object).fillna("missing").astype(str) for n in names}) for part in (X, X_test)
    )
    model = CatBoostRegressor(
        loss_function="RMSEWithUncertainty", cat_features=names, random_seed=0, thread_count=1, verbose=False,
        allow_writing_files=False,
    )  # fmt: skip
    mean, variance = model.fit(X, y).predict(X_test).T
    return normal(mean, np.sqrt(variance), y_test)


def ngboost(X: pd.DataFrame, y: np.ndarray, X_test: pd.DataFrame, y_test: np.ndarray) -> Told:
    from ngboost import NGBRegressor

    numbers = as_numbers()
    found = NGBRegressor(verbose=False, random_state=0).fit(numbers.fit_transform(typed(X)), y)
    told = found.pred_dist(numbers.transform(typed(X_test))).params
    return normal(told["loc"], told["scale"], y_test)


def quantile_forest(X: pd.DataFrame, y: np.ndarray, X_test: pd.DataFrame, y_test: np.ndarray) -> Told:
    from quantile_forest import RandomForestQuantileRegressor

    numbers = as_numbers()
    model = RandomForestQuantileRegressor(random_state=0, min_samples_leaf=5).fit(numbers.fit_transform(typed(X)), y)
    quantiles = model.predict(numbers.transform(typed(X_test)), quantiles=list(LEVELS))
    mean = quantiles.mean(axis=1)
    std = np.maximum(quantiles.std(axis=1), 1e-3 * y.std())  # leaves may be pure
    return Told(mean, quantiles, norm.logpdf(y_test, mean, std))


def bayesian_ridge(X: pd.DataFrame, y: np.ndarray, X_test: pd.DataFrame, y_test: np.ndarray) -> Told:
    from skrub import tabular_pipeline

    model = tabular_pipeline(BayesianRidge()).fit(X, y)
    return normal(*model.predict(X_test, return_std=True), y_test)


def hist_gradient_boosting() -> BaseEstimator:
    return HistGradientBoostingRegressor(random_state=0, categorical_features="from_dtype")


PEERS: dict[str, Callable[..., Told]] = {
    "CMANPRegressor()": ours,
    "HistGradientBoosting": boosting(hist_gradient_boosting),
    "HistGradientBoosting, log y": boosting(hist_gradient_boosting, log=True),
    "LightGBM": boosting(lightgbm),
    "CatBoost, with uncertainty": catboost,
    "NGBoost": ngboost,
    "quantile-forest": quantile_forest,
    "skrub + BayesianRidge": bayesian_ridge,
}
