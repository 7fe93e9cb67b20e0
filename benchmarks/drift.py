"""Rounding drift: a million single-row updates against one pass over the rows.

Run with ``python benchmarks/drift.py [--rows N]``. The same updates with
float32 statistics are shown for contrast; the errors are relative to the
largest attention output.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from _report import write
from tqdm import tqdm

from skcmanp.adaptation import Adaptation
from skcmanp.checkpoints import get_network, resolve_checkpoint
from skcmanp.frames import Kind
from skcmanp.state.context import ContextState
from skcmanp.state.softmax import RunningSoftmax


def single(softmax: RunningSoftmax) -> RunningSoftmax:
    return RunningSoftmax(*(array.astype(np.float32) for array in vars(softmax).values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    n_rows = parser.parse_args().rows
    torch.set_num_threads(1)  # a row is too little work for more
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.7, 1.7, size=(n_rows, 1))
    y = np.sin(3 * x) + 0.3 * rng.normal(size=(n_rows, 1))
    checkpoint = resolve_checkpoint("gp-1d", [Kind.NUMBER])
    network = get_network(checkpoint, torch.device("cpu"), torch.float64)
    features = network.config.adapted_features
    adaptation = Adaptation.fit(x, y, standardize=False, how="default", memory_features=features)
    empty = ContextState(checkpoint.name, checkpoint.identity, adaptation, network.empty_summary(1))
    stream, stream32 = empty, single(empty.summary.softmax)

    checks = [10**k for k in range(1, 7) if 10**k <= n_rows]
    queries = np.linspace(-1.7, 1.7, 200)[:, None]
    rows = []
    for i in tqdm(range(n_rows), unit="row"):
        row = network.read(x[i : i + 1], y[i : i + 1], adaptation)
        stream = stream.absorb(row)
        stream32 = stream32.combine(single(row.softmax))
        if i + 1 in checks:
            whole = empty.absorb(network.read(x[: i + 1], y[: i + 1], adaptation))
            output = whole.summary.softmax.output()
            size = np.abs(output).max()
            mean, std = network.predict(stream, queries)
            whole_mean, whole_std = network.predict(whole, queries)
            rows.append(
                {
                    "rows": i + 1,
                    "float64_error": float(np.abs(stream.summary.softmax.output() - output).max() / size),
                    "float32_error": float(np.abs(stream32.output() - output).max() / size),
                    "mean_error": float(np.abs(mean - whole_mean).max() / np.abs(whole_mean).max()),
                    "std_error": float(np.abs(std - whole_std).max() / whole_std.max()),
                }
            )
    write("drift", rows)


if __name__ == "__main__":
    main()
