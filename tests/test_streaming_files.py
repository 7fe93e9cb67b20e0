import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skcmanp.streaming.files import TableFiles, read_dataset

X = np.arange(6.0).reshape(3, 2)
Y = np.array([1.5, -2.0, 3.0])
FRAME = pd.DataFrame({"a": X[:, 0], "target": Y, "b": X[:, 1]})


# ---------------------------------------------------------------------- whole files


@pytest.fixture(params=["csv", "parquet", "npz"])
def path(request, tmp_path):
    path = tmp_path / f"data.{request.param}"
    if request.param == "csv":
        FRAME.to_csv(path, index=False)
    elif request.param == "parquet":
        FRAME.astype({"a": int}).to_parquet(path)
    else:
        np.savez(path, **{name: FRAME[name].to_numpy() for name in FRAME})
    return path


def test_all_kinds_of_files_give_the_same_rows(path):
    X_read, y_read = read_dataset(path, "target")
    np.testing.assert_array_equal(X_read, X)
    np.testing.assert_array_equal(y_read, Y)
    np.testing.assert_array_equal(read_dataset(path, "target", ["b"])[0], X[:, 1:])


def test_missing_columns_are_named(path):
    with pytest.raises(ValueError, match=r"has no column 'y'; it has a, target, b"):
        read_dataset(path, "y")
    with pytest.raises(ValueError, match=r"has no column 'c', 'd'"):
        read_dataset(path, "target", ["a", "c", "d"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("data.csv", "a,y\n1,red\n", r"data\.csv cannot be read as columns of numbers: .*red"),
        ("data.csv", "a,b,y\n1,2\n", "the header names 3 columns, the rows have 2"),
        ("data.csv", "a,a,y\n1,2,3\n", r"data\.csv cannot be read .* It has 2 columns named 'a'"),
        ("data.npz", "", r"data\.npz cannot be read as columns of numbers"),
        ("data.npz", "PK\003\004xxxx", r"data\.npz cannot be read as columns of numbers"),
        ("data.txt", "a", r"data\.txt is of an unknown kind; the known ones are \.csv, \.parquet, \.npz"),
    ],
)
def test_bad_files_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_dataset(tmp_path / name, "y")


def test_text_in_parquet_is_named(tmp_path):
    FRAME.assign(b="red").to_parquet(tmp_path / "data.parquet")
    with pytest.raises(ValueError, match=r"data\.parquet cannot be read as columns of numbers"):
        read_dataset(tmp_path / "data.parquet", "target")


# ---------------------------------------------------------------------- files in batches


def test_types_are_the_same_in_all_batches(tmp_path):
    """Integers, then fractions and gaps; categories that differ; nothing, then numbers."""
    path = tmp_path / "part_0.parquet"
    first = pd.DataFrame({"a": [1, 2], "b": pd.Categorical(["u", "v"]), "c": [None, None], "y": [1, 2]})
    second = pd.DataFrame({"y": [1.5, 2.5], "c": [1.0, 2.0], "b": pd.Categorical(["w", "v"]), "a": [0.5, None]})
    first.to_parquet(path)
    second.to_parquet(tmp_path / "part_1.parquet")
    table = pd.concat(TableFiles([path, tmp_path / "part_1.parquet"]).frames(list("abcy"), 3))
    np.testing.assert_array_equal(table["a"], [1, 2, 0.5, np.nan])
    assert table["b"].tolist() == ["u", "v", "w", "v"]
    np.testing.assert_array_equal(table["c"], [np.nan, np.nan, 1, 2])
    assert table["y"].tolist() == [1, 2, 1.5, 2.5]
    # The same within one CSV file, where the type is guessed from the first megabyte.
    lines = ["a,y", *["1,2"] * 300_000, "0.5,2"]
    (tmp_path / "long.csv").write_text("\n".join(lines))
    *_, last = TableFiles([tmp_path / "long.csv"]).frames(["a"], 100_000)
    assert last["a"].tolist() == [0.5]


def listed(column):
    """Values, None where they are missing: pandas 2 has None there, and pandas 3 NaN."""
    return column.astype(object).where(column.notna(), None).tolist()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("first", [pd.DataFrame({"a": [], "y": []}), pd.DataFrame({"a": [None], "y": [0]})])
def test_the_first_file_with_a_value_has_the_type(tmp_path, kind, first):
    """Be it in a list or in a folder."""
    frames = [first.astype({"a": object}), pd.DataFrame({"a": ["u", None, ""], "y": [1, 2, 3]})]
    paths = [tmp_path / f"{i}.{kind}" for i in range(2)]
    for frame, path in zip(frames, paths, strict=True):
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path, index=False)
    for source in (paths, [tmp_path]):
        table = pd.concat(TableFiles(source).frames(["a"], 10))
        assert listed(table["a"])[-3:] == ["u", None, None if kind == "csv" else ""]


def test_text_is_missing_in_csv_as_it_is_in_pandas(tmp_path):
    (tmp_path / "a.csv").write_text('a,b\nu,1\n,\n"",\nNA,NA\nnull,2\n')
    ((frame),) = TableFiles([tmp_path / "a.csv"]).frames(["a", "b"], 10)
    assert listed(frame["a"]) == ["u", None, None, None, None]
    assert frame["a"].isna().tolist() == pd.read_csv(tmp_path / "a.csv")["a"].isna().tolist()


@pytest.mark.parametrize("line", ["é,y\nu,1\n", "a,y\né,1\n", "a,y\nu,1\né,1\n", "a,y\n" + "u,1\n" * 400_000 + "é,1\n"])
def test_what_is_not_utf8_is_said(tmp_path, line):
    (tmp_path / "good.csv").write_text("a,y\nu,1\n")
    (tmp_path / "latin.csv").write_text(line, encoding="latin-1")
    for paths in ([tmp_path / "latin.csv"], [tmp_path / "good.csv", tmp_path / "latin.csv"], [tmp_path]):
        with pytest.raises(ValueError, match=r"latin\.csv cannot be read.*It is not UTF-8: save it as UTF-8"):
            list(TableFiles(paths).frames(["a"], 100_000))


@pytest.mark.parametrize("n_lines", [10, 400_000])
def test_compressed_files_that_are_truncated_or_not_compressed_are_named(tmp_path, n_lines):
    text = "a,y\n" + "".join(f"{i * 7919 % 10_007},1\n" for i in range(n_lines))
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(text.encode())[:-12])
    (tmp_path / "plain.csv.gz").write_text(text)
    for name in ("cut", "plain"):
        with pytest.raises(ValueError, match=rf"{name}\.csv\.gz cannot be read: \w+"):
            list(TableFiles([tmp_path / f"{name}.csv.gz"]).frames(["a"], 10_000))


@pytest.mark.parametrize("name", ["A.CSV", "A.Parquet", "A.CSV.gz"])
def test_kinds_have_letters_of_any_case(tmp_path, name):
    FRAME.to_parquet(tmp_path / name) if "P" in name else FRAME.to_csv(tmp_path / name, index=False)
    ((frame),) = TableFiles([tmp_path / name]).frames(["a"], 10)
    assert frame["a"].tolist() == FRAME["a"].tolist()
    if not name.endswith(".gz"):
        np.testing.assert_array_equal(read_dataset(tmp_path / name, "target")[0], X)


def test_memory_does_not_grow_with_a_row_group(tmp_path):
    """A file that is one row group is never in memory as a whole, nor if it is in a folder."""
    path = tmp_path / "one_group.parquet"
    rng = np.random.default_rng(0)
    table = pa.table({name: rng.normal(size=1_000_000) for name in "abcy"})
    pq.write_table(table, path, row_group_size=len(table))
    del table
    start = pa.total_allocated_bytes()
    most = n_rows = 0
    for frame in TableFiles([tmp_path]).frames(list("abcy"), 1000):
        most = max(most, pa.total_allocated_bytes() - start)
        n_rows += len(frame)
    assert n_rows == 1_000_000
    assert most < path.stat().st_size / 2


def test_files_that_cannot_be_read_are_named(tmp_path):
    for name in ("empty.csv", "empty.parquet"):
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            TableFiles([tmp_path / name])
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    FRAME.assign(b="high").to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(ValueError, match=r"b\.csv cannot be read with the types of the files' first rows: .*high"):
        list(TableFiles([tmp_path / "a.csv", tmp_path / "b.csv"]).frames(["b"], 10))
    FRAME.to_parquet(tmp_path / "a.parquet")
    FRAME.assign(b=pd.Timestamp("2024-01-01")).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"b\.parquet cannot be read with the types of the files' first rows"):
        list(TableFiles([tmp_path / "a.parquet", tmp_path / "b.parquet"]).frames(["b"], 10))
