"""Data sets in files: CSV, parquet and npz, one file each."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.float64]]


def read_dataset(
    path: str | Path, target: str, features: Sequence[str] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read the features and the target of one file.

    Parameters
    ----------
    path : path
        ``.csv`` with a header line, ``.parquet`` (needs pyarrow), or ``.npz``
        with one array per column.
    target : str
        Name of the target's column.
    features : sequence of str, optional
        Names of the features' columns, in order; by default all but the target.

    Returns
    -------
    X : ndarray (n, d)
    y : ndarray (n,)

    Raises
    ------
    ValueError
        If the kind of file is unknown, a column is missing, or a value is not a number.
    """
    path = Path(path)
    readers = {".csv": _read_csv, ".parquet": _read_parquet, ".npz": _read_npz}
    if path.suffix not in readers:
        raise ValueError(f"{path} is of an unknown kind; the known ones are {', '.join(readers)}.")
    try:
        columns = readers[path.suffix](path)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as columns of numbers: {error}") from error
    names = [name for name in columns if name != target] if features is None else list(features)
    if missing := [name for name in [*names, target] if name not in columns]:
        raise ValueError(f"{path} has no column {', '.join(map(repr, missing))}; it has {', '.join(columns)}.")
    return np.column_stack([columns[name] for name in names]), columns[target]


def _read_csv(path: Path) -> Columns:
    with open(path, newline="", encoding="utf-8") as file:
        names = next(csv.reader(file), [])
        values = np.loadtxt(file, delimiter=",", dtype=np.float64, ndmin=2)
    if values.shape[1] != len(names):
        raise ValueError(f"the header names {len(names)} columns, the rows have {values.shape[1]}.")
    return dict(zip(names, values.T, strict=True))


def _read_parquet(path: Path) -> Columns:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    return {name: table[name].to_numpy().astype(np.float64) for name in table.column_names}


def _read_npz(path: Path) -> Columns:
    with np.load(path) as arrays:
        return {name: arrays[name].astype(np.float64) for name in arrays.files}
