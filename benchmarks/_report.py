"""Results as CSV, with what is needed to get them again."""

from __future__ import annotations

import csv
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from skcmanp.cards import source_commit

RESULTS = Path(__file__).parent / "results"


def write(name: str, rows: list[dict], keys: tuple[str, ...] = ()) -> list[dict]:
    """Print rows as a table and write them to results/<name>.csv with their provenance.

    With `keys`, rows of the file whose values in these columns are not among the new ones stay, so that what
    takes long, and has not changed, need not be measured again. Returns all rows of the file.
    """
    provenance = {
        "commit": source_commit(),
        # Folders are of one machine; their names are enough.
        "command": " ".join(["python", *(Path(part).name if "/" in part else part for part in sys.argv)]),
        "device": f"{platform.machine()} CPU, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
    }
    show(rows)
    RESULTS.mkdir(exist_ok=True)
    path, written = RESULTS / f"{name}.csv", [{**row, **provenance} for row in rows]
    if keys and path.exists():
        measured = {tuple(str(row[key]) for key in keys) for row in rows}
        with open(path, newline="", encoding="utf-8") as file:
            older = [row for row in csv.DictReader(file) if tuple(row[key] for key in keys) not in measured]
        written = sorted([*older, *written], key=lambda row: row[keys[0]])
    columns = dict.fromkeys([*rows[0], *provenance, *(key for row in written for key in row)])
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(written)
    return written


def show(rows: list[dict]) -> None:
    """Print rows as a table."""
    width = [max(len(key), *(len(format_value(row[key])) for row in rows)) for key in rows[0]]
    for cells in (list(rows[0]), *([format_value(value) for value in row.values()] for row in rows)):
        print("  ".join(cell.rjust(w) for cell, w in zip(cells, width, strict=True)))


def standard_error(values: np.ndarray) -> float:
    """Of the mean."""
    return float(values.std(ddof=1) / len(values) ** 0.5)


def figure(n_rows: int = 1, n_columns: int = 1, **kwargs: Any) -> tuple[Figure, Any]:
    """A figure that needs no display, and its axes."""
    axes = {key: kwargs.pop(key) for key in ("sharey", "width_ratios") if key in kwargs}
    picture = Figure(layout="constrained", **kwargs)
    return picture, picture.subplots(n_rows, n_columns, **axes)


def format_value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
