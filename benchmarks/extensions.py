"""What the conjugate memory, the attention blocks, the count and adaptation are worth, by kind of task.

Every variant of a small network is trained with equal steps on a small version of the tasks of
``recipes/tabular.toml`` (at most 8 features and 512 rows), then evaluated on tasks of one kind at a
time, and on the first 300 training rows of real tables, whose log-likelihood is that of the
standardised target. One variant is told of what kind every function is, which bounds what it could
be worth to attention to find that out. Beside them the memory alone, without any training, with more
and fewer features and regressions.
``python benchmarks/extensions.py [--uci FOLDER]``; runs that were stopped go on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import RESULTS, figure, standard_error, write
from _runs import SMALL, train_in
from accuracy import add_table_options, tables
from torch import Tensor, nn
from tqdm.auto import tqdm

from skcmanp import CMANP, CMANPConfig, CMANPRegressor, TrainingOptions
from skcmanp.tasks import (
    FunctionPrior,
    FunctionTasks,
    KeptTasks,
    RandomGates,
    RandomGP,
    RandomLinear,
    RandomMLP,
    RandomSums,
    RandomTrees,
)
from skcmanp.training import EVALUATION_STEP, initialize, log_likelihood, task_generator

BASE: dict[str, Any] = {
    "dim_x": 8,
    **SMALL,
    "max_count": 512.0,
    "input_limit": 20.0,
    "memory_features": 96,
    "memory_kernel": "matern52",
    "relevance": True,
}
NO_MEMORY = {"memory_features": 0}
NOT_ADAPTED = {"relevance": False, "memory_kernel": "learned"}
TRAINED: dict[str, dict[str, Any]] = {
    "both": {},
    "both, no count": {"count_input": False},
    "both, not adapted": NOT_ADAPTED,
    "blocks only": NO_MEMORY,
    "blocks only, no count": {**NO_MEMORY, "count_input": False},
    "blocks only, not adapted": {**NO_MEMORY, **NOT_ADAPTED},
    "both, 1 latent": {"n_blocks": 1, "n_block_latents": 1, "n_input_latents": 1},
    "both, 8 latents": {"n_block_latents": 8, "n_input_latents": 8},
    "both, 128 latents": {"n_block_latents": 128, "n_input_latents": 128},
    "both, 4 blocks": {"n_blocks": 4},
    "both, told the kind": {},
}
FEATURES, REGRESSIONS = (48, 96, 192, 384), (2, 4, 8, 16)
ALONE: dict[str, dict[str, Any]] = {
    **{f"memory alone, F = {f}": {"memory_features": f} for f in FEATURES},
    **{f"memory alone, K = {k}": {"memory_regressions": k} for k in REGRESSIONS if k != 8},
}
SIZES: dict[str, Any] = {"dim_x": 8, "n_context": (8, 512), "n_target": 96, "noise": (0.02, 1.2), "p_empty": 0.0}
GP, TREES, JUMPS, SUMS = RandomGP(), RandomTrees(), RandomGates(), RandomSums()
PRIORS: list[FunctionPrior] = [GP, RandomMLP(), TREES, RandomTrees(64), RandomLinear(), JUMPS, SUMS]
KINDS: dict[str, tuple[FunctionPrior, dict[str, float]]] = {
    "processes": (GP, {}),
    "sums": (SUMS, {}),
    "trees": (TREES, {}),
    "jumps": (JUMPS, {}),
    "heavy-tailed noise": (GP, {"p_heavy": 1.0}),
    "varying noise": (GP, {"p_varying": 1.0}),
}
BATCH_SIZE = 16
WORST = -5.0  # a task counts no less: a few outliers would decide


class ToldKind(nn.Module):
    """Embeds queries, and of which of the priors every task of a batch is; at first the latter says nothing."""

    def __init__(self, embed: nn.Module, dim: int) -> None:
        super().__init__()
        self.embed, self.embed_kind = embed, nn.Embedding(len(PRIORS), dim)
        nn.init.zeros_(self.embed_kind.weight)
        parts = torch.arange(BATCH_SIZE).tensor_split(len(PRIORS))  # as FunctionTasks has them
        self.kinds = torch.cat([torch.full_like(part, i) for i, part in enumerate(parts)])

    def forward(self, inputs: Tensor) -> Tensor:
        return self.embed(inputs) + self.embed_kind(self.kinds).unsqueeze(1)


def adapt_for(config: CMANPConfig) -> CMANPConfig | None:
    """The network that tasks are adapted for, if it expects that."""
    return config if config.relevance else None


def kept(tasks: FunctionTasks, name: str, arguments: argparse.Namespace) -> KeptTasks:
    """Tasks that all variants share whose memory is the same."""
    config, what = tasks.adapt_for, "not adapted"
    if config is not None:
        what = f"adapted, F = {config.adapted_features}, K = {config.memory_regressions}"
    return KeptTasks(tasks, arguments.runs / "tasks" / f"{name}, {what}")


def trained(name: str, config: CMANPConfig, arguments: argparse.Namespace) -> CMANP:
    """The network of a variant, trained."""
    functions = FunctionTasks(PRIORS, adapt_for=adapt_for(config), p_heavy=0.15, p_varying=0.3, **SIZES)
    tasks = kept(functions, "training", arguments)
    options = TrainingOptions(
        steps=arguments.steps,
        distinct=arguments.distinct,
        batch_size=BATCH_SIZE,
        warmup=100,
        cooldown=0.5,
        evaluate_every=200,
        n_evaluation=8,
    )
    torch.manual_seed(0)
    model = initialize(CMANP(config), tasks, BATCH_SIZE)
    if "told" in name:
        model.embed_query = ToldKind(model.embed_query, config.dim)
    train_in(arguments.runs / name.replace(", ", "-").replace(" ", "-"), model, tasks, options)
    return model


@torch.no_grad()
def on_tasks(model: CMANP, kind: str, arguments: argparse.Namespace) -> np.ndarray:
    """Log-likelihood of every task."""
    prior, noise = KINDS[kind]
    functions = FunctionTasks([prior], adapt_for=adapt_for(model.config), **SIZES, **noise)
    tasks = kept(functions, kind, arguments)
    if isinstance(model.embed_query, ToldKind):
        model.embed_query.kinds = torch.full((BATCH_SIZE,), PRIORS.index(prior))
    batches = (tasks.sample(BATCH_SIZE, task_generator(EVALUATION_STEP + i)) for i in range(arguments.batches))
    values = [log_likelihood(model(*batch.inputs), batch.y_target) for batch in batches]
    return torch.cat(values).clamp(min=WORST).double().numpy()


def on_tables(model: CMANP, folder: Path, n_splits: int) -> np.ndarray:
    """Log-likelihood of the standardised target of every split of every table with at most 8 features."""
    values = []
    for _, X, y, splits in tables(folder, n_splits):
        if X.shape[1] > model.config.dim_x:
            continue
        for train, test in splits:
            rows = np.random.default_rng(0).permutation(train)[:300]
            regressor = CMANPRegressor(model).fit(X[rows], y[rows])
            values.append(regressor.log_prob(X[test], y[test]).mean() + np.log(y[rows].std()))
    return np.array(values)


def draw(rows: list[dict], columns: list[str]) -> None:
    """Differences to the whole network, by kind; and the memory's by its size."""
    picture, (left, right) = figure(1, 2, figsize=(13, 5), width_ratios=[3, 1])
    by_name = {row["variant"]: row for row in rows}
    names = [name for name in [*TRAINED, f"memory alone, F = {BASE['memory_features']}"] if name != "both"]
    width = 0.8 / len(columns)
    for i, column in enumerate(columns):
        heights = [by_name[name][column] - by_name["both"][column] for name in names]
        left.bar(np.arange(len(names)) + (i - len(columns) / 2 + 0.5) * width, heights, width, label=column)
    left.set_xticks(range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=8)
    left.set(title="log-likelihood compared with both", ylabel="nats per target", ylim=(-1.2, 0.15))
    left.axhline(0, color="black", linewidth=0.8)
    left.legend(fontsize=8)
    for column in columns:
        values = [by_name[f"memory alone, F = {f}"][column] for f in FEATURES]
        right.plot(FEATURES, np.array(values) - values[-1], marker="o", markersize=3, label=column)
    right.set(title="memory alone, by features", xlabel="F", xscale="log", ylim=(-0.8, 0.1))
    right.set_xticks(FEATURES, [str(f) for f in FEATURES])
    right.minorticks_off()
    for ax in (left, right):
        ax.grid(alpha=0.3, axis="y")
    picture.savefig(RESULTS / "extensions.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--distinct", type=int, default=800, help="batches of training tasks, which come again")
    parser.add_argument("--batches", type=int, default=25, help="of 16 evaluation tasks of each kind")
    add_table_options(parser)
    parser.add_argument("--runs", type=Path, default=Path("runs/extensions"))
    arguments = parser.parse_args()

    models = {name: trained(name, CMANPConfig(**{**BASE, **changes}), arguments) for name, changes in TRAINED.items()}
    # A fresh network predicts what its memory does.
    models |= {name: CMANP(CMANPConfig(**{**BASE, **changes})).eval() for name, changes in ALONE.items()}
    columns = [*KINDS, *(["tables"] if arguments.uci else [])]
    values: dict[str, dict[str, np.ndarray]] = {}
    for name, model in tqdm(models.items(), desc="evaluating"):
        values[name] = {kind: on_tasks(model, kind, arguments) for kind in KINDS}
        if arguments.uci and "told" not in name:  # nobody knows of what kind a table is
            values[name]["tables"] = on_tables(model, arguments.uci, arguments.splits)
    rows = []
    for name in models:
        row: dict[str, Any] = {"variant": name, "steps": arguments.steps if name in TRAINED else 0}
        for column in columns:
            own = values[name].get(column, np.full_like(values["both"][column], np.nan))
            difference = own - values["both"][column]
            row |= {
                column: float(own.mean()),
                f"{column} to both": float(difference.mean()),
                f"{column} to both se": standard_error(difference),
            }
        rows.append(row)
    write("extensions", rows)
    draw(rows, columns)


if __name__ == "__main__":
    main()
