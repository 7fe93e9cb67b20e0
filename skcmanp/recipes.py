"""Recipes: TOML files that say how a checkpoint is made."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skcmanp.checkpoints import load_checkpoint, shipped_checkpoints
from skcmanp.fields import check_arguments, check_value
from skcmanp.nn.config import CMANPConfig
from skcmanp.tasks import (
    DatasetTasks,
    FunctionPrior,
    FunctionTasks,
    GPTasks,
    ImageTasks,
    RandomGates,
    RandomGP,
    RandomLinear,
    RandomMLP,
    RandomPeriodic,
    RandomSums,
    RandomTrees,
    TaskGenerator,
)
from skcmanp.training import TrainingOptions, task_generator

PRIORS: dict[str, type] = {
    "gates": RandomGates,
    "gp": RandomGP,
    "linear": RandomLinear,
    "mlp": RandomMLP,
    "periodic": RandomPeriodic,
    "sums": RandomSums,
    "trees": RandomTrees,
}

# Recipes that one may be built on, each on the next.
_MOST_BASES = 50

# What values of tasks and priors may be; others are integers from 1 on, or finite.
RANGES = {
    **dict.fromkeys(("p_empty", "p_heavy", "p_varying", "p_trend", "p_beyond", "p_pairs", "p_products"), "[0, 1]"),
    **dict.fromkeys(("lengthscale", "scale", "period", "noise", "width", "gain"), "(0, inf)"),
    **dict.fromkeys(("n_target", "min_target", "max_rows", "n_features", "n_terms", "n_cosines"), "[1, 1000000]"),
    **dict.fromkeys(("n_hidden", "n_trees", "n_harmonics"), "[1, 1000000]"),
    **dict.fromkeys(("n_context", "classes"), "[0, 1000000]"),
    "depth": "[1, 16]",
}
MAX_PARAMETERS = 1_000_000_000

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that determines a checkpoint.

    Parameters
    ----------
    name, description, limits : str
        What it is called, what it is for, and where it fails.
    config : CMANPConfig
    start : path or None
        Checkpoint whose weights training starts from; None starts afresh.
    tasks : TaskGenerator
    evaluation_tasks : TaskGenerator
        Those that it is evaluated on.
    training : TrainingOptions
    source : dict
        The parsed TOML file, laid over those that it builds on.
    """

    name: str
    description: str
    limits: str
    config: CMANPConfig
    start: Path | None
    tasks: TaskGenerator
    evaluation_tasks: TaskGenerator
    training: TrainingOptions
    source: dict[str, Any]


def load_recipe(path: str | Path) -> Recipe:
    r"""Read and validate a recipe.

    Parameters
    ----------
    path : path
        TOML file with the keys ``name``, ``description`` and ``limits`` and the tables

        - ``model``: keys of `CMANPConfig`; or ``checkpoint``, the name or file
          of one whose configuration and weights to start from, perhaps with a
          ``joint_rank``, that of a fresh not-diagonal head;
        - ``tasks``: a ``kind`` and its arguments: "functions" (the default),
          `FunctionTasks` with ``priors`` as a list of tables with a ``kind``;
          "gp", `GPTasks`; "datasets", `DatasetTasks.from_files`; or "images",
          `ImageTasks.from_files`;
        - ``evaluation``, optional: as ``tasks``, of those to evaluate on;
        - ``training``: keys of `TrainingOptions`; and ``memory_features``, if
          the conjugate memory is to be smaller while training, which is much
          cheaper.

        With a key ``base``, the file of another recipe, this one has all of the
        other's but what it says itself: its tables are laid over the base's key
        by key, lists within them replace lists, and a ``checkpoint`` replaces the
        whole model. A base may have a base, and need not be complete.

        Files are relative to the recipe's folder, also those that its base has
        under ``files`` and ``checkpoint``.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or none that it names.
    ValueError
        If it is not TOML, a key is missing or unknown, or recipes are each
        other's base.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skcmanp.recipes import load_recipe
    >>> lines = '''
    ... name = "lines"
    ... description = "Straight lines"
    ... limits = "Everything else"
    ... [model]
    ... dim = 32
    ... n_blocks = 1
    ... [tasks]
    ... priors = [{ kind = "linear" }]
    ... [training]
    ... steps = 100
    ... '''
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "lines.toml").write_text(lines)
    ...     path = Path(folder, "deeper.toml")
    ...     _ = path.write_text('base = "lines.toml"\nname = "deeper"\n[model]\nn_blocks = 2')
    ...     recipe = load_recipe(path)
    >>> recipe.name, recipe.config.dim, recipe.config.n_blocks, recipe.training.steps
    ('deeper', 32, 2, 100)
    """
    path = Path(path)
    return parse_recipe(_read(path), str(path), path.parent)


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """What a recipe says, laid over its base, which is read with those that build on it `above`."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no recipe {path}{f', the base of {above[-1]}' if above else ''}.")
    if len(above) > _MOST_BASES:
        raise ValueError(f"{above[0]} is built on more than {_MOST_BASES} others, each on the next; join some of them.")
    if any(path.samefile(other) for other in above):
        circle = " -> ".join(str(recipe) for recipe in (*above, path))
        raise ValueError(f"{above[0]} is built on itself: {circle}; take base out of one of them.")
    try:
        source = tomllib.loads(path.read_text(encoding="utf-8"))
        json.dumps(source)
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}.") from error
    except TypeError as error:  # a card holds the recipe as JSON, which knows no dates
        raise ValueError(f"{path} has a date or time, which no key takes: {error}.") from error
    base = source.pop("base", None)
    if base is None:
        return source
    if not isinstance(base, str):
        raise ValueError(f"{path}: base={base!r} must be the file of a recipe.")
    merged = _read(path.parent / base, (*above, path))
    for key, value in source.items():
        is_table = isinstance(value, dict) and isinstance(merged.get(key), dict)
        whole = key == "model" and is_table and "checkpoint" in value  # it sets the whole model
        merged[key] = merged[key] | value if is_table and not whole else value
    return merged


def parse_recipe(source: dict[str, Any], origin: str, folder: Path) -> Recipe:
    """Validate a recipe that is already a dict, such as the one in a checkpoint's card.

    Parameters
    ----------
    source : dict
        As in `load_recipe`, without a base.
    origin : str
        Where it comes from, for error messages.
    folder : path
        What its files are relative to.

    Raises
    ------
    FileNotFoundError
        If a file that it names does not exist.
    ValueError
        If a key is missing or unknown.
    """
    required = {"name", "description", "limits", "model", "tasks", "training"}
    missing, unknown = required - set(source), set(source) - required - {"evaluation"}
    if missing or unknown:
        raise ValueError(
            f"{origin} must have the keys {sorted(required)}, and may have 'evaluation'; "
            f"missing {sorted(missing)}, unknown {sorted(unknown)}."
        )
    for key, value in source.items():
        kind = str if key in ("name", "description", "limits") else dict
        if not isinstance(value, kind):
            raise ValueError(f"{origin}: {key}={value!r} must be {'a text' if kind is str else 'a table'}.")
    if not _NAME.fullmatch(source["name"]):
        raise ValueError(
            f"{origin}: name={source['name']!r} must be a name of files: up to 100 letters, digits, dots, hyphens and "
            "underscores, of which the first is a letter or a digit."
        )
    try:
        config, start = _model(source["model"], folder)
        tasks = _tasks(source["tasks"], config, folder)
        training = _arguments(source["training"])
        return Recipe(
            name=source["name"],
            description=source["description"],
            limits=source["limits"],
            config=config,
            start=start,
            tasks=tasks,
            evaluation_tasks=_tasks(source["evaluation"], config, folder) if "evaluation" in source else tasks,
            training=TrainingOptions(**training),
            source=source,
        )
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{origin}: {error}") from error


def _model(table: dict[str, Any], folder: Path) -> tuple[CMANPConfig, Path | None]:
    if "checkpoint" not in table:
        config = CMANPConfig.from_dict(table)
        if config.fewest_parameters > MAX_PARAMETERS:
            raise ValueError(f"The model would have more than {MAX_PARAMETERS:,} parameters: {config}.")
        return config, None
    if others := sorted(set(table) - {"checkpoint", "joint_rank"}):
        raise ValueError(f"checkpoint sets the whole model; leave out {others}.")
    name = table["checkpoint"]
    check_value("checkpoint", name, "str")
    path = shipped_checkpoints().get(name, folder / name)
    if not path.is_file():
        raise FileNotFoundError(
            f"checkpoint {name!r} is neither shipped ({', '.join(shipped_checkpoints())}) nor a file."
        )
    config = load_checkpoint(path)[0].config
    return dataclasses.replace(config, joint_rank=table.get("joint_rank", config.joint_rank)), path


def _function_tasks(config: CMANPConfig, folder: Path, **arguments: Any) -> FunctionTasks:
    priors = arguments.pop("priors", ())
    if not isinstance(priors, tuple) or not priors or not all(isinstance(prior, dict) for prior in priors):
        raise ValueError(f"priors={priors!r} must be a list of tables with a kind, such as [{{ kind = 'linear' }}].")
    check_arguments(FunctionTasks, arguments, RANGES)
    adapt_for = config if config.relevance else None
    return FunctionTasks([_prior(prior) for prior in priors], config.dim_x, adapt_for=adapt_for, **arguments)


def _gp_tasks(config: CMANPConfig, folder: Path, **arguments: Any) -> GPTasks:
    if config.relevance:
        raise ValueError("Tasks of kind 'gp' are not scaled, but the model has relevance=true; use 'functions'.")
    check_arguments(GPTasks, arguments, RANGES)
    return GPTasks(dim_x=config.dim_x, **arguments)


def _dataset_tasks(config: CMANPConfig, folder: Path, **arguments: Any) -> DatasetTasks:
    files = _files(arguments, folder)
    columns: dict[str, Any] = {name: arguments.pop(name) for name in ("target", "features") if name in arguments}
    check_arguments(DatasetTasks.from_files, columns, RANGES)
    if not all(isinstance(name, str) for name in columns.get("features") or ()):
        raise ValueError(f"features={columns['features']!r} must be names of columns.")
    check_arguments(DatasetTasks, arguments, RANGES)
    adapt_for = config if config.relevance else None
    tasks = DatasetTasks.from_files(files, **columns, dim_x=config.dim_x, adapt_for=adapt_for, **arguments)
    if tasks.dim_y != config.dim_y:
        raise ValueError(f"The data sets have {tasks.dim_y} targets, but the model has dim_y={config.dim_y}.")
    return tasks


def _image_tasks(config: CMANPConfig, folder: Path, **arguments: Any) -> ImageTasks:
    if config.relevance:
        raise ValueError("Tasks of kind 'images' are not scaled, but the model has relevance=true; leave it out.")
    files = _files(arguments, folder)
    which: dict[str, Any] = {name: arguments.pop(name) for name in ("classes", "split", "size") if name in arguments}
    check_arguments(ImageTasks.from_files, which, RANGES)
    check_arguments(ImageTasks, arguments, RANGES)
    tasks = ImageTasks.from_files(files, **which, **arguments)
    if config.dim_x != tasks.dim_x:
        raise ValueError(f"A pixel has 2 coordinates, but the model has dim_x={config.dim_x}; set it to 2.")
    if config.dim_y != tasks.dim_y:
        raise ValueError(f"The images have {tasks.dim_y} channels, but the model has dim_y={config.dim_y}.")
    return tasks


def _files(arguments: dict[str, Any], folder: Path) -> Path:
    files = arguments.pop("files", "")
    check_value("files", files, "str")
    return folder / files


TASKS: dict[str, Callable[..., TaskGenerator]] = {
    "functions": _function_tasks,
    "gp": _gp_tasks,
    "datasets": _dataset_tasks,
    "images": _image_tasks,
}


def _tasks(table: dict[str, Any], config: CMANPConfig, folder: Path) -> TaskGenerator:
    arguments = _arguments(table)
    kind = arguments.pop("kind", "functions")
    if not isinstance(kind, str) or kind not in TASKS:
        raise ValueError(f"Unknown kind {kind!r} of tasks; the known ones are {sorted(TASKS)}.")
    return TASKS[kind](config, folder, **arguments)


def _prior(table: dict[str, Any]) -> FunctionPrior:
    arguments = _arguments(table)
    kind = arguments.pop("kind", None)
    if not isinstance(kind, str) or kind not in PRIORS:
        raise ValueError(f"Unknown kind {kind!r} of prior; the known ones are {sorted(PRIORS)}.")
    check_arguments(PRIORS[kind], arguments, RANGES)
    return PRIORS[kind](**arguments)


def check_tasks(recipe: Recipe, origin: str) -> None:
    """Raise ValueError unless its tasks can be drawn, and are of finite numbers."""
    for key, tasks in (("tasks", recipe.tasks), ("evaluation", recipe.evaluation_tasks)):
        try:
            batch = tasks.sample(2, task_generator(0))
        except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{origin}: no tasks can be drawn of the table [{key}]: {error}") from error
        if not all(values.isfinite().all() for values in batch if values is not None):
            raise ValueError(f"{origin}: tasks of the table [{key}] have values that are not finite.")


def _arguments(table: dict[str, Any]) -> dict[str, Any]:
    """TOML has lists where Python has tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
