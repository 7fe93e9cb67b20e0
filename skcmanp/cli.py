"""Command line: ``skcmanp info``, ``skcmanp train RECIPE`` and ``skcmanp evaluate CHECKPOINT``."""

from __future__ import annotations

import argparse
import dataclasses
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import sklearn
import torch

import skcmanp
from skcmanp.checkpoints import WEIGHTS, checkpoint_bytes, load_checkpoint, save_checkpoint, shipped_checkpoints
from skcmanp.devices import resolve_device
from skcmanp.nn.model import CMANP
from skcmanp.recipes import Recipe, load_recipe, parse_recipe
from skcmanp.training import evaluate, meta_train


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, or 2 if the request is invalid.
    """
    parser = argparse.ArgumentParser(prog="skcmanp", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    info = commands.add_parser("info", help="version, devices, shipped checkpoints and their cards")
    info.add_argument("checkpoint", nargs="?", help="print the whole card of this shipped checkpoint")

    train = commands.add_parser("train", help="meta-train a checkpoint from a recipe")
    train.add_argument("recipe", type=Path, help="TOML file")
    train.add_argument("--output", type=Path, help="folder of the run (default: runs/<name of the recipe>)")
    train.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    train.add_argument("--steps", type=int, help="instead of the recipe's")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>")
    train.add_argument("--threads", type=int, help="CPU threads")

    evaluate_ = commands.add_parser("evaluate", help="evaluate a checkpoint on held-out tasks")
    evaluate_.add_argument("checkpoint", help="name of a shipped checkpoint, or a safetensors file")
    evaluate_.add_argument("--recipe", type=Path, help="draw the tasks of this recipe instead of the checkpoint's own")
    evaluate_.add_argument("--batches", type=int, default=100, help="number of batches of tasks (default: 100)")
    evaluate_.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>")

    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "info":
            _info(arguments.checkpoint)
        elif arguments.command == "train":
            _train(arguments)
        else:
            _evaluate(arguments)
    except (FileNotFoundError, FileExistsError, ValueError) as error:
        print(f"skcmanp {arguments.command}: {error}", file=sys.stderr)
        return 2
    return 0


def _info(name: str | None) -> None:
    shipped = shipped_checkpoints()
    if name is not None:
        if name not in shipped:
            raise ValueError(f"{name!r} is not a shipped checkpoint; these are: {', '.join(shipped)}.")
        print((WEIGHTS / f"{name}.md").read_text(encoding="utf-8"), end="")
        return
    print(f"skcmanp {skcmanp.__version__} (Python {platform.python_version()}, torch {torch.__version__}, ", end="")
    print(f"scikit-learn {sklearn.__version__})")
    devices = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    print(f"devices: {', '.join(['cpu', *devices])}")
    print("checkpoints:")
    for checkpoint, path in shipped.items():
        model, card = load_checkpoint(path)
        n_parameters = sum(p.numel() for p in model.parameters())
        print(
            f"  {checkpoint:10} {card['description']}; {n_parameters:,} parameters, "
            f"{path.stat().st_size / 1e6:.1f} MB, {card['steps']:,} steps, "
            f"log-likelihood {card['evaluation']['log_likelihood']:.3f}"
        )
    print("skcmanp info NAME prints a checkpoint's card.")


def _train(arguments: argparse.Namespace) -> None:
    recipe = load_recipe(arguments.recipe)
    if arguments.steps is not None:
        recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, steps=arguments.steps))
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    device = resolve_device(arguments.device)
    output = arguments.output or Path("runs") / recipe.name
    state_path = output / "state.pt"
    if state_path.exists() and not arguments.resume:
        raise FileExistsError(f"{state_path} exists; go on with --resume, or choose another --output.")
    output.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(recipe.training.seed)
    model = CMANP(recipe.config).to(device)
    meta_train(model, recipe.tasks, recipe.training, state_path=state_path, log_path=output / "log.jsonl")
    path = export(model, recipe, output, torch.load(state_path, weights_only=True)["seconds"])
    print(f"{path} and its card {path.with_suffix('.md')} are written.")


def _evaluate(arguments: argparse.Namespace) -> None:
    path = shipped_checkpoints().get(arguments.checkpoint, Path(arguments.checkpoint))
    if not path.is_file():
        raise FileNotFoundError(
            f"{arguments.checkpoint!r} is neither a shipped checkpoint ({', '.join(shipped_checkpoints())}) nor a file."
        )
    model, card = load_checkpoint(path)
    if arguments.recipe is None and "recipe" not in card:
        raise ValueError(f"The checkpoint {str(path)!r} has no recipe in its card; give one with --recipe.")
    recipe = parse_recipe(card["recipe"], str(path)) if arguments.recipe is None else load_recipe(arguments.recipe)
    model = model.to(resolve_device(arguments.device))
    result = evaluate(model, recipe.tasks, arguments.batches, recipe.training.batch_size)
    print(f"{path.stem} on {arguments.batches * recipe.training.batch_size:,} tasks of {recipe.name}:")
    print(f"  log-likelihood {result['log_likelihood']:.4f} ± {result['standard_error']:.4f} nats per target")
    print(f"  coverage of 90 % intervals {result['coverage_90']:.3f}")


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
    n_batches, batch_size = 100, recipe.training.batch_size
    exact = evaluate(model, recipe.tasks, n_batches, batch_size)
    stored, _ = load_checkpoint(checkpoint_bytes(model, dtype=torch.float16))
    evaluation = evaluate(stored.to(device), recipe.tasks, n_batches, batch_size)
    card = {
        "name": recipe.name,
        "description": recipe.description,
        "limits": recipe.limits,
        "recipe": recipe.source,
        "n_features": [recipe.tasks.min_features, recipe.config.dim_x],
        "n_context": list(recipe.tasks.n_context),
        "noise": list(recipe.tasks.noise),
        "steps": recipe.training.steps,
        "tasks": recipe.training.steps * batch_size,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine() + " CPU",
        "hours": round(seconds / 3600, 2),
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


def card_markdown(card: dict[str, Any]) -> str:
    """A checkpoint's card for people."""
    evaluation = card["evaluation"]
    priors = ", ".join(prior["kind"] for prior in card["recipe"]["tasks"]["priors"])
    rows = {
        "features": " to ".join(map(str, dict.fromkeys(card["n_features"]))),
        "context rows in training": "{} to {}, and none".format(*card["n_context"]),
        "priors": priors,
        "noise / signal": "{} to {}".format(*card["noise"]),
        "steps (tasks)": f"{card['steps']:,} ({card['tasks']:,})",
        "trained on": f"{card['device']}, {card['hours']} h, torch {card['torch']}",
        "code": card["commit"],
        "log-likelihood": f"{evaluation['log_likelihood']:.3f} ± {evaluation['standard_error']:.3f} nats per target, "
        f"on {card['evaluation_tasks']:,} held-out tasks of its prior",
        "coverage of 90 % intervals": f"{evaluation['coverage_90']:.3f}",
        "cost of float16 storage": f"{card['float16_loss']:.1e} nats",
        "licence": card["licence"],
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    recipe = f"Made by `skcmanp train recipes/{card['name']}.toml`."
    return f"# {card['name']}\n\n{card['description']}. {recipe}\n\n| | |\n|---|---|\n{table}\n\n{card['limits']}\n"


def source_commit() -> str:
    """The commit of a source checkout, or the version of an installed package."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return f"skcmanp {skcmanp.__version__}"
