"""The papers' image completion: CMANP and its peers on EMNIST digits, and on letters that they never saw.

Trains every model for ``--steps`` steps on pixels of the same digits, then evaluates all on the same pixels of
other digits and of letters, by number of context pixels. Networks with a not-diagonal head also predict all pixels
together, and in blocks that know the true pixels of those before. A run that was stopped goes on.
``python benchmarks/images.py FOLDER``, with ``emnist_digits_train.npz`` and ``emnist_letters_dev.npz``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from _blocks import by_blocks
from _report import RESULTS, figure, standard_error, write
from _runs import HEAD_ONLY, OURS, Variant, train
from peers.joint import RANK
from torch import nn
from tqdm.auto import tqdm

from skcmanp import CMANPConfig, TrainingOptions
from skcmanp.recipes import Recipe
from skcmanp.tasks import ImageTasks
from skcmanp.tasks.image_files import read_images
from skcmanp.training import EVALUATION_STEP, joint_log_likelihood, log_likelihood, predict_jointly, task_generator

FOURIER = {
    "n_blocks": 3,
    "n_block_latents": 64,
    "n_input_latents": 64,
    "embed_depth": 3,
    "fourier_features": 64,
    "fourier_scales": (1.0, 12.0),
    "count_input": True,
    "max_count": 200.0,
}
MEMORY = {**FOURIER, "memory_features": 128, "memory_priors": 3, "memory_regressions": 4}
VARIANTS = [
    Variant("cnp", "cnp"),
    Variant("canp", "canp"),
    Variant("tnp-d", "tnp-d"),
    Variant("lbanp", "lbanp"),
    Variant("cmanp", "cmanp", initial="rows"),
    # What the parts are worth where functions are anything but Gaussian.
    Variant("cmanp-fourier", "cmanp", FOURIER, initial="all"),
    Variant("cmanp-memory", "cmanp", MEMORY, initial="all"),
    Variant("memory-one-latent", "cmanp", {**MEMORY, "n_block_latents": 1, "n_input_latents": 1}, initial="all"),
    # Not-diagonal heads on two of them, for blocks of pixels.
    Variant("cmanp-and", "cmanp", {"joint_rank": RANK}, HEAD_ONLY, start="cmanp"),
    Variant("cmanp-memory-and", "cmanp", {**MEMORY, "joint_rank": RANK}, HEAD_ONLY, start="cmanp-memory"),
]
BLOCK_SIZE = 5  # the papers' b_Q
BLOCKS = f"blocks of {BLOCK_SIZE}"
# Secondary sources: seen and unseen classes, after 200 epochs of all of EMNIST.
PUBLISHED = {
    "tnp-d": (1.46, 1.31),
    "lbanp": (1.39, 1.17),
    "cmanp": (1.36, 1.09),
    f"cmanp-and, {BLOCKS}": (1.48, 1.19),
}
CONTEXT_PIXELS = (10, 25, 50, 100, 150)
N_TRAINING = 22_000


def likelihoods(
    models: dict[str, nn.Module], tasks: ImageTasks, n_batches: int, name: str, blocks: bool
) -> dict[str, np.ndarray]:
    """Log-likelihood of every evaluation batch of 16 tasks, of all models on the same tasks.

    With `blocks`, which are slow, also in these.
    """
    values: dict[str, list[float]] = {}
    for i in tqdm(range(n_batches), desc=name):
        batch = tasks.sample(16, task_generator(EVALUATION_STEP + i))
        for model_name, model in models.items():
            together = model_name.endswith("-and")
            marginals, joint = predict_jointly(model, *batch.jointly) if together else (model(*batch.inputs), None)
            values.setdefault(model_name, []).append(log_likelihood(marginals, batch.y_target).mean().item())
            if joint is not None:
                likelihood = joint_log_likelihood(joint, batch.y_target)
                values.setdefault(f"{model_name}, joint", []).append(likelihood.mean().item())
                if blocks:
                    likelihood = by_blocks(model, batch, BLOCK_SIZE)
                    values.setdefault(f"{model_name}, {BLOCKS}", []).append(likelihood.mean().item())
    return {name: np.array(value) for name, value in values.items()}


def draw(rows: list[dict]) -> None:
    """Log-likelihood against the number of context pixels.

    Heads leave marginals as they are, so only their joint densities are drawn.
    """
    drawn = [row for row in rows if not row["model"].endswith("-and") and BLOCKS not in row["model"]]
    picture, axes = figure(1, 2, figsize=(11, 4.5), sharey=True)
    for ax, classes in zip(axes, ("seen", "unseen"), strict=True):
        for row in drawn:
            wide = 2.5 if row["model"].startswith("cmanp") else 1.2
            curve = [float(row[f"{classes} {n}"]) for n in CONTEXT_PIXELS]
            ax.plot(CONTEXT_PIXELS, curve, label=row["model"], linewidth=wide)
        ax.set(xlabel="context pixels of 784", title={"seen": "other digits", "unseen": "letters"}[classes])
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("log-likelihood, nats per pixel")
    axes[0].legend(fontsize=8, ncols=2)
    picture.savefig(RESULTS / "images.png", dpi=120)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batches", type=int, default=100, help="of 16 evaluation tasks")
    parser.add_argument("--runs", type=Path, default=Path("runs/images"))
    parser.add_argument("--models", nargs="+", help="only these; the results of others stay as they are")
    arguments = parser.parse_args()

    digits = read_images(arguments.folder / "emnist_digits_train.npz")
    letters = read_images(arguments.folder / "emnist_letters_dev.npz")
    mixed = digits[np.random.default_rng(0).permutation(len(digits))]
    tasks = ImageTasks(mixed[:N_TRAINING])
    training = TrainingOptions(batch_size=16, cooldown=0.5, **OURS)
    config = CMANPConfig(dim_x=2, min_std=0.05)
    recipe = Recipe("images", "", "", config, config, None, tasks, ImageTasks(mixed[N_TRAINING:]), training, {})

    chosen = [v for v in VARIANTS if arguments.models is None or v.name in arguments.models]
    with torch.enable_grad():
        runs = {v.name: train(v, recipe, arguments.steps, arguments.runs, evaluate_every=250) for v in chosen}
    models = {name: model for name, (model, _) in runs.items()}
    sets = {"seen": mixed[N_TRAINING:], "unseen": letters}
    rows: dict[str, dict] = {}
    for name, images in sets.items():
        results = {"": likelihoods(models, ImageTasks(images), arguments.batches, name, blocks=True)}
        for n in CONTEXT_PIXELS:
            fixed = ImageTasks(images, n_context=(n, n), min_target=200 - n)
            description = f"{name}, {n} pixels"
            results[f" {n}"] = likelihoods(models, fixed, arguments.batches // 4, description, blocks=False)
        for suffix, values in results.items():
            for model, value in values.items():
                row = rows.setdefault(model, {"model": model})
                row[f"{name}{suffix}"] = float(value.mean())
                if not suffix:
                    row[f"{name} se"] = standard_error(value)
    for model, row in rows.items():
        trained = model in runs
        row["parameters"] = sum(p.numel() for p in models[model].parameters()) if trained else ""
        row["hours"] = round(runs[model][1][-1]["seconds"] / 3600, 2) if trained else ""
        row["steps"] = arguments.steps
        row["published seen"], row["published unseen"] = PUBLISHED.get(model, ("", ""))
    columns = max(rows.values(), key=len)
    complete = [{column: row.get(column, "") for column in columns} for row in rows.values()]
    draw(write("images", complete, keys=("model",)))


if __name__ == "__main__":
    main()
