"""Memory and time against resolution: a photograph of 32 x 32 to 1,024 x 1,024 pixels completed from a fifth of them.

The photograph ``china.jpg`` that scikit-learn ships, grey and resized; a fifth of its pixels, drawn at random, are read
in chunks with ``partial_fit``, and all are predicted, with std: ``python benchmarks/resolution.py``. Beside the
estimator are networks that read all pixels at once and have random weights, which cost the same: TNP-D, which keeps
keys and values of every pixel, and LBANP, which must read every pixel again when another one arrives. A measurement
runs in a process of its own; a model that needs more than ``GIGABYTES``, or ``SECONDS`` of CPU time for reading or for
predicting, has empty cells. Ratios are of CPU time, since a machine that others use stretches the other one.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from _fields import CHUNK, read
from _report import RESULTS, figure, write
from cost import Peer, peak_megabytes
from PIL import Image
from sklearn.datasets import load_sample_image
from tqdm.auto import tqdm

from skcmanp import CMANPRegressor
from skcmanp.images import pixels_to_rows

SIDES = (32, 64, 128, 256, 512, 1024)
FRACTION = 0.2
SECONDS, GIGABYTES = 60, 4
ESTIMATORS = {
    "CMANPRegressor()": {},
    "CMANPRegressor, image-gray": {"checkpoint": "image-gray", "standardize": False},
}
NETWORKS = ("lbanp", "tnp-d")
FIGURES = (
    "read s",
    "read cpu s",
    "read cpu s / 1000",
    "predict s",
    "predict cpu s",
    "predict cpu s / 1000",
    "kept bytes",
    "peak MB beyond start",
)


class Estimator:
    """The estimator: its state is all that it keeps."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.regressor: CMANPRegressor

    def condition(self, X: np.ndarray, y: np.ndarray) -> None:
        self.regressor = CMANPRegressor(**ESTIMATORS[self.name], dtype="float32")
        read(self.regressor, X, y)

    def query(self, X: np.ndarray) -> None:
        self.regressor.predict(X, return_std=True)

    def nbytes(self) -> int:
        return self.regressor.context_.nbytes


def make(name: str) -> Estimator | Peer:
    return Estimator(name) if name in ESTIMATORS else Peer(name, dim_x=2)


def predict(model: Estimator | Peer, X: np.ndarray) -> None:
    """Query all rows, as many at once as the estimator does."""
    for part in np.split(X, np.arange(CHUNK, len(X), CHUNK)):
        model.query(part)


def photograph(side: int) -> np.ndarray:
    """Grey and square, (side, side)."""
    return np.asarray(Image.fromarray(load_sample_image("china.jpg")).convert("L").resize((side, side)))


def seconds(step: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU time of a step, averaged over as many as take half a second: the clock of a process ticks in ms."""
    begun, cpu, n = time.perf_counter(), time.process_time(), 0
    resource.setrlimit(resource.RLIMIT_CPU, (round(cpu) + SECONDS, resource.RLIM_INFINITY))
    while n == 0 or time.process_time() - cpu < 0.5:
        step()
        n += 1
    return (time.perf_counter() - begun) / n, (time.process_time() - cpu) / n


def measure(name: str, side: int) -> dict[str, float]:
    """All figures of one model at one resolution; in a process of its own."""
    X, y = pixels_to_rows(photograph(side))
    known = np.random.default_rng(0).permutation(len(X))[: round(FRACTION * len(X))]
    warm = make(name)
    warm.condition(X[:64], y[:64])
    predict(warm, X[:64])
    torch.manual_seed(0)
    model, before = make(name), peak_megabytes()
    resource.setrlimit(resource.RLIMIT_AS, (GIGABYTES * 2**30,) * 2)
    read_s, read_cpu = seconds(lambda: model.condition(X[known], y[known]))
    predict_s, predict_cpu = seconds(lambda: predict(model, X))
    reading = [read_s, read_cpu, 1e3 * read_cpu / len(known)]
    predicting = [predict_s, predict_cpu, 1e3 * predict_cpu / len(X)]
    memory = [model.nbytes(), peak_megabytes() - before]
    return dict(zip(FIGURES, [*reading, *predicting, *memory], strict=True))


def measure_apart(name: str, side: int) -> dict[str, float] | None:
    """The figures, or None where they would take too long or too much."""
    command = [sys.executable, __file__, "--measure", name, str(side)]
    done = subprocess.run(command, capture_output=True, text=True)
    return None if done.returncode else json.loads(done.stdout)


def draw(rows: list[dict]) -> None:
    """What is kept, peak memory, and times per 1,000 pixels against the number of pixels."""
    picture, axes = figure(1, 4, figsize=(16, 4))
    panels = {
        "kept bytes": "what is kept of the pixels read, bytes",
        "peak MB beyond start": "peak memory, MB beyond an idle process",
        "read cpu s / 1000": "reading, CPU seconds per 1,000 pixels",
        "predict cpu s / 1000": "predicting, CPU seconds per 1,000 pixels",
    }
    for ax, (key, title) in zip(axes, panels.items(), strict=True):
        for name in (*ESTIMATORS, *NETWORKS):
            curve = [row for row in rows if row["model"] == name and row["read s"] != ""]
            width = 2.5 if name in ESTIMATORS else 1.2
            pixels = [row["pixels"] for row in curve]
            ax.loglog(pixels, [row[key] for row in curve], "o-", label=name, linewidth=width, markersize=4)
        ax.set(xlabel="pixels", title=title)
        ax.grid(alpha=0.3)
    axes[1].legend(fontsize=8, loc="lower right")
    picture.savefig(RESULTS / "resolution.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", nargs=2, metavar=("MODEL", "SIDE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure[0], int(arguments.measure[1]))))
        return
    rows: list[dict] = []
    for name in (*ESTIMATORS, *NETWORKS):
        figures: dict[str, float] | None = {}
        for side in tqdm(SIDES, desc=name):
            # Where one resolution is too much, so are those above it.
            figures = None if figures is None else measure_apart(name, side)
            rows.append({"model": name, "side": side, "pixels": side**2, **(figures or dict.fromkeys(FIGURES, ""))})
    write("resolution", rows)
    draw(rows)


if __name__ == "__main__":
    main()
