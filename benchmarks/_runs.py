"""Variants of models, trained by the package's own loop into folders that can be gone on with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import PEERS
from torch import Tensor, nn
from tqdm.auto import tqdm

from skcmanp import CMANP, CMANPConfig, TrainingOptions, meta_train
from skcmanp.nn.calibration import sharpen
from skcmanp.recipes import Recipe, load_recipe
from skcmanp.tasks import TaskGenerator
from skcmanp.tasks.gp import GPDraw
from skcmanp.training import EVALUATION_STEP, TrainingLog, initialize, log_likelihood, task_generator
from skcmanp.training.loop import load_state

META_REGRESSION = load_recipe(Path(__file__).parent.parent / "recipes" / "meta-regression.toml")
MODELS: dict[str, Callable[[CMANPConfig], nn.Module]] = {**PEERS, "cmanp": CMANP}

MEMORY = {
    "n_blocks": 2,
    "n_block_latents": 32,
    "n_input_latents": 32,
    "memory_features": 64,
    "memory_priors": 5,
    "fourier_scales": (1.0, 12.0),
    "count_input": True,
    "max_count": 46.0,
}
FOURIER = {"fourier_features": 32, "fourier_scales": (0.5, 12.0), "count_input": True, "max_count": 46.0}
# A network that a few minutes train.
SMALL: dict[str, Any] = {
    "n_blocks": 2,
    "n_block_latents": 32,
    "n_input_latents": 32,
    "embed_depth": 3,
    "fourier_features": 32,
    "fourier_scales": (1.0, 8.0),
    "count_input": True,
}
# What the package's own checkpoints are trained with, instead of the paper's 5e-4, 0.999 and no clipping.
OURS = {"learning_rate": 1e-3, "betas": (0.9, 0.98), "clip": 1.0, "warmup": 100}
# Of a not-diagonal head, which leaves the marginals of a trained network as they are.
HEAD_ONLY = {**OURS, "steps": 500, "trainable": "correlations."}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One model of a comparison.

    Parameters
    ----------
    name : str
        Also of its folder.
    model : str
        Key of `MODELS`.
    config, training : dict
        Changes of the recipe's.
    initial : {"torch", "rows", "all"}
        Which attention starts with scaled weights, see `skcmanp.nn.calibration`: none,
        that to rows, or also that to and among latents.
    start : str
        Name of a variant that is trained already, of which this one has all but the
        not-diagonal head.
    """

    name: str
    model: str
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    training: dict[str, Any] = dataclasses.field(default_factory=dict)
    initial: str = "torch"
    start: str = ""


def training_options(variant: Variant, recipe: Recipe, steps: int, **options: Any) -> TrainingOptions:
    """Those of the recipe, with `steps` and further options for all variants alike, and with the variant's own."""
    return dataclasses.replace(recipe.training, **{**options, "steps": steps, **variant.training})


def untrained(variant: Variant, recipe: Recipe, runs: Path | None = None) -> nn.Module:
    """A variant's network as its training begins; in `runs` is what it starts from.

    Without `runs` it only has the right shape.
    """
    torch.manual_seed(recipe.training.seed)
    model = MODELS[variant.model](dataclasses.replace(recipe.config, **variant.config))
    if runs is None:
        return model
    if variant.initial != "torch" and isinstance(model, CMANP):
        initialize(model, recipe.tasks, recipe.training.batch_size, latents=variant.initial == "all")
    elif variant.initial == "all":
        sharpen(model)
    if variant.start:
        weights = load_state(runs / variant.start / "state.pt")["model"]
        model.load_state_dict({**model.state_dict(), **weights})
    return model


def train(variant: Variant, recipe: Recipe, steps: int, runs: Path, **options: Any) -> tuple[nn.Module, TrainingLog]:
    """Train a variant by a recipe, or go on with it, and return it with its learning curve.

    Further options replace the recipe's for all variants alike.
    """
    model, folder = untrained(variant, recipe, runs), runs / variant.name
    train_in(folder, model, recipe.tasks, training_options(variant, recipe, steps, **options))
    return model, TrainingLog.read(folder / "log.jsonl")


def train_in(
    folder: Path,
    model: nn.Module,
    tasks: TaskGenerator,
    options: TrainingOptions,
    evaluation_tasks: TaskGenerator | None = None,
    **kwargs: Any,
) -> None:
    """Train a fresh model, or go on in a folder that has been begun; the model is then ready to predict.

    `kwargs` are those of `meta_train`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{folder.name}: {sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    meta_train(
        model,
        tasks,
        options,
        evaluation_tasks=evaluation_tasks,
        state_path=folder / "state.pt",
        log_path=folder / "log.jsonl",
        **kwargs,
    )
    model.eval()


@torch.no_grad()
def evaluate_batches(
    models: dict[str, nn.Module],
    tasks: TaskGenerator,
    n_batches: int,
    optima: Callable[[GPDraw], dict[str, Tensor]] | None,
    description: str,
) -> dict[str, np.ndarray]:
    """Log-likelihood of every evaluation batch of 16 tasks, of all models and of exact processes on the same tasks.

    `optima` gives those of a draw of `GPTasks`, by name; None where there are none.
    """
    values: dict[str, list[float]] = {}
    for i in tqdm(range(n_batches), desc=description):
        generator = task_generator(EVALUATION_STEP + i)
        if optima is None:
            batch, exact = tasks.sample(16, generator), {}
        else:
            draw = tasks.draw(16, generator)
            batch, exact = draw.batch, optima(draw)
        likelihoods = {name: log_likelihood(model(*batch.inputs), batch.y_target) for name, model in models.items()}
        for name, likelihood in {**likelihoods, **exact}.items():
            values.setdefault(name, []).append(likelihood.mean().item())
    return {name: np.array(value) for name, value in values.items()}
