"""The papers' meta-regression: CMANP, its peers and the exact Gaussian processes on the same tasks.

Every model is trained by ``recipes/meta-regression.toml``, for ``--steps`` steps, on the same tasks in the same order;
then all are evaluated on the same draws of RBF and of Matern-5/2 processes. A run that was stopped goes on.
``python benchmarks/meta_regression.py --steps 4000`` does all this. The papers' own 100,000 steps take days, and for
them there are

- ``train``: only train, at low priority and on one thread,
- ``status``: how far every run is,
- ``snapshot``: keep the weights of unfinished runs in ``--snapshots``, where ``train`` finds them if a run is lost,
- ``evaluate``: evaluate what is trained so far, and leave the other rows of the table as they are,

as in ``nohup python benchmarks/meta_regression.py train --steps 100000 >> queue.log &``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _background import Progress, load, locked, snapshot, status, work
from _report import RESULTS, figure, standard_error, write
from _runs import FOURIER, HEAD_ONLY, MEMORY, META_REGRESSION, OURS, Variant, evaluate_batches, train
from peers.joint import RANK
from peers.oracle import integrated_optimum, true_optimum
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from skcmanp import CMANP
from skcmanp.tasks import GPTasks
from skcmanp.tasks.gp import GPDraw
from skcmanp.training import predict_jointly

INITIALISED = {**OURS, "warmup": 500}
VARIANTS = {
    variant.name: variant
    for variant in (
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
        Variant("cmanp-initialised", "cmanp", {}, INITIALISED, initial="all"),
        # From the state of the one before at step 63,000, which has to be copied: as if its cosine had 7,000 steps left
        # instead of 37,000.
        Variant("cmanp-cooled", "cmanp", {}, {**INITIALISED, "steps": 70_000, "cooldown": 0.1 / 0.37}, initial="all"),
        # The not-diagonal heads, with which all targets are a block of CMANP-AND; alone, and then with all weights.
        Variant("cmanp-tuned-and", "cmanp", {**FOURIER, "joint_rank": RANK}, HEAD_ONLY, start="cmanp-tuned"),
        Variant("cmanp-memory-head", "cmanp", {**MEMORY, "joint_rank": RANK}, HEAD_ONLY, start="cmanp-memory"),
        Variant(
            "cmanp-initialised-head",
            "cmanp",
            {"joint_rank": RANK},
            {**HEAD_ONLY, "steps": 5000},
            start="cmanp-initialised",
        ),
        Variant(
            "cmanp-initialised-and",
            "cmanp",
            {"joint_rank": RANK},
            {**INITIALISED, "learning_rate": 3e-4, "steps": 20_000},
            start="cmanp-initialised-head",
        ),
    )
}
# What is trained for how many steps, in this order; other numbers of steps have the models of the fewest.
BUDGETS = {
    4_000: (
        *("cnp", "canp", "tnp-d", "cached-tnp", "lbanp", "cmanp", "tnp-nd", "lbanp-nd"),
        *("tnp-d-tuned", "cmanp-tuned", "cmanp-memory", "cmanp-tuned-and", "cmanp-memory-head"),
    ),
    100_000: (
        *("tnp-d", "canp", "cnp", "tnp-nd", "cached-tnp"),
        *("cmanp", "cmanp-initialised", "cmanp-initialised-head", "cmanp-initialised-and", "lbanp"),
    ),
}
# Predict all targets together as well.
JOINT = ("cmanp-tuned-and", "cmanp-memory", "cmanp-memory-head", "cmanp-initialised-head", "cmanp-initialised-and")
# Secondary sources, after 100,000 steps.
PUBLISHED = {
    "cnp": (0.26, 0.04),
    "canp": (0.79, 0.62),
    "tnp-d": (1.39, 0.95),
    "tnp-nd": (1.46, 1.02),
    "lbanp": (1.27, 0.85),
    "lbanp-nd": (1.24, 0.78),
    "cmanp": (1.24, 0.80),
    "cmanp-initialised": (1.24, 0.80),
    "cmanp-cooled": (1.24, 0.80),
    "cmanp-tuned-and, joint": (1.48, 0.96),
    "cmanp-initialised-and, joint": (1.48, 0.96),
}
# The first length-scales are those of the paper's code, from which all training tasks are; its text has the others.
EVALUATIONS = {
    "rbf": GPTasks("rbf"),
    "matern52": GPTasks("matern52"),
    "rbf 0.6-1.0": GPTasks("rbf", lengthscale=(0.6, 1.0)),
    "matern52 0.6-1.0": GPTasks("matern52", lengthscale=(0.6, 1.0)),
}


def variants_for(steps: int, names: Sequence[str] | None = None) -> list[Variant]:
    """What is trained for so many steps, in order, or the variants of these names."""
    return [VARIANTS[name] for name in names or BUDGETS.get(steps, BUDGETS[min(BUDGETS)])]


def runs_for(steps: int) -> Path:
    """Folder of the runs of so many steps."""
    return Path(f"runs/meta-regression-{steps}")


class Jointly(nn.Module):
    """A network's predictions of all targets together."""

    def __init__(self, model: CMANP) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, y: Tensor, x_target: Tensor) -> MultivariateNormal:
        joint = predict_jointly(self.model, x, y, x_target)[1]
        return MultivariateNormal(joint.loc.squeeze(1), joint.covariance_matrix.squeeze(1))


def likelihoods(
    models: dict[str, nn.Module], tasks: GPTasks, n_batches: int, description: str
) -> dict[str, np.ndarray]:
    """Those of all models and optima, per point and joint."""

    def optima(draw: GPDraw) -> dict[str, Tensor]:
        true, integrated = true_optimum(draw), integrated_optimum(tasks, draw)
        return {
            "gp, true": true.per_point,
            "gp, true, joint": true.joint,
            "gp, integrated": integrated.per_point,
            "gp, integrated, joint": integrated.joint,
        }

    return evaluate_batches(models, tasks, n_batches, optima, description)


def evaluate(models: dict[str, nn.Module], progress: dict[str, Progress], steps: int, n_batches: int) -> float:
    """Write rows of the table, of models and of the optima on their tasks; returns the optimum on those of the logs."""
    models = models | {f"{name}, joint": Jointly(models[name]) for name in JOINT if name in models}
    results = {name: likelihoods(models, tasks, n_batches, name) for name, tasks in EVALUATIONS.items()}
    rows = []
    for name in results["rbf"]:
        joint = "joint" in name or name.endswith("-nd")
        row: dict = {"model": name, "parameters": "", "steps": "", "trained": "", "hours": ""}
        if name in models:
            run = progress[name.removesuffix(", joint")]
            row["parameters"] = sum(p.numel() for p in models[name].parameters())
            row["steps"], row["trained"] = steps, run.step
            row["hours"] = round(run.log[-1]["seconds"] / 3600, 2) if run.log else ""
        for tasks, of in results.items():
            gap = of[name] - of["gp, integrated" + (", joint" if joint else "")]
            row[tasks], row[f"{tasks} se"] = float(of[name].mean()), standard_error(of[name])
            row[f"{tasks} to optimum"], row[f"{tasks} to optimum se"] = float(gap.mean()), standard_error(gap)
        row["tasks"] = n_batches * 16
        row["published rbf (100k steps)"], row["published matern52"] = PUBLISHED.get(name, ("", ""))
        rows.append(row)
    write("meta_regression", rows, keys=("model", "steps"))
    # The logs' tasks are the first of these.
    return float(results["rbf"]["gp, integrated"][: META_REGRESSION.training.n_evaluation].mean())


def draw(progress: dict[str, Progress], optimum: float, steps: int, against_time: bool) -> None:
    """Learning curves against steps and, of runs that nothing has interrupted, against time."""
    picture, axes = figure(1, 1 + against_time, figsize=(6 + 5 * against_time, 4.5), sharey=True)
    axes = np.atleast_1d(axes)
    for name, run in progress.items():
        own = name.endswith("-tuned") or "initialised" in name
        style = {"linestyle": "--" if own else "-", "linewidth": 2.5 if "cmanp" in name else 1.2}
        run.log.plot(axes[0], label=name, **style)
        if against_time:
            minutes = np.array(run.log.column("step")) * run.seconds_per_step / 60
            color = axes[0].lines[-1].get_color()
            axes[1].plot(minutes, run.log.column("log_likelihood"), color=color, **style)
    for ax in axes:
        ax.axhline(optimum, color="black", linestyle=":", linewidth=1, label="exact GP, integrated")
        ax.axhline(PUBLISHED["cmanp"][0], color="gray", linestyle=":", linewidth=1, label="cmanp, published")
        ax.grid(alpha=0.3)
    axes[0].set(ylim=(-1, 1.65), title="16 tasks a step")
    axes[0].legend(fontsize=8, loc="lower right", ncols=2)
    if against_time:
        label = "minutes of training on one CPU core"
        axes[1].set(xlabel=label, title="the same runs against time", xscale="log")
    picture.savefig(RESULTS / f"meta_regression_{steps}.png", dpi=120)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = ("all", "train", "status", "snapshot", "evaluate")
    parser.add_argument("action", nargs="?", choices=actions, default="all")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batches", type=int, default=500, help="of 16 evaluation tasks")
    parser.add_argument("--runs", type=Path, help="folder of the runs")
    parser.add_argument("--snapshots", type=Path, help="folder of weights that are kept of unfinished runs")
    parser.add_argument("--models", nargs="+", choices=list(VARIANTS), metavar="MODEL", help="only these")
    arguments = parser.parse_args(argv)
    if arguments.action == "snapshot" and arguments.snapshots is None:
        parser.error("snapshot needs --snapshots.")

    steps, runs = arguments.steps, arguments.runs or runs_for(arguments.steps)
    variants = variants_for(steps, arguments.models)
    every = {"evaluate_every": min(META_REGRESSION.training.evaluate_every, max(1, steps // 16))}
    if arguments.action == "train":
        work(variants, META_REGRESSION, steps, runs, arguments.snapshots, **every)
    elif arguments.action == "status":
        status(variants, META_REGRESSION, steps, runs)
    elif arguments.action == "snapshot":
        snapshot(variants, META_REGRESSION, steps, runs, arguments.snapshots)
    else:
        if arguments.action == "all":
            with locked(runs):
                for variant in variants:
                    train(variant, META_REGRESSION, steps, runs, **every)
        progress = {name: Progress.of(v, META_REGRESSION, steps, runs) for name, v in VARIANTS.items()}
        models = {v.name: load(v, META_REGRESSION, runs) for v in variants if progress[v.name].step}
        optimum = evaluate(models, progress, steps, arguments.batches)
        begun = {name: run for name, run in progress.items() if run.log and len(run.log.column("step")) > 1}
        draw(begun, optimum, steps, against_time=arguments.action == "all")


if __name__ == "__main__":
    main()
