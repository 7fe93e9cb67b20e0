"""What attention is worth where all functions are of one family, by family.

Within a family attention has most to find: the phase of a cycle, the place of a jump, whether a day is a Sunday.
Small networks are trained with equal steps on each family, with the conjugate memory and blocks, joined in both
ways, with the memory and next to no attention, and without the memory, and are evaluated on the same held-out tasks.
``python benchmarks/families.py [--streams FOLDER]``, with ``vic_elec.parquet``; runs that were stopped go on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _report import standard_error, write
from _runs import SMALL, evaluate_batches, train_in
from datasets import days

from skcmanp import CMANP, CMANPConfig, TrainingOptions
from skcmanp.tasks import DatasetTasks, FunctionTasks, RandomGates, RandomPeriodic, TaskGenerator
from skcmanp.training import initialize, task_generator

BASE: dict[str, Any] = {
    **SMALL,
    "max_count": 40.0,
    "input_limit": 6.0,
    "memory_features": 64,
    "memory_priors": 3,
    "memory_regressions": 4,
}
ONE = {"n_blocks": 1, "n_block_latents": 1, "n_input_latents": 1}
VARIANTS: dict[str, dict[str, Any]] = {
    "memory and blocks": {},
    "gate, blocks alone first": {"memory_fusion": "gate"},
    "memory, 1 latent": ONE,
    "blocks only": {"memory_features": 0, "memory_priors": 1},
    "1 latent only": {"memory_features": 0, "memory_priors": 1, **ONE},
}
BATCH_SIZE = 16
ALONE = 0.6  # share of the steps in which blocks beside a gate learn alone


class Family(NamedTuple):
    """Tasks to learn from, and others to be judged by."""

    training: TaskGenerator
    held_out: TaskGenerator


def families(streams: Path | None) -> dict[str, Family]:
    """Those that are simulated, and days of electricity demand."""
    sizes: dict[str, Any] = {"dim_x": 1, "n_context": (2, 40), "n_target": 32, "noise": (0.02, 0.3), "p_empty": 0.0}
    cycles = FunctionTasks([RandomPeriodic((0.5, 3.0))], **sizes)
    jumps = FunctionTasks([RandomGates()], **sizes)
    found = {}
    if streams is not None:
        data = days(streams)
        seen, others = ([rows for day, rows in data.items() if (day.year < 2014) == early] for early in (True, False))
        found["days"] = Family(*(DatasetTasks(rows, n_context=(2, 40), n_target=8) for rows in (seen, others)))
    return found | {"cycles": Family(cycles, cycles), "jumps": Family(jumps, jumps)}


def trained(name: str, changes: dict[str, Any], family: Family, arguments: argparse.Namespace) -> CMANP:
    """The network of a variant, trained on a family."""
    options = TrainingOptions(
        steps=arguments.steps,
        batch_size=BATCH_SIZE,
        warmup=100,
        cooldown=0.35 if "memory_fusion" in changes else 0.5,
        alone=int(ALONE * arguments.steps) if "memory_fusion" in changes else 0,
        evaluate_every=500,
        n_evaluation=16,
    )
    dim_x = family.training.sample(1, task_generator(0)).x.shape[-1]
    torch.manual_seed(0)
    model = initialize(CMANP(CMANPConfig(dim_x=dim_x, **{**BASE, **changes})), family.training)
    folder = arguments.runs / name.replace(", ", "-").replace(" ", "-")
    train_in(folder, model, family.training, options, family.held_out)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=Path, help="folder of the days")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batches", type=int, default=200, help="of 16 held-out tasks")
    parser.add_argument("--runs", type=Path, default=Path("runs/families"))
    arguments = parser.parse_args()

    rows = []
    for family_name, family in families(arguments.streams).items():
        models = {
            name: trained(f"{family_name}, {name}", changes, family, arguments) for name, changes in VARIANTS.items()
        }
        values = evaluate_batches(models, family.held_out, arguments.batches, None, family_name)
        for name, value in values.items():
            difference = value - values["memory, 1 latent"]
            rows.append(
                {
                    "family": family_name,
                    "network": name,
                    "steps": arguments.steps,
                    "log_likelihood": float(value.mean()),
                    "to 1 latent": float(difference.mean()),
                    "to 1 latent se": standard_error(difference),
                }
            )
    write("families", rows)


if __name__ == "__main__":
    main()
