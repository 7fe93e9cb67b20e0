"""Exporting a trained network: the checkpoint and its card."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

import skcmanp
from skcmanp.checkpoints import checkpoint_bytes, load_checkpoint, save_checkpoint
from skcmanp.nn.model import CMANP
from skcmanp.recipes import Recipe
from skcmanp.training import evaluate

EVALUATION_BATCHES = 100


def export(model: CMANP, recipe: Recipe, output: Path, seconds: float) -> Path:
    """Write a trained model as a checkpoint, and its card beside it.

    The weights are stored in float16; the card says what that costs.

    Parameters
    ----------
    model : CMANP
    recipe : Recipe
    output : path
        Folder.
    seconds : float
        Training time.

    Returns
    -------
    path
        Of the checkpoint.
    """
    device = next(model.parameters()).device
    batch_size = recipe.training.batch_size
    # Tasks that are kept are dear to draw.
    n_batches = recipe.training.n_evaluation if recipe.training.distinct else EVALUATION_BATCHES
    exact = evaluate(model, recipe.evaluation_tasks, n_batches, batch_size)
    stored, _ = load_checkpoint(checkpoint_bytes(model, dtype=torch.float16))
    evaluation = evaluate(stored.to(device), recipe.evaluation_tasks, n_batches, batch_size)
    card = {
        "name": recipe.name,
        "description": recipe.description,
        "limits": recipe.limits,
        "recipe": recipe.source,
        "start": None if recipe.start is None else _origin(load_checkpoint(recipe.start)[1]),
        "prior": recipe.tasks.describe(),
        "steps": recipe.training.steps,
        "tasks": recipe.training.steps * batch_size,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine() + " CPU",
        "hours": round(seconds / 3600, 4),
        "torch": torch.__version__,
        "commit": source_commit(),
        "evaluation_tasks": n_batches * batch_size,
        "evaluation": evaluation,
        "float16_loss": exact["log_likelihood"] - evaluation["log_likelihood"],
        "licence": "BSD-3-Clause",
    }
    path = output / f"{recipe.name}.safetensors"
    save_checkpoint(stored, path, card, torch.float16)
    path.with_suffix(".md").write_text(card_markdown(card), encoding="utf-8")
    return path


def _origin(card: dict[str, Any]) -> dict[str, Any]:
    """Of a checkpoint that another starts from, what its own card says of how it was made."""
    return {key: card.get(key) for key in ("name", "steps", "commit", "start")}


def card_markdown(card: dict[str, Any]) -> str:
    """A checkpoint's card for people."""
    evaluation = card["evaluation"]
    which = "of its [evaluation] table" if "evaluation" in card["recipe"] else "of its prior"
    rows = {
        **card["prior"],
        **_history(card.get("start")),
        "steps (tasks)": f"{card['steps']:,} ({card['tasks']:,})",
        "trained on": f"{card['device']}, {card['hours']} h, torch {card['torch']}",
        "code": card["commit"],
        "log-likelihood": f"{evaluation['log_likelihood']:.3f} ± {evaluation['standard_error']:.3f} nats per target, "
        f"on {card['evaluation_tasks']:,} held-out tasks {which}",
        **_joint(evaluation),
        "coverage of 90 % intervals": f"{evaluation['coverage_90']:.3f}",
        "targets in predicted tenths (PIT)": _histogram(evaluation["pit"]),
        "cost of float16 storage": f"{card['float16_loss']:.1e} nats",
        "licence": card["licence"],
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    made = f"Made by `skcmanp train recipes/{card['name']}.toml`."
    return f"# {card['name']}\n\n{card['description']}. {made}\n\n| | |\n|---|---|\n{table}\n\n{card['limits']}\n"


def _history(start: dict[str, Any] | None) -> dict[str, str]:
    """The row of the checkpoint that this one starts from, if there is one."""
    if start is None:
        return {}
    steps = "" if start["steps"] is None else f", {start['steps']:,} steps, code {start['commit']}"
    return {"starts from": f"{start['name']}{steps}"}


def _joint(evaluation: dict[str, Any]) -> dict[str, str]:
    """The row of a not-diagonal head, if there is one."""
    if "joint_log_likelihood" not in evaluation:
        return {}
    return {"of all targets together": f"{evaluation['joint_log_likelihood']:.3f} nats per target"}


def _histogram(fractions: list[float]) -> str:
    """Fractions as bars, of which the fourth of eight heights is what all would be in theory, and as per cent."""
    bars = "".join("▁▂▃▄▅▆▇█"[min(round(40 * fraction), 8) - 1 if fraction > 0.0125 else 0] for fraction in fractions)
    return f"{bars} {' '.join(f'{100 * fraction:.1f}' for fraction in fractions)} %"


def source_commit() -> str:
    """The commit of a source checkout, or the version of an installed package."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return f"skcmanp {skcmanp.__version__}"
