"""Meta-training on a family of real data sets: days of electricity demand from 10 readings.

A data set is a day of Victoria's electricity demand, half hour by half hour, with time of day and
temperature as features. One network is trained on Gaussian processes alone; a
copy of it goes on with the days of 2012 and 2013, another with as many more
steps of Gaussian processes. Both then read 10 random half hours of each day of
2014 and predict the others, beside a Gaussian process fitted to the same 10.
``python benchmarks/datasets.py STREAMS``, with the folder of ``vic_elec.parquet``.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _report import RESULTS, figure, write
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from tqdm.auto import tqdm

from skcmanp import CMANP, CMANPConfig, CMANPRegressor, TrainingOptions, meta_train
from skcmanp.tasks import DatasetTasks, FunctionTasks, RandomGP, TaskGenerator
from skcmanp.training import initialize

CONFIG = CMANPConfig(
    dim_x=2,
    n_blocks=3,
    n_block_latents=32,
    n_input_latents=32,
    fourier_features=32,
    fourier_scales=(0.3, 6.0),
    count_input=True,
    max_count=40.0,
    input_limit=4.0,
    min_std=0.005,
)
N_CONTEXT = 10
UNITS = np.array([7.0, 6.0])  # hours and degrees, about their standard deviations


def days(folder: Path) -> dict[pd.Timestamp, tuple[np.ndarray, np.ndarray]]:
    """Features (hour, temperature), in `UNITS`, and demand in MW of every whole day."""
    frame = pd.read_parquet(folder / "vic_elec.parquet")
    local = pd.to_datetime(frame["Time"], utc=True).dt.tz_convert("Australia/Melbourne")
    frame = frame.assign(Hour=local.dt.hour + local.dt.minute / 60, Day=local.dt.normalize().dt.tz_localize(None))
    groups = {day: rows for day, rows in frame.groupby("Day") if len(rows) == 48}
    return {day: (r[["Hour", "Temperature"]].to_numpy() / UNITS, r["Demand"].to_numpy()) for day, r in groups.items()}


def train(name: str, tasks: TaskGenerator, steps: int, runs: Path, start: CMANP | None = None) -> CMANP:
    torch.manual_seed(0)
    model = CMANP(CONFIG)
    if start is None:
        initialize(model, tasks)
    else:
        model.load_state_dict(start.state_dict())
    options = TrainingOptions(steps=steps, warmup=200, evaluate_every=500)
    if start is not None:
        options = dataclasses.replace(options, learning_rate=5e-4, cooldown=1.0)
    folder = runs / name
    folder.mkdir(parents=True, exist_ok=True)
    print(name)
    meta_train(model, tasks, options, state_path=folder / "state.pt", log_path=folder / "log.jsonl")
    return model


def gaussian_process() -> GaussianProcessRegressor:
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF([1.0, 1.0], (0.05, 50)) + WhiteKernel(0.1, (1e-4, 1e1))
    return GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=2, random_state=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("streams", type=Path)
    parser.add_argument("--steps", type=int, default=4000, help="on Gaussian processes")
    parser.add_argument("--more", type=int, default=2000, help="on days, or on more Gaussian processes")
    parser.add_argument("--runs", type=Path, default=Path("runs/datasets"))
    arguments = parser.parse_args()

    data = days(arguments.streams)
    seen = [rows for day, rows in data.items() if day.year < 2014]
    held_out = {day: rows for day, rows in data.items() if day.year == 2014}
    processes = FunctionTasks([RandomGP()], dim_x=2, n_context=(1, 40), n_target=8, noise=(0.02, 0.5))
    own = DatasetTasks(seen, n_context=(1, 40), n_target=8)

    base = train("processes", processes, arguments.steps, arguments.runs)
    models = {
        "CMANP, Gaussian processes only": train("processes-more", processes, arguments.more, arguments.runs, base),
        "CMANP, then days of 2012 and 2013": train("days", own, arguments.more, arguments.runs, base),
    }
    regressors = {name: CMANPRegressor(checkpoint=model, dtype="float32") for name, model in models.items()}
    regressors["GaussianProcessRegressor"] = gaussian_process()

    rng = np.random.default_rng(0)
    scores: dict[str, list[tuple[float, float, float]]] = {name: [] for name in regressors}
    seconds = dict.fromkeys(regressors, 0.0)
    shown: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    example = pd.Timestamp("2014-01-16")  # in a heat wave
    for day, (x, y) in tqdm(held_out.items()):
        context, targets = np.split(rng.permutation(48), [N_CONTEXT])
        for name, regressor in regressors.items():
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                regressor.fit(x[context], y[context])
                mean, std = regressor.predict(x[targets], return_std=True)
            seconds[name] += time.perf_counter() - start
            nll = -norm.logpdf(y[targets], mean, std).mean()
            error = float(np.square(y[targets] - mean).mean())
            covered = float((np.abs(y[targets] - mean) < 1.6449 * std).mean())
            scores[name].append((nll, error, covered))
            if day == example:
                shown[name] = regressor.predict(x, return_std=True)
                shown["context"] = x[context, 0] * UNITS[0], y[context]

    rows = []
    for name, values in scores.items():
        nll, error, covered = np.array(values).T
        rows.append(
            {
                "model": name,
                "days": len(nll),
                "nll": float(nll.mean()),
                "nll se": float(nll.std(ddof=1) / len(nll) ** 0.5),
                "rmse MW": float(error.mean() ** 0.5),
                "coverage_90": float(covered.mean()),
                "ms per day": 1e3 * seconds[name] / len(nll),
            }
        )
    write("datasets", rows)

    picture, axes = figure(1, len(regressors), figsize=(13, 3.8), sharey=True)
    hours, truth = held_out[example][0][:, 0] * UNITS[0], held_out[example][1]
    for ax, name in zip(axes, regressors, strict=True):
        mean, std = shown[name]
        ax.fill_between(hours, mean - 1.6449 * std, mean + 1.6449 * std, alpha=0.25, linewidth=0, label="90 % interval")
        ax.plot(hours, mean, label="mean")
        ax.plot(hours, truth, color="black", linewidth=1, label="demand")
        ax.plot(*shown["context"], "o", color="black", markersize=5, label="the 10 half hours that it read")
        ax.set(title=name, xlabel="hour of 16 January 2014")
    axes[0].set_ylabel("electricity demand, MW")
    axes[0].legend(fontsize=8)
    picture.savefig(RESULTS / "datasets.png", dpi=120)


if __name__ == "__main__":
    main()
