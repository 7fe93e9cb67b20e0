"""Tables in files: found, read whole as numbers, or read in batches."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skcmanp.streaming.arrow import frames, steady_schema

Columns = dict[str, NDArray[np.float64]]

# Of a column of a parquet file.
BUFFER_BYTES = 1 << 20


def find_files(files: str | Path) -> list[Path]:
    """Files that match a pattern such as ``sensors/*.csv``, sorted by name.

    Raises
    ------
    FileNotFoundError
        If no file matches.
    """
    files = Path(files).absolute()
    if files.is_file():  # also if its name looks like a pattern
        return [files]
    paths = sorted(Path(files.anchor).glob(str(files.relative_to(files.anchor))))
    if not paths:
        raise FileNotFoundError(f"No file matches {str(files)!r}.")
    return paths


def check_columns(source: object, columns: Iterable[str], needed: Iterable[str]) -> None:
    """Raise a ValueError that names the columns that a table lacks."""
    columns = list(columns)
    if missing := [name for name in needed if name not in columns]:
        raise ValueError(f"{source} has no column {', '.join(map(repr, missing))}; it has {', '.join(columns)}.")


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
    check_columns(path, columns, [*names, target])
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


class TableFiles:
    """CSV and parquet files that are read one after the other, in batches, with pyarrow.

    A column has one type in all batches, that of the first file, for which pyarrow guesses in a CSV file's first
    megabyte. Numbers are float64, as any may be missing later, and categories are the values that they stand for.

    Parameters
    ----------
    paths : sequence of Path
        At least one, ``.csv`` or ``.csv.gz`` with a header line or ``.parquet``, with the same columns.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    ValueError
        If a file is of an unknown kind or cannot be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._schemas = [_schema(path) for path in paths]

    @property
    def columns(self) -> list[str]:
        """Names of the first file's columns."""
        return self._schemas[0].names

    def frames(self, columns: Sequence[str], batch_size: int) -> Iterator[Any]:
        """Batches of these columns, pandas DataFrames of `batch_size` rows, the last of at most as many.

        Memory is for some batches, and some megabytes of a file, whatever its length.

        Raises
        ------
        ValueError
            At once if a file lacks a column; while reading if a value is not of the column's type.
        """
        for path, schema in zip(self.paths, self._schemas, strict=True):
            check_columns(path, schema.names, columns)
        return self._frames(columns, batch_size)

    def _frames(self, columns: Sequence[str], batch_size: int) -> Iterator[Any]:
        import pyarrow as pa

        schema = steady_schema(self._schemas[0], columns)
        reading = self.paths[0]

        def batches() -> Iterator[Any]:
            nonlocal reading
            for reading in self.paths:
                yield from _record_batches(reading, schema, batch_size)

        try:
            yield from frames(batches(), schema, batch_size)
        except pa.ArrowException as error:
            raise ValueError(
                f"{reading} cannot be read with the columns' types in {self.paths[0].name}: {error}"
            ) from error


def _schema(path: Path) -> Any:
    """Names and types of a file's columns, from pyarrow."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    if not (_is_csv(path) or path.suffix == ".parquet"):
        raise ValueError(
            f"{path} is of an unknown kind; those that are read in batches are .csv, .parquet and .csv.gz."
        )
    try:
        with (pa.csv.open_csv if _is_csv(path) else pa.parquet.ParquetFile)(path) as file:
            return file.schema if _is_csv(path) else file.schema_arrow
    except pa.ArrowException as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _record_batches(path: Path, schema: Any, batch_size: int) -> Iterator[Any]:
    import pyarrow.csv
    import pyarrow.parquet

    if _is_csv(path):
        types = pyarrow.csv.ConvertOptions(include_columns=schema.names, column_types=schema)
        with pyarrow.csv.open_csv(path, convert_options=types) as reader:
            yield from reader
    else:
        # Otherwise a row group's columns are read whole, and some files are one row group.
        with pyarrow.parquet.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size, columns=schema.names)


def _is_csv(path: Path) -> bool:
    """Also if it is compressed, which pyarrow knows by the name."""
    return path.name.endswith((".csv", ".csv.gz"))
