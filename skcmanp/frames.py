"""Tables as people have them: columns of numbers, text, categories and dates become numbers, value by value.

Nothing is learned here, so that chunks of a stream mean the same in any order.
A number stays what it is, and a truth value is 0 or 1. A date is its seconds
since 1970, in UTC, and a span of time its seconds. A category is a number that
tells its value from others; what is missing is NaN. What else such numbers
mean, the first rows say: see `skcmanp.adaptation.encoding`.
"""

from __future__ import annotations

import datetime
import decimal
import hashlib
import numbers
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Kind(IntEnum):
    """What the numbers of a column are."""

    UNKNOWN = 0  # all missing so far
    NUMBER = 1
    CATEGORY = 2
    DATE = 3


class Columns(NamedTuple):
    """A table as numbers."""

    values: Array  # (n, c)
    kinds: tuple[Kind, ...]  # of c columns


# Identities of categories are beyond all numbers that are likely to be categories themselves.
_FIRST_IDENTITY = 2**50

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def is_frame(X: Any) -> bool:
    """Whether X is a table with columns of their own dtypes: of pandas, polars or pyarrow, or an array of objects."""
    if isinstance(X, np.ndarray):
        return X.ndim == 2 and X.dtype.kind in "OUSMm"
    return _names(X) is not None


def read_frame(X: Any, categorical: Sequence[bool] | NDArray[np.bool_] | None = None) -> Columns:
    """The columns of a table as numbers.

    Parameters
    ----------
    X : DataFrame of pandas or polars, Table or RecordBatch of pyarrow, or ndarray
    categorical : sequence of bool, optional
        Which columns are categories whatever they hold; text always is.

    Raises
    ------
    TypeError
        If a column holds what is neither a number nor text, a category or a
        date, such as a list.

    Examples
    --------
    >>> import pandas as pd
    >>> from skcmanp.frames import read_frame
    >>> X = pd.DataFrame({"size": [3, None], "when": pd.to_datetime(["1970-01-02", None]), "who": ["Ann", "Bo"]})
    >>> columns = read_frame(X)
    >>> [kind.name for kind in columns.kinds]
    ['NUMBER', 'DATE', 'CATEGORY']
    >>> columns.values[:, :2].tolist()
    [[3.0, 86400.0], [nan, nan]]
    """
    names = _names(X)
    n_columns = X.shape[1] if names is None else len(names)
    names = names or [str(j) for j in range(n_columns)]
    chosen = [False] * n_columns if categorical is None else categorical
    read = [_numbers(names[j], *_array(X, j), chosen[j]) for j in range(n_columns)]
    values = np.column_stack([values for values, _ in read]) if read else np.empty((len(X), 0))
    return Columns(values, tuple(kind for _, kind in read))


def check_names(X: Any) -> None:
    """Raise ValueError if two columns of a table have one name."""
    names = _names(X) or []
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(f"X has {names.count(twice[0])} columns named {twice[0]!r}; give each a name of its own.")


def resolved(names: Sequence[str], known: Sequence[Kind], found: Sequence[Kind]) -> tuple[Kind, ...]:
    """What columns are, where they were `known` before, and further rows are `found` to hold.

    Raises
    ------
    ValueError
        If a column holds something else than it did.
    """
    for name, before, now in zip(names, known, found, strict=True):
        # Categories may be numbers.
        if Kind.UNKNOWN not in (before, now) and before != now and (before, now) != (Kind.CATEGORY, Kind.NUMBER):
            raise ValueError(
                f"X has a column {name!r} of kind {now.name}, which was of kind {before.name} in the first rows. Give "
                "it as it was, or name it in `categorical_features` before the first rows are read."
            )
    return tuple(before or now for before, now in zip(known, found, strict=True))


def _names(X: Any) -> list[str] | None:
    """Names of a table's columns, or None if it has none."""
    names = getattr(X, "column_names", None)  # pyarrow
    if names is None and hasattr(X, "dtypes"):
        names = getattr(X, "columns", None)  # pandas, polars
    return None if names is None else [str(name) for name in names]


def _array(X: Any, j: int) -> tuple[NDArray, bool]:
    """A column as an array, of numbers, times or objects, and whether its dtype says that they are categories."""
    if isinstance(X, np.ndarray):
        return X[:, j], False
    if hasattr(X, "iloc"):
        return _pandas_array(X.iloc[:, j])
    if not hasattr(X, "column_names"):
        return _polars_array(X[X.columns[j]]), False
    column = X.column(j)
    is_category = hasattr(column.type, "index_type")
    column = column.cast(column.type.value_type) if is_category else column
    return column.to_numpy(zero_copy_only=False), is_category


def _pandas_array(column: Any) -> tuple[NDArray, bool]:
    dtype = column.dtype
    kind = getattr(dtype, "kind", "O")
    if hasattr(dtype, "categories") and hasattr(dtype, "ordered"):
        return _objects([*dtype.categories, None])[column.cat.codes.to_numpy()], True
    if hasattr(dtype, "freq") and kind == "O":  # a period
        column, kind = column.dt.to_timestamp(), "M"
    if kind == "M" and str(dtype).startswith("date"):  # Arrow's days
        column = column.astype("timestamp[us][pyarrow]")
    if kind in "Mm":
        missing = np.datetime64("NaT", "us") if kind == "M" else np.timedelta64("NaT", "us")
        return column.to_numpy(dtype=missing.dtype, na_value=missing), False
    if kind in "biuf":
        numbers = column.to_numpy() if isinstance(dtype, np.dtype) else column.to_numpy(dtype=float, na_value=np.nan)
        return numbers, False
    return column.to_numpy(dtype=object), False


def _polars_array(column: Any) -> NDArray:
    dtype = column.dtype
    if dtype.is_nested():
        return _objects(column.to_list())
    if dtype.is_temporal() and str(dtype) != "Time":
        return column.to_numpy()
    if dtype.is_numeric() or str(dtype) == "Boolean":
        return column.cast(float).to_numpy()
    return _objects(column.to_list())


def _objects(values: list) -> NDArray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _numbers(name: str, column: NDArray, is_category: bool, chosen: bool) -> tuple[Array, Kind]:
    """A column's numbers, and what they are."""
    kind = Kind.NUMBER
    if column.dtype.kind in "biuf":
        values = column.astype(np.float64)
    elif column.dtype.kind == "M":
        values, kind = _seconds(column), Kind.DATE
    elif column.dtype.kind == "m":
        values = _seconds(column)
    elif column.dtype.kind in "OUS":
        values, kind = _of_objects(name, column.astype(object))
    else:
        raise TypeError(f"X has a column {name!r} of dtype {column.dtype}, which is neither numbers nor categories.")
    if np.isinf(values).any():
        raise ValueError(f"Input X contains infinity, in column {name!r}; mark values that are missing as NaN.")
    if np.isnan(values).all():
        kind = Kind.UNKNOWN
    elif is_category or chosen:
        values, kind = values + 0.0, Kind.CATEGORY  # zero has one sign
    return values, kind


def _seconds(column: NDArray) -> Array:
    """Times or spans in seconds, NaN where they are not."""
    microseconds = column.astype(column.dtype.kind + "8[us]").astype(np.int64)
    return np.where(np.isnat(column), np.nan, microseconds / 1e6)


def _of_objects(name: str, column: NDArray) -> tuple[Array, Kind]:
    """The same of objects, which are all numbers, all dates, all spans of time, or else categories."""
    number: dict[Any, int] = {}
    try:
        codes = np.array([number.setdefault(value, len(number)) for value in column], dtype=np.int64)
    except TypeError as error:
        bad = next(value for value in column if type(value).__hash__ is None)
        raise TypeError(
            f"X has a column {name!r} that holds a {type(bad).__name__}. What is in this argument must be a string, a "
            "date or a number; spread the items over columns of their own, or leave the column out."
        ) from error
    labels = list(number)
    missing = [_is_missing(label) for label in labels]
    present = [label for label, absent in zip(labels, missing, strict=True) if not absent]
    read, kind = next((read, kind) for types, read, kind in _OBJECTS if all(isinstance(p, types) for p in present))
    try:
        values = [np.nan if absent else read(label) for label, absent in zip(labels, missing, strict=True)]
    except (OverflowError, TypeError) as error:
        raise TypeError(f"X has a column {name!r} that holds {error}.") from error
    return np.array(values, dtype=np.float64)[codes], kind


def _is_missing(value: Any) -> bool:
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def _date(value: Any) -> float:
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if value.tzinfo is None:
        value = value.replace(tzinfo=datetime.UTC)
    return (value - _EPOCH).total_seconds()


def _seconds_of_day(value: datetime.time) -> float:
    return 3600.0 * value.hour + 60 * value.minute + value.second + value.microsecond / 1e6


def _identity(value: Any) -> float:
    """A number that tells a category from others: its own, or else one by its text."""
    if isinstance(value, numbers.Real):
        return float(value) + 0.0
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if not isinstance(value, str):
        value = f"{type(value).__name__} {value}"
    digest = hashlib.blake2b(value.encode(errors="surrogatepass"), digest_size=6).digest()
    return float(_FIRST_IDENTITY + int.from_bytes(digest, "little"))


# What objects may be, how to read them, and what the numbers then are; the first that fits all of a column.
_OBJECTS = (
    ((numbers.Real, decimal.Decimal, np.bool_), float, Kind.NUMBER),
    ((datetime.date,), _date, Kind.DATE),
    ((datetime.timedelta,), datetime.timedelta.total_seconds, Kind.NUMBER),
    ((datetime.time,), _seconds_of_day, Kind.NUMBER),
    ((object,), _identity, Kind.CATEGORY),
)
