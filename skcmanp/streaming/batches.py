"""Batches of arrays, tables and files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import indexable

from skcmanp.streaming.arrow import open_arrow
from skcmanp.streaming.files import TableFiles, check_columns, find_files

# (X, y) or (X, y, sample_weight)
Batch = tuple[Any, ...]


def split_batches(
    X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, *, batch_size: int = 8192
) -> Iterator[Batch]:
    """Batches of arrays or tables, in order.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features)
        A batch is a slice of it, of the same type; of a memory-mapped array,
        only that is read.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array-like of shape (n_samples,), default=None
    batch_size : int, default=8192
        Rows of a batch; the last has those that are left.

    Returns
    -------
    iterator of (X, y) or (X, y, sample_weight)

    Raises
    ------
    ValueError
        If numbers of rows differ, or `batch_size` is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skcmanp.streaming import split_batches
    >>> [X.shape for X, y in split_batches(np.zeros((5, 3)), np.zeros(5), batch_size=2)]
    [(2, 3), (2, 3), (1, 3)]
    """
    arrays = indexable(*((X, y) if sample_weight is None else (X, y, sample_weight)))
    arrays = [getattr(array, "iloc", array) for array in arrays]
    return (tuple(array[rows] for array in arrays) for rows in _slices(np.shape(y)[0], batch_size))


def read_batches(
    source: Any,
    target: str | Sequence[str],
    *,
    features: Sequence[str] | None = None,
    weight: str | None = None,
    batch_size: int = 8192,
) -> Iterator[Batch]:
    """Batches of a table, of files or of a query, in order, features with their names.

    Whatever is not in memory yet is read with pyarrow, and batches run on from
    one file to the next. Memory is for some batches and some megabytes of a
    file, whatever its length and its row groups. Batches are pandas DataFrames,
    so that a `ColumnTransformer` can select columns by name. A column has one
    type in all batches, that of the first file in which it has any value,
    guessed in a CSV file's first megabyte; numbers are float64, to which
    integers beyond 2^53 are rounded. Empty fields and ``NA`` are missing values
    in a CSV file, of text as of numbers.

    Parameters
    ----------
    source : path, sequence of paths, table or query
        Files are ``.csv`` or ``.csv.gz`` with a header line, or ``.parquet``. A
        path may be a pattern such as ``2024/*.parquet``, whose files are read in
        order of their names, or a folder: all files below it, in order of their
        paths, and where folders below it are named ``key=value``, as Hive has
        it, the keys are columns, unless the files hold these themselves. Tables are
        DataFrames of pandas or polars, of which batches are slices; polars
        LazyFrames; pyarrow Tables, Datasets and RecordBatchReaders; and
        whatever else has Arrow's stream interface, such as DuckDB relations.
    target : str or sequence of str
        The target's column, or those of several targets.
    features : sequence of str, default=None
        The features' columns, in order; all others by default.
    weight : str, default=None
        The column of sample weights.
    batch_size : int, default=8192
        Rows of a batch; the last has those that are left.

    Returns
    -------
    iterator of (X, y) or (X, y, sample_weight)
        X is a DataFrame; y is an ndarray, (n,) if `target` is a string,
        (n, n_outputs) otherwise.

    Raises
    ------
    FileNotFoundError
        If no file matches.
    ValueError
        If a column is missing in any of the files, or there twice, a file is of
        an unknown kind or cannot be read, or `batch_size` is less than 1. While
        reading: if a value is not of its column's type, or text is not UTF-8.
    ImportError
        If files are to be read and pyarrow or pandas is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> from skcmanp.streaming import read_batches
    >>> table = pd.DataFrame({"city": ["Oslo", "Rome", "Rome"], "hour": [1, 2, 3], "level": [0.1, 0.2, 0.3]})
    >>> for X, y in read_batches(table, "level", batch_size=2):
    ...     print(X.columns.tolist(), y)
    ['city', 'hour'] [0.1 0.2]
    ['city', 'hour'] [0.3]
    """
    is_frame = hasattr(source, "iloc") or hasattr(source, "height")  # of pandas or polars
    table = source if is_frame else open_arrow(source) or _open_files(source)
    columns = list(table.columns)
    special = [*([target] if isinstance(target, str) else target), *([] if weight is None else [weight])]
    names = [name for name in columns if name not in special] if features is None else list(features)
    if not isinstance(table, TableFiles):
        check_columns("The table", columns, [*names, *special])
    if is_frame:
        rows = getattr(source, "iloc", source)
        frames: Iterator[Any] = (rows[batch] for batch in _slices(len(source), batch_size))
    else:
        # A column may be both feature and weight, but is read once.
        frames = table.frames(list(dict.fromkeys([*names, *special])), _checked_size(batch_size))
    y_columns = target if isinstance(target, str) else list(target)
    weights = [] if weight is None else [weight]
    return ((frame[names], *(frame[column].to_numpy() for column in [y_columns, *weights])) for frame in frames)


def _open_files(source: Any) -> TableFiles:
    patterns = [source] if isinstance(source, str | Path) else source
    paths = [path for pattern in patterns for path in find_files(pattern)]
    if not paths:
        raise ValueError("source is an empty list; name at least one file.")
    return TableFiles(paths)


def _slices(n_rows: int, batch_size: int) -> Iterator[slice]:
    size = _checked_size(batch_size)
    return (slice(start, start + size) for start in range(0, n_rows, size))


def _checked_size(batch_size: int) -> int:
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size!r} must be at least 1.")
    return batch_size
