"""Tables that come as Arrow record batches are read as files are: in order, cut anew, with steady types."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from conftest import make_mixed_table

from skcmanp.streaming import read_batches

FRAME = make_mixed_table()
TABLE = pa.Table.from_pandas(FRAME)


class Query:
    """What DuckDB's relations have, and those of other engines."""

    columns = FRAME.columns.tolist()

    def __arrow_c_stream__(self, requested_schema=None):
        return TABLE.__arrow_c_stream__(requested_schema)


@pytest.fixture
def source(request, tmp_path):
    pq.write_table(TABLE, tmp_path / "all.parquet", row_group_size=7)
    pyarrow.csv.write_csv(TABLE, tmp_path / "all.csv")
    with pa.CompressedOutputStream(tmp_path / "all.csv.gz", "gzip") as file:
        pyarrow.csv.write_csv(TABLE, file)
    made = {
        "table": lambda: TABLE,
        "reader": lambda: TABLE.to_reader(max_chunksize=9),
        "dataset": lambda: pyarrow.dataset.dataset(tmp_path / "all.parquet"),
        "query": Query,
        "lazy frame": lambda: pl.scan_parquet(tmp_path / "all.parquet"),
        "csv.gz": lambda: tmp_path / "all.csv.gz",
        "files": lambda: [tmp_path / "all.csv"],
        "pandas": lambda: FRAME,
    }
    if request.param == "lazy frame" and not hasattr(pl.LazyFrame, "collect_batches"):
        pytest.skip("this polars has no LazyFrame.collect_batches")
    return made[request.param]()


SOURCES = ["table", "reader", "dataset", "query", "lazy frame", "csv.gz", "files", "pandas"]


@pytest.mark.parametrize("source", SOURCES, indirect=True)
def test_all_sources_give_the_same_batches(source):
    batches = list(read_batches(source, "y", weight="trust", batch_size=30))
    assert [len(y) for _, y, _ in batches] == [30, 30, 30, 10]
    X = pd.concat([X for X, *_ in batches], ignore_index=True)
    pd.testing.assert_frame_equal(X, FRAME[["city", "hour", "level"]], check_dtype=False)
    for column, parts in zip(["y", "trust"], list(zip(*batches, strict=True))[1:], strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), FRAME[column])


@pytest.mark.parametrize("source", SOURCES, indirect=True)
def test_missing_columns_are_named_at_once(source):
    with pytest.raises(ValueError, match=r"has no column 'z'; it has city, hour, level"):
        read_batches(source, "z")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_folders_are_read_in_order_and_name_columns(tmp_path, kind):
    """Also where whole numbers of the first file have fractions in the next."""
    parts = {2023: FRAME[:40].assign(level=np.arange(40)), 2024: FRAME[40:]}
    for year, part in parts.items():
        folder = tmp_path / f"year={year}"
        folder.mkdir()
        table = pa.Table.from_pandas(part, preserve_index=False)
        (pq.write_table if kind == "parquet" else pyarrow.csv.write_csv)(table, folder / f"part.{kind}")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".part.csv.crc").touch()
    (tmp_path / "readme.txt").write_text("not a table")
    batches = list(read_batches(str(tmp_path), "y", batch_size=64))
    X, y = pd.concat([X for X, _ in batches], ignore_index=True), np.concatenate([y for _, y in batches])
    assert X["year"].tolist() == [2023] * 40 + [2024] * 60
    np.testing.assert_array_equal(y, FRAME["y"])
    np.testing.assert_array_equal(X["level"], [*range(40), *FRAME["level"][40:]])
    assert X["city"].tolist() == FRAME["city"].tolist()


def test_folders_of_nothing_or_of_everything_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"files of one kind, \.parquet, \.csv, \.csv\.gz; it has none"):
        read_batches(tmp_path, "y")
    FRAME.to_csv(tmp_path / "a.csv")
    FRAME.to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match="it has csv and parquet"):
        read_batches(tmp_path, "y")


def test_values_of_another_type_are_an_error_of_values(tmp_path):
    (tmp_path / "a.csv").write_text("a,y\n1,2\n")
    (tmp_path / "b.csv").write_text("a,y\nred,2\n")
    with pytest.raises(ValueError, match=r"cannot be read with the types of its first rows: .*red"):
        list(read_batches(tmp_path, "y"))


def test_old_polars_is_named(monkeypatch):
    monkeypatch.delattr(pl.LazyFrame, "collect_batches", raising=False)
    with pytest.raises(ImportError, match=r"no LazyFrame\.collect_batches; update it, or give frame\.collect\(\)"):
        read_batches(pl.LazyFrame({"y": [1.0]}), "y")


def test_relations_of_duckdb(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    FRAME.to_parquet(tmp_path / "all.parquet")
    relation = duckdb.sql(f"SELECT city, hour, y FROM '{tmp_path}/all.parquet' WHERE hour < 12 ORDER BY y")
    X, y = next(read_batches(relation, "y", batch_size=10))
    expected = FRAME[FRAME["hour"] < 12].sort_values("y")[:10]
    assert X["city"].tolist() == expected["city"].tolist()
    np.testing.assert_array_equal(y, expected["y"])
