"""What matters in a CMANP: the number of latents, the width, the embedders, the initial weights.

All variants have 3 blocks and 32 latents unless they say otherwise, and are
trained on the RBF tasks of ``recipes/meta-regression.toml`` with equal steps,
tasks and this package's options. ``python benchmarks/ablations.py --steps 2000``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _report import RESULTS, figure, standard_error, write
from _runs import FOURIER, META_REGRESSION, OURS, Variant, evaluate_batches, train
from peers.oracle import integrated_optimum
from torch import nn

from skcmanp.tasks import GPTasks

BASE = {"n_blocks": 3, "n_block_latents": 32, "n_input_latents": 32}


def variant(name: str, initial: str = "all", **config: object) -> Variant:
    return Variant(name, "cmanp", {**BASE, **config}, OURS, initial)


def latents(n: int) -> dict[str, int]:
    return {"n_block_latents": n, "n_input_latents": n}


GROUPS = {
    "latents (L_I = L_B)": {n: variant(f"latents-{n}", **latents(n)) for n in (8, 32, 128, 256)},
    "width": {32: variant("width-32", dim=32), 64: variant("latents-32"), 128: variant("width-128", dim=128)},
    "embedders": {"MLP": variant("latents-32"), "Fourier": variant("fourier", **FOURIER)},
    "initial weights": {"scaled": variant("latents-32"), "torch's": variant("default-initial", initial="torch")},
}


def likelihoods(models: dict[str, nn.Module], n_batches: int) -> dict[str, np.ndarray]:
    """Those of all models and the Bayes optimum on RBF tasks."""
    tasks = GPTasks()
    return evaluate_batches(
        models, tasks, n_batches, lambda draw: {"optimum": integrated_optimum(tasks, draw).per_point}, "rbf"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batches", type=int, default=500, help="of 16 evaluation tasks")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"))
    arguments = parser.parse_args()

    unique = {v.name: v for group in GROUPS.values() for v in group.values()}
    runs = {
        name: train(v, META_REGRESSION, arguments.steps, arguments.runs, evaluate_every=250)
        for name, v in unique.items()
    }
    likelihood = likelihoods({name: model for name, (model, _) in runs.items()}, arguments.batches)
    base = likelihood["latents-32"]
    rows = []
    for group, variants in GROUPS.items():
        for label, v in variants.items():
            difference = likelihood[v.name] - base
            model, log = runs[v.name]
            rows.append(
                {
                    "group": group,
                    "value": label,
                    "parameters": sum(p.numel() for p in model.parameters()),
                    "steps": arguments.steps,
                    "minutes": round(log[-1]["seconds"] / 60, 1),
                    "rbf": float(likelihood[v.name].mean()),
                    "se": standard_error(likelihood[v.name]),
                    "to base": float(difference.mean()),
                    "to base se": standard_error(difference),
                    "to optimum": float((likelihood[v.name] - likelihood["optimum"]).mean()),
                }
            )
    write("ablations", rows)

    picture, axes = figure(1, len(GROUPS), figsize=(15, 3.8), sharey=True)
    for ax, (group, variants) in zip(axes, GROUPS.items(), strict=True):
        for label, v in variants.items():
            runs[v.name][1].plot(ax, label=str(label))
        ax.set(title=group, ylim=(-1, 0.6))
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    picture.savefig(RESULTS / "ablations.png", dpi=120)


if __name__ == "__main__":
    main()
