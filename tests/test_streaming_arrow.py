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

    def __init__(self, table=TABLE):
        self.table, self.columns = table, table.column_names

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


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


@pytest.mark.parametrize("many", [lambda folder: [folder / "a=1", str(folder / "a=2")], lambda folder: folder / "a=*"])
def test_several_folders_are_read_one_after_the_other(tmp_path, many):
    for a in (1, 2):
        for b in ("u", "v"):
            folder = tmp_path / f"a={a}" / f"b={b}"
            folder.mkdir(parents=True)
            FRAME[["hour", "y"]].to_csv(folder / "part.csv", index=False)
    X = pd.concat([X for X, _ in read_batches(many(tmp_path), "y")])
    assert X.columns.tolist() == ["hour", "b"]
    assert X["b"].tolist() == [b for b in "uvuv" for _ in range(len(FRAME))]


@pytest.mark.parametrize("keys", [[1, 2], ["a b", "c/d"], [None, "é"], ["1", "x"]])
@pytest.mark.parametrize("include_key", [True, False])
def test_keys_of_folders_are_columns_whether_files_hold_them_or_not(tmp_path, keys, include_key):
    """As polars writes them: 64-bit numbers, and large strings."""
    table = pl.DataFrame({"k": keys, "y": [1.0, 2.0]})
    for (key,), part in table.group_by("k"):
        value = "__HIVE_DEFAULT_PARTITION__" if key is None else str(key).replace("/", "%2F").replace(" ", "%20")
        (tmp_path / f"k={value}").mkdir()
        (part if include_key else part.drop("k")).write_parquet(tmp_path / f"k={value}" / "0.parquet")
    ((X, y),) = read_batches(tmp_path, "y")
    found = X["k"].astype(object).where(X["k"].notna(), None).tolist()
    assert [found[i] for i in np.argsort(y)] == keys
    ((only, y),) = read_batches(tmp_path, "y", features=["k"])
    pd.testing.assert_frame_equal(only, X[["k"]])


def test_folders_of_nothing_or_of_everything_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"files of one kind, \.parquet, \.csv or \.csv\.gz; it has none"):
        read_batches(tmp_path, "y")
    FRAME.to_csv(tmp_path / "a.csv")
    FRAME.to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match="it has csv and parquet"):
        read_batches(tmp_path, "y")


def test_values_of_another_type_are_an_error_of_values(tmp_path):
    (tmp_path / "a.csv").write_text("a,y\n1,2\n")
    (tmp_path / "b.csv").write_text("a,y\nred,2\n")
    with pytest.raises(ValueError, match=r"b\.csv cannot be read with the types of the files' first rows: .*red"):
        list(read_batches(tmp_path, "y"))


@pytest.mark.parametrize("kind", ["csv", "parquet", "table", "reader", "lazy frame", "query"])
def test_integers_that_doubles_round_are_rounded(tmp_path, kind):
    """Nanoseconds since 1970, hashes, identities: wherever they come from."""
    values = [2**53 + 1, 1_764_180_000_123_456_789, -(2**62) - 1]
    table = pa.table({"when": values, "y": values})
    pq.write_table(table, tmp_path / "all.parquet")
    pyarrow.csv.write_csv(table, tmp_path / "all.csv")
    if kind == "lazy frame" and not hasattr(pl.LazyFrame, "collect_batches"):
        pytest.skip("this polars has no LazyFrame.collect_batches")
    made = {
        "table": lambda: table.append_column("hash", pa.array([2**64 - 1] * 3, pa.uint64())),
        "reader": table.to_reader,
        "lazy frame": lambda: pl.from_arrow(table).lazy(),
        "query": lambda: Query(table),
    }
    source = made[kind]() if kind in made else tmp_path / f"all.{kind}"
    ((X, y),) = read_batches(source, "y")
    np.testing.assert_array_equal(X["when"], np.array(values, dtype=np.float64))
    np.testing.assert_array_equal(y, np.array(values, dtype=np.float64))


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
