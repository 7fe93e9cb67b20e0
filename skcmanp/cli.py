"""Command line: ``skcmanp info``, ``train RECIPE``, ``evaluate CHECKPOINT`` and ``plot LOG``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
from contextlib import nullcontext
from pathlib import Path

import joblib
import sklearn
import torch

import skcmanp
from skcmanp.cards import export
from skcmanp.checkpoints import WEIGHTS, load_checkpoint, shipped_checkpoints
from skcmanp.devices import resolve_device
from skcmanp.files import locked
from skcmanp.nn.model import CMANP
from skcmanp.recipes import Recipe, check_tasks, load_recipe, parse_recipe
from skcmanp.tasks import KeptTasks
from skcmanp.training import TrainingLog, evaluate, initialize, meta_train
from skcmanp.training.loop import load_state
from skcmanp.training.workers import Workers, process_group

_INVALID = (FileNotFoundError, FileExistsError, BlockingIOError, IsADirectoryError, NotADirectoryError, ValueError)


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: 0; 1 if a file cannot be written, memory is short or a loss
        is not finite; 2 if the request, or a file that it names, is invalid;
        130 after Ctrl-C, and 143 after SIGTERM.
    """
    parser = argparse.ArgumentParser(prog="skcmanp", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    info = commands.add_parser("info", help="version, devices, shipped checkpoints and their cards")
    info.add_argument("checkpoint", nargs="?", help="print the whole card of this shipped checkpoint")

    train = commands.add_parser("train", help="meta-train a checkpoint from a recipe")
    train.add_argument("recipe", type=Path, help="TOML file")
    train.add_argument("--output", type=Path, help="folder of the run (default: runs/<name of the recipe>)")
    train.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    train.add_argument("--steps", type=_count, help="instead of the recipe's")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>")
    train.add_argument("--threads", type=_count, help="CPU threads")
    train.add_argument("--jobs", type=_count, default=1, help="processes that draw the tasks that are drawn only once")

    evaluate_ = commands.add_parser("evaluate", help="evaluate a checkpoint on held-out tasks")
    evaluate_.add_argument("checkpoint", help="name of a shipped checkpoint, or a safetensors file")
    evaluate_.add_argument("--recipe", type=Path, help="draw the tasks of this recipe instead of the checkpoint's own")
    evaluate_.add_argument("--batches", type=_count, default=100, help="number of batches of tasks (default: 100)")
    evaluate_.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>")

    plot = commands.add_parser("plot", help="draw the learning curves of runs (needs matplotlib)")
    plot.add_argument("logs", nargs="+", type=Path, help="log.jsonl of a run, or its folder")
    plot.add_argument("--output", type=Path, default=Path("learning_curve.png"), help="picture to write")

    arguments = parser.parse_args(argv)
    run = {"info": _info, "train": _train, "evaluate": _evaluate, "plot": _plot}
    try:
        run[arguments.command](arguments)
    except KeyboardInterrupt:
        return _failed(arguments.command, "interrupted.", 130)
    except _INVALID as error:
        return _failed(arguments.command, error, 2)
    except (OSError, FloatingPointError, MemoryError, torch.OutOfMemoryError) as error:
        return _failed(arguments.command, str(error) or "memory is short.", 1)
    except RuntimeError as error:
        if "memory" not in str(error):  # torch tells in no other way that it is short
            raise
        return _failed(arguments.command, str(error).splitlines()[0], 1)
    return 0


def _failed(command: str, message: object, status: int) -> int:
    print(f"skcmanp {command}: {message}", file=sys.stderr)
    return status


def _count(text: str) -> int:
    """An argument that is a number of things."""
    if not text.isdecimal() or not 0 < int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} must be an integer of at least 1")
    return int(text)


def _info(arguments: argparse.Namespace) -> None:
    name, shipped = arguments.checkpoint, shipped_checkpoints()
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
    output = arguments.output or Path("runs") / recipe.name
    state_path, log_path = output / "state.pt", output / "log.jsonl"
    with process_group(resolve_device(arguments.device)) as device:
        check_tasks(recipe, str(arguments.recipe))
        with locked(output) if Workers.current().is_first else nullcontext():
            if state_path.exists() and not arguments.resume:
                raise FileExistsError(f"{state_path} exists; go on with --resume, or choose another --output.")
            if log_path.exists():
                TrainingLog.read(log_path)  # lines are going to be added to it
            _train_in(output, recipe, device, arguments.jobs)


def _train_in(output: Path, recipe: Recipe, device: torch.device, n_jobs: int) -> None:
    """Train in a folder, from the state that it has, if it has one."""
    tasks = recipe.tasks
    if recipe.training.distinct:
        # A recipe that has changed has its own.
        fingerprint = joblib.hash((recipe.source["tasks"], recipe.config))[:8]
        kept = KeptTasks(recipe.tasks, output / f"tasks-{fingerprint}")
        mine = range(recipe.training.distinct)[Workers.current().rank :: Workers.current().size]
        kept.draw(recipe.training.batch_size, mine, n_jobs)
        held_out = kept if recipe.evaluation_tasks is recipe.tasks else recipe.evaluation_tasks
        recipe, tasks = dataclasses.replace(recipe, evaluation_tasks=held_out), kept
    model = _initial_model(recipe).to(device)
    meta_train(
        model,
        tasks,
        recipe.training,
        evaluation_tasks=recipe.evaluation_tasks,
        state_path=output / "state.pt",
        log_path=output / "log.jsonl",
        identity={key: json.dumps(recipe.source[key], sort_keys=True) for key in ("name", "model", "tasks")},
    )
    if Workers.current().is_first:
        seconds = load_state(output / "state.pt")["seconds"]
        path = export(model, dataclasses.replace(recipe, tasks=tasks), output, seconds)
        print(f"{path} and its card {path.with_suffix('.md')} are written.")


def _initial_model(recipe: Recipe) -> CMANP:
    if recipe.start is not None:
        model = load_checkpoint(recipe.start)[0]
        if model.config.joint_rank != recipe.config.joint_rank:
            torch.manual_seed(recipe.training.seed)
            model = model.with_joint_head(recipe.config.joint_rank)
        return model
    torch.manual_seed(recipe.training.seed)
    return initialize(CMANP(recipe.config), recipe.tasks, recipe.training.batch_size)


def _evaluate(arguments: argparse.Namespace) -> None:
    path = shipped_checkpoints().get(arguments.checkpoint, Path(arguments.checkpoint))
    if not path.is_file():
        raise FileNotFoundError(
            f"{arguments.checkpoint!r} is neither a shipped checkpoint ({', '.join(shipped_checkpoints())}) nor a file."
        )
    model, card = load_checkpoint(path)
    if arguments.recipe is None and "recipe" not in card:
        raise ValueError(f"The checkpoint {str(path)!r} has no recipe in its card; give one with --recipe.")
    if arguments.recipe is None:
        if not isinstance(card["recipe"], dict):
            raise ValueError(f"The recipe in the card of {str(path)!r} is no table; give one with --recipe.")
        recipe = parse_recipe(card["recipe"], str(path), path.parent)
    else:
        recipe = load_recipe(arguments.recipe)
    for key in ("dim_x", "dim_y", "relevance"):
        if getattr(model.config, key) != getattr(recipe.config, key):
            raise ValueError(
                f"The checkpoint {str(path)!r} has {key}={getattr(model.config, key)}, but the recipe's model has "
                f"{getattr(recipe.config, key)}."
            )
    check_tasks(recipe, recipe.name)
    model = model.to(resolve_device(arguments.device))
    result = evaluate(model, recipe.evaluation_tasks, arguments.batches, recipe.training.batch_size)
    print(f"{path.stem} on {arguments.batches * recipe.training.batch_size:,} tasks of {recipe.name}:")
    print(f"  log-likelihood {result['log_likelihood']:.4f} ± {result['standard_error']:.4f} nats per target")
    print(f"  coverage of 90 % intervals {result['coverage_90']:.3f}")


def _plot(arguments: argparse.Namespace) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError("Pictures need matplotlib: pip install 'skcmanp[plot]'.") from error

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    ax = figure.add_subplot()
    for path in arguments.logs:
        path = path / "log.jsonl" if path.is_dir() else path
        TrainingLog.read(path).plot(ax, label=path.absolute().parent.name)
    ax.legend()
    figure.savefig(arguments.output, dpi=150)
    print(f"{arguments.output} is written.")
