"""More context than was trained on: log-likelihood of RBF tasks with up to 20 times as many rows.

The models are those of ``benchmarks/meta_regression.py``, trained on at most 46 context rows, beside the
exact process with true hyperparameters. ``python benchmarks/context_length.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _report import RESULTS, figure, standard_error, write
from _runs import META_REGRESSION, evaluate_batches, train
from meta_regression import runs_for, variants_for
from peers.oracle import true_optimum
from torch import nn

from skcmanp.tasks import GPTasks

CONTEXTS = [11, 23, 46, 92, 230, 460, 920]
CHOSEN = ["cmanp-memory", "cmanp-tuned", "lbanp", "tnp-d-tuned"]
N_TARGETS = 32


def likelihoods(models: dict[str, nn.Module], n_context: int, n_batches: int) -> dict[str, np.ndarray]:
    """Those of all models and the exact process on tasks with so many context rows."""
    tasks = GPTasks(n_context=(n_context, n_context), min_target=N_TARGETS, max_rows=n_context + N_TARGETS)
    return evaluate_batches(
        models, tasks, n_batches, lambda draw: {"exact gp": true_optimum(draw).per_point}, f"{n_context} rows"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4000, help="those of the meta-regression runs")
    parser.add_argument("--batches", type=int, default=50, help="of 16 tasks")
    parser.add_argument("--runs", type=Path, help="folder of the meta-regression runs")
    arguments = parser.parse_args()

    steps, runs = arguments.steps, arguments.runs or runs_for(arguments.steps)
    chosen = variants_for(steps, CHOSEN)
    models = {v.name: train(v, META_REGRESSION, steps, runs, evaluate_every=250)[0] for v in chosen}
    rows = []
    for n_context in CONTEXTS:
        values = likelihoods(models, n_context, arguments.batches)
        for name, value in values.items():
            gap = value - values["exact gp"]
            rows.append(
                {
                    "model": name,
                    "context": n_context,
                    "times trained": round(n_context / 46, 1),
                    "rbf": float(value.mean()),
                    "se": standard_error(value),
                    "to exact gp": float(gap.mean()),
                    "to exact gp se": standard_error(gap),
                }
            )
    write("context_length", rows)

    picture, ax = figure(figsize=(6.5, 4.5))
    for name in [*models, "exact gp"]:
        curve = [row for row in rows if row["model"] == name]
        style = {"color": "black", "linestyle": ":"} if name == "exact gp" else {"marker": "o", "markersize": 4}
        ax.semilogx([r["context"] for r in curve], [r["rbf"] for r in curve], label=name, **style)
    ax.axvspan(1, 46, alpha=0.1, color="black", linewidth=0, label="trained on")
    ax.set(xlim=(10, 1000), xlabel="context rows", ylabel="log-likelihood, nats per target")
    ax.grid(alpha=0.3)
    ax.legend()
    picture.savefig(RESULTS / "context_length.png", dpi=120)


if __name__ == "__main__":
    main()
