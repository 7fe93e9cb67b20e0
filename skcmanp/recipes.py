"""Recipes: TOML files that say how a checkpoint is made."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from skcmanp.nn.model import CMANPConfig
from skcmanp.tasks import FunctionPrior, FunctionTasks, RandomGP, RandomLinear, RandomMLP
from skcmanp.training import TrainingOptions

PRIORS: dict[str, type] = {"gp": RandomGP, "linear": RandomLinear, "mlp": RandomMLP}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that determines a checkpoint.

    Parameters
    ----------
    name, description, limits : str
        What it is called, what it is for, and where it fails.
    config : CMANPConfig
    tasks : FunctionTasks
    training : TrainingOptions
    source : dict
        The parsed TOML file.
    """

    name: str
    description: str
    limits: str
    config: CMANPConfig
    tasks: FunctionTasks
    training: TrainingOptions
    source: dict[str, Any]


def load_recipe(path: str | Path) -> Recipe:
    """Read and validate a recipe.

    Parameters
    ----------
    path : path
        TOML file with the keys ``name``, ``description`` and ``limits`` and the tables
        ``model`` (keys of `CMANPConfig`), ``tasks`` (arguments of
        `FunctionTasks`, with ``priors`` as a list of tables with a ``kind``)
        and ``training`` (keys of `TrainingOptions`).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not TOML, or a key is missing or unknown.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no recipe {path}.")
    try:
        source = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not a TOML file: {error}.") from error
    return parse_recipe(source, str(path))


def parse_recipe(source: dict[str, Any], origin: str) -> Recipe:
    """Validate a recipe that is already a dict, such as the one in a checkpoint's card.

    Parameters
    ----------
    source : dict
        As in `load_recipe`.
    origin : str
        Where it comes from, for error messages.

    Raises
    ------
    ValueError
        If a key is missing or unknown.
    """
    expected = {"name", "description", "limits", "model", "tasks", "training"}
    if set(source) != expected:
        raise ValueError(
            f"{origin} must have exactly the keys {sorted(expected)}; "
            f"missing {sorted(expected - set(source))}, unknown {sorted(set(source) - expected)}."
        )
    try:
        config = CMANPConfig.from_dict(source["model"])
        return Recipe(
            name=source["name"],
            description=source["description"],
            limits=source["limits"],
            config=config,
            tasks=_function_tasks(source["tasks"], config.dim_x),
            training=TrainingOptions(**source["training"]),
            source=source,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{origin}: {error}") from error


def _function_tasks(table: dict[str, Any], dim_x: int) -> FunctionTasks:
    arguments = _arguments(table)
    priors = [_prior(prior) for prior in arguments.pop("priors", ())]
    return FunctionTasks(priors, dim_x, **arguments)


def _prior(table: dict[str, Any]) -> FunctionPrior:
    arguments = _arguments(table)
    kind = arguments.pop("kind", None)
    if kind not in PRIORS:
        raise ValueError(f"Unknown kind {kind!r} of prior; the known ones are {sorted(PRIORS)}.")
    return PRIORS[kind](**arguments)


def _arguments(table: dict[str, Any]) -> dict[str, Any]:
    """TOML has lists where Python has tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
