import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from conftest import make_mixed_table
from hypothesis import given
from hypothesis import strategies as st

from skcmanp.streaming import read_batches, split_batches

FRAME = make_mixed_table()
N = len(FRAME)


def joined(batches):
    """All batches in one: X as a DataFrame, y and weights as arrays."""
    tables, *arrays = zip(*batches, strict=True)
    return pd.concat(tables, ignore_index=True), *(np.concatenate(parts) for parts in arrays)


@pytest.fixture(params=["csv", "parquet"])
def files(request, tmp_path):
    """The frame in three files, in order, and their pattern."""
    for i, part in enumerate((FRAME[:37], FRAME[37:38], FRAME[38:])):
        if request.param == "csv":
            part.to_csv(tmp_path / f"part_{i}.csv", index=False)
        else:
            part.to_parquet(tmp_path / f"part_{i}.parquet", index=False, row_group_size=7)
    return tmp_path / f"part_*.{request.param}"


@given(n=st.integers(1, 40), batch_size=st.integers(1, 50))
def test_split_batches_are_the_rows_in_order(n, batch_size):
    X, y, weight = np.arange(2 * n).reshape(n, 2), np.arange(n), np.arange(n) + 1
    batches = list(split_batches(X, y, weight, batch_size=batch_size))
    assert [len(b[1]) for b in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert 0 < len(batches[-1][1]) <= batch_size
    for whole, parts in zip((X, y, weight), zip(*batches, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_split_batches_keep_types(tmp_path):
    np.save(tmp_path / "X.npy", np.ones((6, 2)))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert all(isinstance(X, np.memmap) for X, _ in split_batches(mapped, np.ones(6), batch_size=4))
    indexed = FRAME.set_index(np.arange(N)[::-1])
    X, y = next(split_batches(indexed[["hour"]], indexed["y"], batch_size=10))
    pd.testing.assert_frame_equal(X, indexed[["hour"]][:10])
    np.testing.assert_array_equal(y, FRAME["y"][:10])
    X, _ = next(split_batches(pl.from_pandas(FRAME), FRAME["y"], batch_size=10))
    assert isinstance(X, pl.DataFrame)
    assert X.shape == (10, 5)
    assert next(split_batches([[1.0], [2.0]], [1.0, 2.0], batch_size=1)) == ([[1.0]], [1.0])


@pytest.mark.parametrize("batch_size", [1, 10, 36, 1000])
def test_files_are_read_in_order(files, batch_size):
    batches = list(read_batches(files, "y", weight="trust", batch_size=batch_size))
    assert [len(X) for X, *_ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert 0 < len(batches[-1][0]) <= batch_size
    X, y, weight = joined(batches)
    pd.testing.assert_frame_equal(X, FRAME[["city", "hour", "level"]], check_dtype=False)
    np.testing.assert_array_equal(y, FRAME["y"])
    np.testing.assert_array_equal(weight, FRAME["trust"])
    assert X["hour"].dtype == np.float64


def test_columns_are_chosen_and_ordered(files):
    first = files.parent / files.name.replace("*", "0")
    X, y = joined(read_batches([str(first), first], ["level", "y"], features=["trust", "city"]))
    assert X.columns.tolist() == ["trust", "city"]
    np.testing.assert_array_equal(y, np.tile(FRAME.loc[:36, ["level", "y"]], (2, 1)))


@pytest.mark.parametrize("convert", [pd.DataFrame, pl.from_pandas], ids=["pandas", "polars"])
def test_tables_are_read_like_files(convert):
    table = convert(FRAME)
    batches = list(read_batches(table, "y", features=["level", "city"], weight="trust", batch_size=30))
    assert [type(X) for X, *_ in batches] == [type(table)] * 4
    X, y, weight = joined([(X if convert is pd.DataFrame else X.to_pandas(), *rest) for X, *rest in batches])
    pd.testing.assert_frame_equal(X, FRAME[["level", "city"]], check_dtype=False)
    np.testing.assert_array_equal(y, FRAME["y"])
    np.testing.assert_array_equal(weight, FRAME["trust"])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda files: read_batches(files, "z"), ValueError, r"part_0\.\w+ has no column 'z'; it has city, hour"),
        (lambda files: read_batches(files, "y", features=["a", "b"]), ValueError, "has no column 'a', 'b'"),
        (lambda files: read_batches(files, "y", weight="w"), ValueError, "has no column 'w'"),
        (
            lambda files: read_batches(pd.DataFrame([[1, 2]]), "z"),
            ValueError,
            "The table has no column 'z'; it has 0, 1",
        ),
        (lambda files: read_batches(FRAME, "z"), ValueError, "The table has no column 'z'; it has city"),
        (lambda files: read_batches(files.parent / "no.csv", "y"), FileNotFoundError, r"No file matches .*no\.csv"),
        (lambda files: read_batches([files, "no/*.csv"], "y"), FileNotFoundError, r"No file matches .*no/\*\.csv"),
        (lambda files: read_batches([], "y"), ValueError, "source is an empty list"),
        (lambda files: read_batches(__file__, "y"), ValueError, r"unknown kind; .*\.csv, \.parquet"),
        (lambda files: read_batches(files, "y", batch_size=0), ValueError, "batch_size=0 must be at least 1"),
        (lambda files: split_batches(FRAME, FRAME["y"], batch_size=-1), ValueError, "batch_size=-1"),
        (lambda files: split_batches([[1.0]], [1.0, 2.0]), ValueError, "inconsistent numbers of samples"),
    ],
)
def test_errors_come_before_reading(files, call, error, message):
    with pytest.raises(error, match=message):
        call(files)


@pytest.mark.parametrize("convert", [pd.DataFrame, pl.from_pandas, pa.Table.from_pandas])
def test_tables_of_no_rows_have_no_batch(convert):
    assert list(read_batches(convert(FRAME[:0]), "y")) == []
    if convert is not pa.Table.from_pandas:
        assert list(split_batches(convert(FRAME[:0]), FRAME["y"][:0])) == []
    assert list(split_batches(np.empty((0, 2)), [], np.empty(0))) == []


@pytest.mark.parametrize("source", ["pandas", "arrow", "csv", "parquet"])
@pytest.mark.parametrize("column", ["a", "y"])
def test_columns_of_one_name_are_named_at_once(tmp_path, source, column):
    table = pa.Table.from_arrays([pa.array([1.0])] * 3, names=["a", "y", column])
    pyarrow.csv.write_csv(table, tmp_path / "two.csv")
    pq.write_table(table, tmp_path / "two.parquet")
    made = {"arrow": table, "pandas": pd.DataFrame([[1.0] * 3], columns=table.column_names)}
    with pytest.raises(ValueError, match=f"has 2 columns named '{column}'; give each a name of its own"):
        read_batches(made.get(source, tmp_path / f"two.{source}"), "y", features=["a"])


@pytest.mark.parametrize("whole", [False, True], ids=["files", "folder"])
@pytest.mark.parametrize("column", ["hour", "y"])
def test_a_later_file_without_a_column_is_named_at_once(files, whole, column):
    table = FRAME.drop(columns=column)
    path = files.parent / files.name.replace("*", "9")
    table.to_csv(path) if path.suffix == ".csv" else table.to_parquet(path)
    with pytest.raises(ValueError, match=rf"part_9\.\w+ has no column '{column}'"):
        read_batches(files.parent if whole else files, "y")
