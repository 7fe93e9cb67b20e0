"""What operations cost, beside other regressors, the machine's matrix product and another commit.

Every operation runs in turns here, in another checkout (``--against FOLDER``) and with ``--busy`` also here while one
core is kept busy, so that all see the same machine. Figures are medians: of processor time, or of wall-clock time with
``--wall`` or ``--busy``. One thread unless ``--threads`` says otherwise:
``python benchmarks/speed.py --against ../parent``.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parents[1]
FEATURES = 448  # of the default checkpoint's memory

Operation = tuple[int, Callable[[], object]]  # how many rows, fits or products it does, and what does them


def made_rows(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """A function of two of the features, and noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d))
    return x, np.sin(2 * x[:, 0]) + 0.3 * x[:, -1] ** 2 + 0.2 * rng.normal(size=n)


def small_models() -> dict[str, Any]:
    """Regressors of small tables, by name."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, WhiteKernel
    from sklearn.linear_model import BayesianRidge

    from skcmanp import CMANPRegressor

    process = GaussianProcessRegressor(RBF() + WhiteKernel(), normalize_y=True)
    return {"Bayesian ridge": BayesianRidge(), "Gaussian process": process, "CMANPRegressor": CMANPRegressor()}


def operations() -> dict[str, Callable[[], Operation]]:
    """All operations by name; what they start from is made at their first call."""
    import torch
    from sklearn.ensemble import HistGradientBoostingRegressor

    from skcmanp import CMANPRegressor

    def row_at_a_time(dtype: str, d: int) -> Operation:
        x, y = made_rows(4000, d)
        reg, at = CMANPRegressor(dtype=dtype).fit(x[:1000], y[:1000]), iter(np.resize(np.arange(1000, 4000), 10**6))

        def run() -> None:
            for i in (next(at) for _ in range(50)):
                reg.predict(x[i : i + 1], return_std=True)
                reg.partial_fit(x[i : i + 1], y[i : i + 1])

        run()
        return 50, run

    def forest_row_at_a_time() -> Operation:
        from river.forest import AMFRegressor

        x, y = made_rows(4000, 8)
        forest, at = AMFRegressor(seed=0), iter(np.resize(np.arange(4000), 10**6))

        def run(n: int = 50) -> None:
            for i in (next(at) for _ in range(n)):
                row = dict(enumerate(x[i]))
                forest.predict_one(row)
                forest.learn_one(row, y[i])

        run(1000)
        return 50, run

    def reading(dtype: str) -> Operation:
        x, y = made_rows(8192, 8)
        reg = CMANPRegressor(dtype=dtype).fit(x[:1000], y[:1000])
        return 8192, lambda: copy.copy(reg).partial_fit(x, y)

    def predicting(dtype: str, return_std: bool) -> Operation:
        x, y = made_rows(8192, 8)
        reg = CMANPRegressor(dtype=dtype).fit(x[:1000], y[:1000])
        reg.predict(x[:100])
        return 8192, lambda: reg.predict(x, return_std=return_std)

    def fitting(estimator: object, n: int, d: int, repeats: int = 1) -> Operation:
        x, y = made_rows(n, d)
        return repeats, lambda: [copy.deepcopy(estimator).fit(x, y) for _ in range(repeats)]

    def boosted() -> Operation:
        x, y = made_rows(8192, 8)
        reg = HistGradientBoostingRegressor().fit(x[:1000], y[:1000])
        return 8192, lambda: reg.predict(x)

    def product(dtype: torch.dtype) -> Operation:
        a = torch.randn(1024, FEATURES).to(dtype)
        return 2 * 1024, lambda: a.T @ a  # symmetric products need half of it

    small = small_models()
    river = {"row at a time, River's AMF": forest_row_at_a_time} if importlib.util.find_spec("river") else {}
    return {
        **river,
        "row at a time, 8 features, float32": lambda: row_at_a_time("float32", 8),
        "row at a time, 8 features, float64": lambda: row_at_a_time("float64", 8),
        "row at a time, 1 feature, float32": lambda: row_at_a_time("float32", 1),
        "reading rows, float32": lambda: reading("float32"),
        "reading rows, float64": lambda: reading("float64"),
        "half products of F features, float64": lambda: product(torch.float64),
        "predicting means, float32": lambda: predicting("float32", False),
        "predicting means, float64": lambda: predicting("float64", False),
        "predicting means and stds, float32": lambda: predicting("float32", True),
        "predicting means and stds, float64": lambda: predicting("float64", True),
        "predicting means, boosted trees": boosted,
        "first fit of 1,000 x 10": lambda: fitting(CMANPRegressor(), 1000, 10),
        "first fit of 1,000 x 10, boosted trees": lambda: fitting(HistGradientBoostingRegressor(), 1000, 10),
        "fit of 100 x 5": lambda: fitting(CMANPRegressor(), 100, 5, 3),
        "fit of 100 x 5, Gaussian process": lambda: fitting(small["Gaussian process"], 100, 5, 3),
        "fit of 100 x 5, Bayesian ridge": lambda: fitting(small["Bayesian ridge"], 100, 5, 30),
    }


def fit_many(n_models: int) -> None:
    """Seconds a fit of 100 x 5, and memory that a fitted model keeps."""
    from _report import write

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    rows = []
    for estimator in small_models().values():
        x, y = made_rows(100 + n_models, 5)
        copy.deepcopy(estimator).fit(x[:100], y[:100]).predict(x[:100])
        before, start = resident(), time.process_time()
        kept = [copy.deepcopy(estimator).fit(x[i : i + 100], y[i : i + 100]) for i in range(n_models)]
        seconds = (time.process_time() - start) / n_models
        name = type(estimator).__name__
        size = (resident() - before) / n_models / 1e3
        rows.append({"model": name, "models": len(kept), "seconds_per_fit": seconds, "kB_per_model": size})
    write("many_models", rows)


def work(clock: Callable[[], float]) -> None:
    """Run operations whose names come in, and tell how many a second."""
    known, prepared = operations(), {}
    for line in sys.stdin:
        name = line.rstrip("\n")
        if name not in prepared:
            prepared = {name: known[name]()}
        n, run = prepared[name]
        start = clock()
        run()
        print(n / (clock() - start), flush=True)


class Worker:
    """A process that runs operations of a checkout."""

    def __init__(self, folder: Path, threads: int, clock: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", clock],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def rate(self, name: str) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(name, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy."""
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        spinning.kill()
        spinning.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="checkout of another commit")
    parser.add_argument("--busy", action="store_true", help="also with one core kept busy; wall-clock time")
    parser.add_argument("--wall", action="store_true", help="wall-clock time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="operations whose names contain this")
    parser.add_argument("--many", type=int, help="fit so many small models instead")
    parser.add_argument("--worker", choices=["process_time", "perf_counter"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(getattr(time, arguments.worker))
        return
    if arguments.many:
        fit_many(arguments.many)
        return
    from _report import write

    clock = "perf_counter" if arguments.busy or arguments.wall else "process_time"
    here = Worker(HERE, arguments.threads, clock)
    there = Worker(arguments.against, arguments.threads, clock) if arguments.against else None
    rows = []
    for name in (name for name in operations() if arguments.only in name):
        rates: dict[str, list[float]] = {"here": [], "against": [], "busy": []}
        for _ in range(arguments.rounds + 1):
            rates["here"].append(here.rate(name))
            if there is not None:
                rates["against"].append(there.rate(name))
            if arguments.busy:
                with busy_core():
                    rates["busy"].append(here.rate(name))
        found = {key: statistics.median(values[1:]) if values else float("nan") for key, values in rates.items()}
        rows.append(
            {
                "what": name,
                "per_second": found["here"],
                "against": found["against"],
                "x": found["here"] / found["against"],
                "slower_if_busy": found["here"] / found["busy"],
                "clock": clock,
                "threads": arguments.threads,
            }
        )
        print(rows[-1], flush=True)
    write("speed", rows, keys=("what", "clock", "threads"))


if __name__ == "__main__":
    main()
