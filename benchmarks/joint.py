"""Joint likelihoods of CMANP-AND: what blocks of targets gain and cost, and whether their order matters.

Networks of ``meta_regression.py``, with and without a not-diagonal head, predict the targets of the papers' RBF tasks
in blocks of b_Q; each block knows the true targets of those before. Beside them the exact Gaussian processes on the
same tasks, and the densities of the same targets in other orders. ``python benchmarks/joint.py`` after
``python benchmarks/meta_regression.py``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from _blocks import by_blocks
from _report import RESULTS, figure, standard_error, write
from _runs import META_REGRESSION, train
from meta_regression import JOINT, runs_for, variants_for
from peers.oracle import integrated_optimum, true_optimum
from torch import Tensor
from tqdm.auto import tqdm

from skcmanp.tasks import GPTasks, TaskBatch
from skcmanp.training import EVALUATION_STEP, task_generator

# 46 targets are the most that a task has; 0 stands for every target by itself, which none of the others knows.
BLOCK_SIZES = (0, 1, 5, 10, 25, 46)
# Of the same targets, of a quarter of the tasks, for these sizes.
N_ORDERS, ORDERED = 4, (5, 46)


def reordered(batch: TaskBatch, generator: torch.Generator) -> TaskBatch:
    """The same tasks with their targets in another order."""
    order = torch.randperm(batch.x_target.shape[1], generator=generator)
    return batch._replace(x_target=batch.x_target[:, order], y_target=batch.y_target[:, order])


def draw(rows: list[dict], optimum: float) -> None:
    """Joint log-likelihood and time per target against the size of blocks."""
    picture, (ax, ax_time) = figure(1, 2, figsize=(11, 4.5))
    for name in dict.fromkeys(row["model"] for row in rows if row["model"] in JOINT):
        own = [row for row in rows if row["model"] == name and row["block size"] not in (0, "0")]
        sizes, joint, error, ms = (
            [float(row[key]) for row in own] for key in ("block size", "joint", "to optimum se", "ms per target")
        )
        ax.errorbar(sizes, joint, error, label=name, capsize=3)
        ax_time.plot(sizes, ms, label=name)
    ax.axhline(optimum, color="black", linestyle=":", label="exact GP, integrated")
    ax.set(xlabel="targets in a block", ylabel="joint log-likelihood, nats per target")
    ax_time.set(xlabel="targets in a block", ylabel="ms per target, 16 tasks at once", yscale="log")
    for each in (ax, ax_time):
        each.set_xscale("log")
        each.set_xticks(BLOCK_SIZES[1:], map(str, BLOCK_SIZES[1:]))
        each.grid(alpha=0.3)
    ax.legend(fontsize=8)
    picture.savefig(RESULTS / "joint.png", dpi=120)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batches", type=int, default=60, help="of 16 evaluation tasks")
    parser.add_argument("--runs", type=Path, help="folder of the meta-regression runs")
    parser.add_argument("--models", nargs="+", help="only these")
    parser.add_argument("--sizes", type=int, nargs="+", default=BLOCK_SIZES, help="of blocks; others stay as they are")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    steps, runs = arguments.steps, arguments.runs or runs_for(arguments.steps)
    chosen = variants_for(steps, arguments.models or [v.name for v in variants_for(steps) if v.name in JOINT])
    with torch.enable_grad():
        models = {v.name: train(v, META_REGRESSION, steps, runs, evaluate_every=250)[0] for v in chosen}

    tasks = GPTasks()
    values: dict[tuple[str, int], list[float]] = {}
    deviations: dict[tuple[str, int], list[Tensor]] = {}
    seconds: dict[tuple[str, int], float] = {}
    optima: dict[str, list[float]] = {"gp, integrated": [], "gp, true": []}
    n_targets = 0
    for i in tqdm(range(arguments.batches)):
        drawn = tasks.draw(16, task_generator(EVALUATION_STEP + i))
        n_targets += drawn.batch.x_target.shape[1]
        optima["gp, true"].append(true_optimum(drawn).joint.mean().item())
        optima["gp, integrated"].append(integrated_optimum(tasks, drawn).joint.mean().item())
        for name, model in models.items():
            for size in arguments.sizes:
                start = time.perf_counter()
                values.setdefault((name, size), []).append(by_blocks(model, drawn.batch, size).mean().item())
                seconds[name, size] = seconds.get((name, size), 0.0) + time.perf_counter() - start
                if size in ORDERED and i < arguments.batches // 4:
                    orders = task_generator(i)
                    others = [by_blocks(model, reordered(drawn.batch, orders), size) for _ in range(N_ORDERS)]
                    deviations.setdefault((name, size), []).append(torch.stack(others).std(0))

    best = np.array(optima["gp, integrated"])
    rows = []
    for (name, size), likelihoods in values.items():
        gap = np.array(likelihoods) - best
        rows.append(
            {
                "model": name,
                "block size": size,
                "joint": float(np.mean(likelihoods)),
                "joint se": standard_error(np.array(likelihoods)),
                "to optimum": float(gap.mean()),
                "to optimum se": standard_error(gap),
                "std over orders": float(torch.cat(deviations[name, size]).mean()) if size in ORDERED else "",
                "ms per target": 1e3 * seconds[name, size] / n_targets,
            }
        )
    for name, likelihoods in optima.items():
        gap = np.array(likelihoods) - best
        exact = {"model": name, "block size": "", "joint": float(np.mean(likelihoods))}
        exact |= {"joint se": standard_error(np.array(likelihoods)), "to optimum": float(gap.mean())}
        rows.append({**exact, "to optimum se": standard_error(gap), "std over orders": 0.0, "ms per target": ""})
    rows = [{**row, "steps": steps, "tasks": arguments.batches * 16} for row in rows]
    draw(write("joint", rows, keys=("model", "block size")), float(best.mean()))


if __name__ == "__main__":
    main()
