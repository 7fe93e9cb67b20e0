"""Tables in files: found, read whole as numbers, or read in batches."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skcmanp.files import read_npz
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
    if files.exists():  # also if its name looks like a pattern
        return [files]
    paths = sorted(Path(files.anchor).glob(str(files.relative_to(files.anchor))))
    if not paths:
        raise FileNotFoundError(f"No file matches {str(files)!r}.")
    return paths


def check_columns(source: object, columns: Iterable[str], needed: Iterable[str]) -> None:
    """Raise a ValueError that names the columns that a table lacks, or has twice."""
    columns, needed = list(columns), list(needed)
    if missing := [name for name in needed if name not in columns]:
        raise ValueError(
            f"{source} has no column {', '.join(map(repr, missing))}; it has {', '.join(map(str, columns))}."
        )
    if twice := [name for name in needed if columns.count(name) > 1]:
        raise ValueError(
            f"{source} has {columns.count(twice[0])} columns named {twice[0]!r}; give each a name of its own."
        )


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
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise ValueError(f"{path} is of an unknown kind; the known ones are {', '.join(readers)}.")
    try:
        columns = readers[suffix](path)
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
    check_columns("It", names, names)
    return dict(zip(names, values.T, strict=True))


def _read_parquet(path: Path) -> Columns:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    check_columns("It", table.column_names, table.column_names)
    return {name: table[name].to_numpy().astype(np.float64) for name in table.column_names}


def _read_npz(path: Path) -> Columns:
    return {name: array.astype(np.float64) for name, array in read_npz(path).items()}


class _File(NamedTuple):
    """A file of a table."""

    path: Path
    schema: Any  # of its columns and keys
    keys: dict[str, Any]  # scalars of pyarrow, of columns that folders' names hold and the file does not


class TableFiles:
    """CSV and parquet files that are read one after the other, in batches, with pyarrow.

    A column has one type in all batches, that of the first file in which it has one; in a CSV file pyarrow guesses it
    from the first megabyte. Numbers are float64, as any may be missing later, and categories are the values that they
    stand for.

    Parameters
    ----------
    paths : sequence of Path
        At least one, ``.csv`` or ``.csv.gz`` with a header line or ``.parquet``, with the same columns, or folders of
        such files. Folders named ``key=value`` below one are columns, which files may also hold themselves.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    ValueError
        If a file is of an unknown kind or cannot be read, or a folder has no files, or files of several kinds.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = [file for path in paths for file in (_folder(path) if path.is_dir() else [_opened(path)])]

    @property
    def columns(self) -> list[str]:
        """Names of the first file's columns."""
        return self._files[0].schema.names

    def frames(self, columns: Sequence[str], batch_size: int) -> Iterator[Any]:
        """Batches of these columns, pandas DataFrames of `batch_size` rows, the last of at most as many.

        Memory is for some batches, and some megabytes of a file, whatever its length.

        Raises
        ------
        ValueError
            At once if a file lacks a column; while reading if a value is not of the column's type.
        """
        for file in self._files:
            check_columns(file.path, file.schema.names, columns)
        return self._frames(columns, batch_size)

    def _frames(self, columns: Sequence[str], batch_size: int) -> Iterator[Any]:
        import pyarrow as pa

        schema = steady_schema(pa.schema([(name, self._type(name)) for name in columns]), columns)
        reading = self._files[0]

        def batches() -> Iterator[Any]:
            nonlocal reading
            for reading in self._files:
                yield from _record_batches(reading, schema, batch_size)

        try:
            yield from frames(batches(), schema, batch_size)
        except pa.ArrowException as error:
            raise _unreadable(reading.path, " with the types of the files' first rows", error) from error
        except OSError as error:
            raise _unreadable(reading.path, "", error) from error

    def _type(self, column: str) -> Any:
        import pyarrow as pa

        types = (file.schema.field(column).type for file in self._files)
        return next((type_ for type_ in types if not pa.types.is_null(type_)), pa.null())


def _kind(path: Path) -> str | None:
    """csv, also if it is compressed, which pyarrow knows by the name; parquet; or None."""
    if path.name.removesuffix(".gz").lower().endswith(".csv"):
        return "csv"
    return "parquet" if path.suffix.lower() == ".parquet" else None


def _opened(path: Path) -> _File:
    """Names and types of a file's columns, from pyarrow."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    kind = _kind(path)
    if kind is None:
        raise ValueError(
            f"{path} is of an unknown kind; those that are read in batches are .csv, .parquet and .csv.gz."
        )
    try:
        with (pa.csv.open_csv if kind == "csv" else pa.parquet.ParquetFile)(path) as file:
            types = [(field.name, field.type) for field in (file.schema if kind == "csv" else file.schema_arrow)]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, "", error) from error
    if kind == "csv":  # what is not UTF-8 is bytes to pyarrow's guess, and an error where a string is read
        types = [(name, pa.string() if pa.types.is_binary(type_) else type_) for name, type_ in types]
    return _File(path, pa.schema(types), {})


def _folder(folder: Path) -> list[_File]:
    """All files below it, in order of their paths."""
    import pyarrow.dataset as ds
    from pyarrow.fs import LocalFileSystem

    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and _kind(path)]
    paths = [path for path in paths if not any(part[0] in "._" for part in path.relative_to(folder).parts)]
    found = {_kind(path) for path in paths}
    if len(found) != 1:
        kinds = " and ".join(sorted(map(str, found))) or "none"
        raise ValueError(f"{folder} must have files of one kind, .parquet, .csv or .csv.gz; it has {kinds}.")
    files = [_opened(path) for path in paths]
    # Of pyarrow's datasets only the keys: their columns must be of one type, and missing ones are missing values.
    hive = ds.FileSystemFactoryOptions(partition_base_dir=folder.as_posix())
    hive.partitioning_factory = ds.HivePartitioning.discover()
    form = ds.CsvFileFormat() if _kind(paths[0]) == "csv" else ds.ParquetFileFormat()
    *_, schema = ds.FileSystemDatasetFactory(
        LocalFileSystem(), [path.as_posix() for path in paths], form, hive
    ).inspect_schemas()
    return [_with_keys(file, folder, ds.HivePartitioning(schema)) for file in files]


def _with_keys(file: _File, folder: Path, partitioning: Any) -> _File:
    """The file with the keys of its folders as columns, unless it holds them itself."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    known = ds.get_partition_keys(partitioning.parse(file.path.relative_to(folder).as_posix()))
    keys = [field for field in partitioning.schema if field.name in known and field.name not in file.schema.names]
    return _File(
        file.path,
        pa.schema([*file.schema, *keys]),
        {field.name: pa.scalar(known[field.name], field.type) for field in keys},
    )


def _record_batches(file: _File, schema: Any, batch_size: int) -> Iterator[Any]:
    import pyarrow as pa

    own = [name for name in schema.names if name not in file.keys]
    for batch in _own_batches(file.path, own, schema, batch_size):
        keys = {name: pa.repeat(value, len(batch)) for name, value in file.keys.items()}
        arrays = [keys[name] if name in keys else batch.column(name) for name in schema.names]
        yield pa.RecordBatch.from_arrays(arrays, names=schema.names)


def _own_batches(path: Path, columns: Sequence[str], types: Any, batch_size: int) -> Iterator[Any]:
    """Those of some columns that the file holds."""
    import pyarrow.csv
    import pyarrow.parquet

    if _kind(path) == "csv":
        options = pyarrow.csv.ConvertOptions(include_columns=columns, column_types=types, strings_can_be_null=True)
        with pyarrow.csv.open_csv(path, convert_options=options) as reader:
            yield from reader
    else:
        # Otherwise a row group's columns are read whole, and some files are one row group.
        with pyarrow.parquet.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size, columns=columns)


def _unreadable(path: Path, how: str, error: Exception) -> ValueError:
    not_utf8 = isinstance(error, UnicodeDecodeError) or "UTF8" in str(error)
    remedy = " It is not UTF-8: save it as UTF-8, or give the batches of pandas.read_csv(path, encoding=...)."
    return ValueError(f"{path} cannot be read{how}: {error}{remedy if not_utf8 else ''}")
