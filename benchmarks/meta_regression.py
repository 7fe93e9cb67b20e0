"""The papers' meta-regression: CMANP, its peers and the exact Gaussian processes on the same tasks.

Trains every model by ``recipes/meta-regression.toml``, for ``--steps`` steps
instead of the 100,000 of the papers, on the same tasks in the same order, then
evaluates all on the same draws of RBF and of Matern-5/2 processes. A run that
was stopped goes on. ``python benchmarks/meta_regression.py --steps 4000``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _report import RESULTS, figure, standard_error, write
from _runs import FOURIER, HEAD_ONLY, MEMORY, META_REGRESSION, OURS, Variant, evaluate_batches, train
from peers.joint import RANK
from peers.oracle import integrated_optimum, true_optimum
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from skcmanp import CMANP
from skcmanp.tasks import GPTasks
from skcmanp.tasks.gp import GPDraw
from skcmanp.training import TrainingLog, predict_jointly

VARIANTS = [
    Variant("cnp", "cnp"),
    Variant("canp", "canp"),
    Variant("tnp-d", "tnp-d"),
    Variant("cached-tnp", "cached-tnp"),
    Variant("lbanp", "lbanp"),
    Variant("cmanp", "cmanp", initial="rows"),
    Variant("tnp-nd", "tnp-nd"),
    Variant("lbanp-nd", "lbanp-nd"),
    # The second recipe is this package's: how all attention starts, and how weights are optimised.
    Variant("tnp-d-tuned", "tnp-d", {}, OURS, initial="all"),
    Variant("cmanp-tuned", "cmanp", FOURIER, OURS, initial="all"),
    Variant("cmanp-memory", "cmanp", MEMORY, OURS, initial="all"),
    # The not-diagonal heads, with which all targets are a block of CMANP-AND.
    Variant("cmanp-tuned-and", "cmanp", {**FOURIER, "joint_rank": RANK}, HEAD_ONLY, start="cmanp-tuned"),
    Variant("cmanp-memory-head", "cmanp", {**MEMORY, "joint_rank": RANK}, HEAD_ONLY, start="cmanp-memory"),
]
# Predict all targets together as well.
JOINT = ("cmanp-tuned-and", "cmanp-memory", "cmanp-memory-head")
# Secondary sources, after 100,000 steps.
PUBLISHED = {
    "cnp": (0.26, 0.04),
    "canp": (0.79, 0.62),
    "tnp-d": (1.39, 0.95),
    "tnp-nd": (1.46, 1.02),
    "lbanp": (1.27, 0.85),
    "lbanp-nd": (1.24, 0.78),
    "cmanp": (1.24, 0.80),
    "cmanp-tuned-and, joint": (1.48, 0.96),
}
KERNELS = ("rbf", "matern52")


class Jointly(nn.Module):
    """A network's predictions of all targets together."""

    def __init__(self, model: CMANP) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, y: Tensor, x_target: Tensor) -> MultivariateNormal:
        joint = predict_jointly(self.model, x, y, x_target)[1]
        return MultivariateNormal(joint.loc.squeeze(1), joint.covariance_matrix.squeeze(1))


def likelihoods(models: dict[str, nn.Module], kernel: str, n_batches: int) -> dict[str, np.ndarray]:
    """Those of all models and optima, per point and joint."""
    tasks = GPTasks(kernel)

    def optima(draw: GPDraw) -> dict[str, Tensor]:
        true, integrated = true_optimum(draw), integrated_optimum(tasks, draw)
        return {
            "gp, true": true.per_point,
            "gp, true, joint": true.joint,
            "gp, integrated": integrated.per_point,
            "gp, integrated, joint": integrated.joint,
        }

    return evaluate_batches(models, tasks, n_batches, optima, kernel)


def draw(logs: dict[str, TrainingLog], optimum: float) -> None:
    """Learning curves against steps and against time."""
    picture, (ax_steps, ax_minutes) = figure(1, 2, figsize=(11, 4.5), sharey=True)
    for name, log in logs.items():
        style = {"linestyle": "--" if name.endswith("-tuned") else "-", "linewidth": 2.5 if "cmanp" in name else 1.2}
        log.plot(ax_steps, **style)
        minutes = np.array(log.column("seconds")) / 60
        color = ax_steps.lines[-1].get_color()
        ax_minutes.plot(minutes, log.column("log_likelihood"), color=color, label=name, **style)
    for ax in (ax_steps, ax_minutes):
        ax.axhline(optimum, color="black", linestyle=":", linewidth=1, label="exact GP, integrated")
        ax.grid(alpha=0.3)
    ax_steps.set(ylim=(-1, 1.6), title="16 tasks a step")
    ax_minutes.set(xlabel="minutes of training on one CPU core", title="the same runs against time", xscale="log")
    ax_minutes.legend(fontsize=8, loc="upper left")
    picture.savefig(RESULTS / "meta_regression.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batches", type=int, default=500, help="of 16 evaluation tasks")
    parser.add_argument("--runs", type=Path, default=Path("runs/meta-regression"))
    parser.add_argument("--models", nargs="+", help="only these")
    arguments = parser.parse_args()

    chosen = [v for v in VARIANTS if arguments.models is None or v.name in arguments.models]
    runs = {v.name: train(v, META_REGRESSION, arguments.steps, arguments.runs, evaluate_every=250) for v in chosen}
    models = {name: model for name, (model, _) in runs.items()}
    models |= {f"{name}, joint": Jointly(models[name]) for name in JOINT if name in models}
    results = {kernel: likelihoods(models, kernel, arguments.batches) for kernel in KERNELS}

    rows = []
    for name in results["rbf"]:
        joint = "joint" in name or name.endswith("-nd")
        row: dict = {"model": name, "parameters": "", "steps": arguments.steps if name in runs else ""}
        row["hours"] = ""
        if name in runs:
            row["parameters"] = sum(p.numel() for p in models[name].parameters())
            row["hours"] = round(runs[name][1][-1]["seconds"] / 3600, 2)
        for kernel in KERNELS:
            values = results[kernel][name]
            gap = values - results[kernel]["gp, integrated" + (", joint" if joint else "")]
            row[kernel], row[f"{kernel} se"] = float(values.mean()), standard_error(values)
            row[f"{kernel} to optimum"], row[f"{kernel} to optimum se"] = float(gap.mean()), standard_error(gap)
        row["tasks"] = arguments.batches * 16
        row["published rbf (100k steps)"], row["published matern52"] = PUBLISHED.get(name, ("", ""))
        rows.append(row)
    write("meta_regression", rows)

    draw({name: log for name, (_, log) in runs.items()}, float(results["rbf"]["gp, integrated"].mean()))


if __name__ == "__main__":
    main()
