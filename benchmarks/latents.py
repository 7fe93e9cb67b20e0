"""What the attention blocks of the shipped checkpoints are worth: predictions without what they read.

Every checkpoint predicts held-out tasks of its own recipe with the latents of their context, then with
those of another task of the batch, which has as many rows; the conjugate memory is its own in both.
Beside them the memory alone. ``image-gray`` completes digits that it never saw, also by number of known
pixels. ``python benchmarks/latents.py [--emnist FOLDER]``, with ``emnist_digits_train.npz``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from _report import standard_error, write
from images import split_digits
from tqdm.auto import tqdm

from skcmanp import CMANP
from skcmanp.checkpoints import load_checkpoint, shipped_checkpoints
from skcmanp.nn.attention import KeyValue
from skcmanp.recipes import parse_recipe
from skcmanp.tasks import ImageTasks, TaskGenerator
from skcmanp.training import EVALUATION_STEP, log_likelihood, task_generator

BATCH_SIZE = 16
CONTEXT_PIXELS = (5, 10, 25, 100)


def memory_alone(model: CMANP) -> CMANP:
    """A fresh network with the memory of this one, which predicts what its memory does."""
    alone = CMANP(model.config)
    if model.memory is not None and alone.memory is not None:
        alone.memory.load_state_dict(model.memory.state_dict())
    return alone.eval()


@torch.no_grad()
def compare(model: CMANP, tasks: TaskGenerator, n_batches: int, description: str) -> dict[str, float]:
    """Log-likelihoods and their differences, over batches, whose tasks share their sizes."""
    alone = memory_alone(model)
    own, other, memory_only = [], [], []
    for i in tqdm(range(n_batches), desc=description):
        batch = tasks.sample(BATCH_SIZE, task_generator(EVALUATION_STEP + i))
        x, y, x_target, *fitted = batch.inputs
        memory, count = model.condition(x, y, *fitted)
        # Half a batch further is another kind of function.
        swapped = [KeyValue(*(t.roll(BATCH_SIZE // 2, 0) for t in kv)) for kv in memory.keys_values]
        for values, distribution in (
            (own, model.query(x_target, memory, count)),
            (other, model.query(x_target, memory._replace(keys_values=swapped), count)),
            (memory_only, alone(*batch.inputs)),
        ):
            values.append(log_likelihood(distribution, batch.y_target).mean().item())
    to_other, to_memory = np.subtract(own, other), np.subtract(own, memory_only)
    return {
        "log_likelihood": float(np.mean(own)),
        "to other latents": float(to_other.mean()),
        "to other latents se": standard_error(to_other),
        "to memory alone": float(to_memory.mean()),
        "to memory alone se": standard_error(to_memory),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emnist", type=Path, help="folder of the digits")
    parser.add_argument("--batches", type=int, default=100, help="of 16 tasks")
    arguments = parser.parse_args()
    rows = []
    for name, path in shipped_checkpoints().items():
        model, card = load_checkpoint(path)
        if card["recipe"]["tasks"].get("kind") == "images":
            if arguments.emnist is None:
                continue
            _, images = split_digits(arguments.emnist)
            sets: dict[str, TaskGenerator] = {"digits": ImageTasks(images)}
            for n in CONTEXT_PIXELS:
                sets[f"digits, {n} pixels"] = ImageTasks(images, n_context=(n, n), min_target=200 - n)
        else:
            sets = {"own": parse_recipe(card["recipe"], str(path), path.parent).evaluation_tasks}
        for description, tasks in sets.items():
            figures = compare(model, tasks, arguments.batches, f"{name}, {description}")
            rows.append({"checkpoint": name, "tasks": description, **figures})
    write("latents", rows)


if __name__ == "__main__":
    main()
