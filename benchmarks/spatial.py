"""A large map: surface temperatures at 105,569 places are read, those at 44,431 others are predicted.

The simulated data of a comparison of methods (Heaton et al., "A case study competition among methods for analyzing
large spatial data", 2019), with its split and its scores: ``python benchmarks/spatial.py FOLDER``, with
``heaton_simulated_temps.npz``. Many of the places that are predicted lie together, under clouds. Rows are read in
random order, in chunks; the first of 2,048 fixes what is fixed. Intervals are of 95 %. The exact Gaussian process has
the smoothness of the greatest evidence on 1,000 random rows, is tuned on these, and fitted to 2,000. The std of
neighbours and of boosting is that of out-of-fold residuals, whose five fits count.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from _fields import Completion, complete, neighbours
from _report import RESULTS, figure, write
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from skcmanp import CMANPRegressor
from skcmanp.metrics import gaussian_crps, gaussian_nll, interval_coverage, interval_score

GP_TUNED, GP_ROWS = 1000, 2000
SHAPE = (300, 500)


def tuned_process(X: np.ndarray, y: np.ndarray) -> Pipeline:
    """A Gaussian process with length-scales and smoothness by evidence, not fitted again to more rows."""
    fitted = []
    for nu in (0.5, 1.5, 2.5):
        kernel = ConstantKernel() * Matern(np.ones(2), (1e-2, 1e2), nu=nu) + WhiteKernel(0.1, (1e-6, 1e1))
        process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
        fitted.append(make_pipeline(StandardScaler(), process).fit(X, y)[-1])
    best = max(fitted, key=lambda process: process.log_marginal_likelihood_value_)
    return make_pipeline(StandardScaler(), clone(best).set_params(kernel=best.kernel_, optimizer=None))


def scores(y: np.ndarray, result: Completion) -> dict[str, float]:
    """Those of the comparison, and the negative log-likelihood."""
    error = y - result.mean
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.square(error).mean() ** 0.5),
        "crps": float(gaussian_crps(y, result.mean, result.std)),
        "interval_score_95": float(interval_score(y, result.mean, result.std, confidence=0.95)),
        "coverage_95": float(interval_coverage(y, result.mean, result.std, confidence=0.95)),
        "nll": float(gaussian_nll(y, result.mean, result.std)),
    }


def draw(lon: np.ndarray, lat: np.ndarray, temp: np.ndarray, test: np.ndarray, result: Completion, name: str) -> None:
    """What was read, and truth, mean and std at the other places."""
    picture, axes = figure(1, 4, figsize=(17, 3.1))
    limits = {"vmin": float(temp.min()), "vmax": float(temp.max())}
    mean, std = np.full(len(temp), np.nan), np.full(len(temp), np.nan)
    mean[test], std[test] = result.mean, result.std
    panels = {
        "read: 105,569 places": (np.where(test, np.nan, temp), {"cmap": "inferno", **limits}),
        "truth at 44,431 others": (np.where(test, temp, np.nan), {"cmap": "inferno", **limits}),
        "predicted mean": (mean, {"cmap": "inferno", **limits}),
        "predicted std": (std, {"cmap": "viridis", "vmin": 0.0, "vmax": float(np.quantile(result.std, 0.995))}),
    }
    for ax, (title, (values, style)) in zip(axes, panels.items(), strict=True):
        mesh = ax.pcolormesh(*(v.reshape(SHAPE) for v in (lon, lat, values)), rasterized=True, **style)
        ax.set(title=title, aspect="equal", xlabel="longitude")
        picture.colorbar(mesh, ax=ax, shrink=0.9, label="degrees Celsius")
    axes[0].set_ylabel("latitude")
    picture.suptitle(f"{name}, a state of {result.nbytes / 1e6:.1f} MB")
    picture.savefig(RESULTS / "spatial.png", dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of heaton_simulated_temps.npz")
    folder = parser.parse_args().folder
    warnings.simplefilter("ignore", ConvergenceWarning)
    with np.load(folder / "heaton_simulated_temps.npz") as data:
        lon, lat, temp, train, test = (data[key] for key in ("lon", "lat", "temp", "is_train", "is_test"))
    temp = temp.astype(float)
    places = np.c_[lon, lat]
    order = np.random.default_rng(0).permutation(np.flatnonzero(train))
    X, y = places[order], temp[order]

    begun, cpu = time.perf_counter(), time.process_time()
    process = tuned_process(X[:GP_TUNED], y[:GP_TUNED])
    tuning, tuning_cpu = time.perf_counter() - begun, time.process_time() - cpu
    models = {
        "CMANPRegressor()": CMANPRegressor(),
        "CMANPRegressor, memory of 1,200": CMANPRegressor("tabular", memory_features=1200),
        "CMANPRegressor, field-2d": CMANPRegressor("field-2d"),
        f"GP (Matern-{process[-1].kernel.k1.k2.nu:g}) of 2,000 rows": process,
        "8 neighbours": neighbours(),
        "HistGradientBoosting": HistGradientBoostingRegressor(random_state=0),
    }
    rows, results = [], {}
    for name, model in tqdm(models.items()):
        n = GP_ROWS if model is process else len(X)
        result = results[name] = complete(model, X[:n], y[:n], places[test])
        if model is process:
            result.read_seconds += tuning
            result.cpu_seconds += tuning_cpu
        rows.append({"model": name, "rows": n, **scores(temp[test], result), **result.costs})
    write("spatial", rows)
    best = min((row for row in rows if row["model"].startswith("CMANP")), key=lambda row: row["crps"])["model"]
    draw(lon, lat, temp, test, results[best], best)


if __name__ == "__main__":
    main()
