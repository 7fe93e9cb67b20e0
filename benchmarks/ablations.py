"""What matters in a CMANP: the number of latents, the width, the embedders, the initial weights.

All variants have 3 blocks and 32 latents unless they say otherwise, and are
trained on the RBF tasks of ``recipes/meta-regression.toml`` with equal steps,
tasks and this package's options. ``python benchmarks/ablations.py --steps 2000``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from _report import RESULTS, figure, standard_error, write
from _runs import FOURIER, OURS, Variant, train
from peers.oracle import integrated_optimum
from torch import nn
from tqdm.auto import tqdm

from skcmanp.tasks import GPTasks
from skcmanp.training import EVALUATION_STEP, log_likelihood, task_generator

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


@torch.no_grad()
def likelihoods(models: dict[str, nn.Module], n_batches: int) -> dict[str, np.ndarray]:
    """Log-likelihood of every batch of 16 RBF tasks, of all models and the Bayes optimum."""
    tasks = GPTasks()
    values: dict[str, list[float]] = {name: [] for name in [*models, "optimum"]}
    for i in tqdm(range(n_batches)):
        draw = tasks.draw(16, task_generator(EVALUATION_STEP + i))
        for name, model in models.items():
            distribution = model(draw.batch.x, draw.batch.y, draw.batch.x_target)
            values[name].append(log_likelihood(distribution, draw.batch.y_target).mean().item())
        values["optimum"].append(integrated_optimum(tasks, draw).per_point.mean().item())
    return {name: np.array(v) for name, v in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batches", type=int, default=500, help="of 16 evaluation tasks")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"))
    arguments = parser.parse_args()

    unique = {v.name: v for group in GROUPS.values() for v in group.values()}
    runs = {
        name: train(v, "meta-regression", arguments.steps, arguments.runs, evaluate_every=250)
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
