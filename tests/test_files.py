import numpy as np
import pandas as pd
import pytest

from skcmanp.files import read_dataset

X = np.arange(6.0).reshape(3, 2)
Y = np.array([1.5, -2.0, 3.0])
FRAME = pd.DataFrame({"a": X[:, 0], "target": Y, "b": X[:, 1]})


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
