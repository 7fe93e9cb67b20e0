"""What matters in a CMANP: latents, width, embedders, initial weights; and contexts longer than trained on.

All variants have 3 blocks and 32 latents unless they say otherwise, and are trained on the RBF tasks of
``recipes/meta-regression.toml`` with equal steps, tasks and this package's options.
Beyond the trained context, the models of ``benchmarks/meta_regression.py`` are
read from its runs. ``python benchmarks/ablations.py --steps 2000``.
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


def variant(name: str, initial: bool = True, **config: object) -> Variant:
    return Variant(name, "cmanp", {**BASE, **config}, OURS, initial)


def latents(n: int) -> dict[str, int]:
    return {"n_block_latents": n, "n_input_latents": n}


GROUPS = {
    "latents (L_I = L_B)": {n: variant(f"latents-{n}", **latents(n)) for n in (8, 32, 128, 256)},
    "width": {32: variant("width-32", dim=32), 64: variant("latents-32"), 128: variant("width-128", dim=128)},
    "embedders": {"MLP": variant("latents-32"), "Fourier": variant("fourier", **FOURIER)},
    "initial weights": {"scaled": variant("latents-32"), "torch's": variant("default-initial", initial=False)},
}
CONTEXTS = [23, 46, 92, 230, 460, 920]
LONGER = ["cmanp-memory", "cmanp-tuned", "lbanp", "tnp-d-tuned"]
N_TARGETS = 32


@torch.no_grad()
def fixed_likelihoods(models: dict[str, nn.Module], n_batches: int, n_context: int | None = None) -> dict:
    """Log-likelihood of every batch of 16 RBF tasks, of all models and the Bayes optimum."""
    tasks = GPTasks()
    if n_context is not None:
        tasks = GPTasks(n_context=(n_context,) * 2, min_target=N_TARGETS, max_rows=n_context + N_TARGETS)
    values: dict[str, list[float]] = {name: [] for name in [*models, "optimum"]}
    for i in tqdm(range(n_batches), desc=str(n_context or "as trained")):
        draw = tasks.draw(16, task_generator(EVALUATION_STEP + i))
        for name, model in models.items():
            distribution = model(draw.batch.x, draw.batch.y, draw.batch.x_target)
            values[name].append(log_likelihood(distribution, draw.batch.y_target).mean().item())
        n_grid = (25, 15) if n_context is None else (13, 9)
        values["optimum"].append(integrated_optimum(tasks, draw, *n_grid).per_point.mean().item())
    return {name: np.array(v) for name, v in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batches", type=int, default=500, help="of 16 evaluation tasks")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--peer-steps", type=int, default=4000, help="those of the meta-regression runs")
    parser.add_argument("--peer-runs", type=Path, default=Path("runs/meta-regression"))
    arguments = parser.parse_args()

    unique = {v.name: v for group in GROUPS.values() for v in group.values()}
    runs = {
        name: train(v, "meta-regression", arguments.steps, arguments.runs, evaluate_every=250)
        for name, v in unique.items()
    }
    likelihood = fixed_likelihoods({name: model for name, (model, _) in runs.items()}, arguments.batches)
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

    from meta_regression import VARIANTS

    chosen = [v for v in VARIANTS if v.name in LONGER]
    longer = {
        v.name: train(v, "meta-regression", arguments.peer_steps, arguments.peer_runs, evaluate_every=250)[0]
        for v in chosen
    }
    context_rows = []
    for n_context in CONTEXTS:
        values = fixed_likelihoods(longer, 20, n_context)
        for name, v in values.items():
            gap = v - values["optimum"]
            context_rows.append(
                {
                    "model": name,
                    "context": n_context,
                    "times trained": round(n_context / 46, 1),
                    "rbf": float(v.mean()),
                    "se": standard_error(v),
                    "to optimum": float(gap.mean()),
                    "to optimum se": standard_error(gap),
                }
            )
    write("context_length", context_rows)

    picture, axes = figure(1, len(GROUPS) + 1, figsize=(18, 3.8))
    for ax, (group, variants) in zip(axes, GROUPS.items(), strict=False):
        for label, v in variants.items():
            runs[v.name][1].plot(ax, label=str(label))
        ax.set(title=group, ylim=(-1, 0.6))
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    for name in [*longer, "optimum"]:
        curve = [row for row in context_rows if row["model"] == name]
        style = {"color": "black", "linestyle": ":"} if name == "optimum" else {"marker": "o", "markersize": 4}
        axes[-1].semilogx([r["context"] for r in curve], [r["rbf"] for r in curve], label=name, **style)
    axes[-1].axvspan(3, 46, alpha=0.1, color="black", linewidth=0)
    axes[-1].set(title="longer contexts than trained on (shaded)", xlabel="context rows", xlim=(20, 1000))
    axes[-1].grid(alpha=0.3)
    axes[-1].legend(fontsize=8)
    picture.savefig(RESULTS / "ablations.png", dpi=120)


if __name__ == "__main__":
    main()
