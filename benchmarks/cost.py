"""Memory and time against the number of context rows, for CMANP and its peers.

Every model has the paper's configuration, random weights, one feature, and
float32 (the Gaussian process is scikit-learn's, in float64, without tuning). Each
measurement runs in a process of its own, stopped at 60 seconds a phase or where memory
ends: reading N rows, reading one more, then predicting 100 rows. Run it on an
idle machine: ``python benchmarks/cost.py``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _report import RESULTS, figure, write
from peers import PEERS
from peers.transformer import TNP
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from skcmanp import CMANP, CMANPConfig, CMANPRegressor

SIZES = [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000]
MODELS = ["cmanp", "lbanp", "cached-tnp", "tnp-d", "exact gp"]
SECONDS = 60.0
GIGABYTES = 16
N_QUERIES = 100


class Cmanp:
    """The estimator: its state is all that it keeps."""

    def __init__(self) -> None:
        self.regressor = CMANPRegressor(checkpoint=CMANP(CMANPConfig()), standardize=False, dtype="float32")

    def condition(self, x: np.ndarray, y: np.ndarray) -> None:
        self.regressor.fit(x, y)

    def update(self, x: np.ndarray, y: np.ndarray) -> None:
        self.regressor.partial_fit(x, y)

    def query(self, x: np.ndarray) -> None:
        self.regressor.predict(x, return_std=True)

    def nbytes(self) -> int:
        return self.regressor.context_.nbytes


class Peer:
    """A peer of `PEERS`: it keeps its memory and, unless it is cached, the rows."""

    def __init__(self, name: str, dim_x: int = 1) -> None:
        self.model: Any = PEERS[name](CMANPConfig(dim_x=dim_x)).eval()
        self.cached = isinstance(self.model, TNP) and self.model.causal
        self.rows: tuple[torch.Tensor, torch.Tensor]
        self.memory: Any = None

    @torch.inference_mode()
    def condition(self, x: np.ndarray, y: np.ndarray) -> None:
        self.rows = self._tensor(x), self._tensor(y)
        self.memory = self.model.condition(*self.rows)

    @torch.inference_mode()
    def update(self, x: np.ndarray, y: np.ndarray) -> None:
        row = self._tensor(x), self._tensor(y)
        if self.cached:
            self.memory = self.model.update(self.memory, *row)
        else:
            self.rows = tuple(torch.cat(pair, 1) for pair in zip(self.rows, row, strict=True))
            self.memory = self.model.condition(*self.rows)

    @torch.inference_mode()
    def query(self, x: np.ndarray) -> None:
        self.model.query(self._tensor(x), self.memory)

    def nbytes(self) -> int:
        kept = [tensor for layer in self.memory for tensor in layer] + ([] if self.cached else list(self.rows))
        return sum(tensor.nbytes for tensor in kept)

    @staticmethod
    def _tensor(values: np.ndarray) -> torch.Tensor:
        return torch.tensor(values.reshape(1, len(values), -1), dtype=torch.float32)


class ExactGP:
    """scikit-learn's; it has no update, so a new row means factorising again."""

    def __init__(self) -> None:
        self.regressor = GaussianProcessRegressor(RBF(0.3) + WhiteKernel(0.01), optimizer=None)

    def condition(self, x: np.ndarray, y: np.ndarray) -> None:
        self.rows = x, y
        self.regressor.fit(x, y)

    def update(self, x: np.ndarray, y: np.ndarray) -> None:
        self.condition(np.concatenate([self.rows[0], x]), np.concatenate([self.rows[1], y]))

    def query(self, x: np.ndarray) -> None:
        self.regressor.predict(x, return_std=True)

    def nbytes(self) -> int:
        return self.regressor.L_.nbytes + self.regressor.X_train_.nbytes + self.regressor.y_train_.nbytes


def make(name: str) -> Any:
    return Cmanp() if name == "cmanp" else ExactGP() if name == "exact gp" else Peer(name)


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, n: int) -> dict[str, float]:
    """All figures of one model at one size; in a process of its own."""
    resource.setrlimit(resource.RLIMIT_AS, (GIGABYTES * 2**30,) * 2)
    rng = np.random.default_rng(0)
    x, y, queries = (
        rng.uniform(-2, 2, size=(n + 64, 1)),
        rng.normal(size=n + 64),
        rng.uniform(-2, 2, size=(N_QUERIES, 1)),
    )
    warm = make(name)
    warm.condition(x[:100], y[:100])
    warm.update(x[:1], y[:1])
    warm.query(queries)
    before = peak_megabytes()
    model = make(name)

    def seconds(function: Callable[[], object]) -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    figures = {"condition s": seconds(lambda: model.condition(x[:n], y[:n]))}
    updates, predictions = [], []
    for i in range(n, n + 64):
        updates.append(seconds(lambda: model.update(x[i : i + 1], y[i : i + 1])))  # noqa: B023
        predictions.append(seconds(lambda: model.query(queries)))
        if (len(updates) >= 5 and sum(updates) + sum(predictions) > 5) or sum(updates) > SECONDS / 6:
            break
    figures["update s"], figures["query s"] = float(np.median(updates)), float(np.median(predictions))
    return {**figures, "kept bytes": model.nbytes(), "peak MB beyond start": peak_megabytes() - before}


def measure_apart(name: str, n: int) -> dict[str, float] | None:
    command = [sys.executable, __file__, "--measure", name, str(n)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * SECONDS)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        return None  # out of memory
    figures = json.loads(done.stdout)
    return None if max(figures["condition s"], figures["update s"]) > SECONDS else figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", nargs=2, metavar=("MODEL", "N"), help=argparse.SUPPRESS)
    parser.add_argument("--largest", type=int, default=SIZES[-1])
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure[0], int(arguments.measure[1]))))
        return

    rows = []
    for name in MODELS:
        for n in (size for size in SIZES if size <= arguments.largest):
            figures = measure_apart(name, n)
            if figures is None:
                print(f"{name} stops before {n:,} rows")
                break
            rows.append({"model": name, "rows": n, **figures})
            if figures["condition s"] > SECONDS / 4:
                print(f"{name} ends at {n:,} rows: the next size would take longer than {SECONDS:.0f} s")
                break
    write("cost", rows)

    picture, axes = figure(1, 4, figsize=(16, 4))
    panels = {
        "kept bytes": "what is kept of the context, bytes",
        "condition s": "reading all rows, s",
        "update s": "reading one more row, s",
        "query s": f"predicting {N_QUERIES} rows after it, s",
    }
    for ax, (key, title) in zip(axes, panels.items(), strict=True):
        for name in MODELS:
            curve = [row for row in rows if row["model"] == name]
            width = 2.5 if name == "cmanp" else 1.2
            ax.loglog(
                [r["rows"] for r in curve], [r[key] for r in curve], "o-", label=name, linewidth=width, markersize=4
            )
        ax.set(xlabel="context rows", title=title)
        ax.grid(alpha=0.3)
    axes[0].legend()
    picture.savefig(RESULTS / "cost.png", dpi=120)


if __name__ == "__main__":
    main()
