import numpy as np
import pandas as pd
import pytest

from skcmanp import CMANPRegressor
from skcmanp.validation import (
    MAX_WEIGHT,
    MIN_WEIGHT,
    Rows,
    check_draws,
    check_outputs,
    check_rows,
    check_weight,
    restored_on_error,
)


def test_weights_may_span_what_is_read_exactly():
    weight = [0, MIN_WEIGHT, 1e-9, 1, 1e3, MAX_WEIGHT]
    assert check_weight(weight, 6).tolist() == weight


def test_weights_become_float64():
    weight = check_weight([1, 0, 2], 3)
    assert weight.dtype == np.float64
    assert weight.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, -0.5, 1], r"the smallest is -0\.5"),
        ([0, 0, 0], "zero for all rows"),
        ([1, 2], r"shape \(2,\), but there are 3 rows"),
        ([[1, 2, 3]], r"shape \(1, 3\)"),
        ([1, np.inf, 1], "sample_weight contains infinity"),
        ([1, 0, 2e6], r"sample_weight is 2e\+06 for row 2; .* from 1e-100 to 1e\+06. Divide all of them"),
        ([1, 1e300, 1e200], r"sample_weight is 1e\+300 for row 1"),
        ([0, 1e-200, 1], "sample_weight is 1e-200 for row 1"),
        ([5e-324] * 3, "sample_weight is 4.94066e-324 for row 0"),
    ],
)
def test_bad_weights_are_named(weight, message):
    with pytest.raises(ValueError, match=message):
        check_weight(weight, 3)


def test_rows_are_checked_against_the_first():
    reg, X = CMANPRegressor(), np.arange(6).reshape(3, 2)
    rows, y_is_1d = check_rows(reg, X, [1, 2, 3], [1, 0, 2], n_outputs=None)
    assert y_is_1d
    assert (reg.n_features_in_, rows.X.dtype, rows.y.shape, rows.weight.tolist()) == (2, X.dtype, (3, 1), [1, 0, 2])
    assert not check_rows(reg, X, np.ones((3, 1)), None, n_outputs=1)[1]
    with pytest.raises(ValueError, match="y has 2 targets, but CMANPRegressor is expecting 1"):
        check_rows(reg, X, np.ones((3, 2)), None, n_outputs=1)
    with pytest.raises(ValueError, match="X has 1 features"):
        check_rows(reg, X[:, :1], np.ones(3), None, n_outputs=1)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("make", [np.array, pd.Series, lambda y, dtype: pd.DataFrame({"y": y}, dtype=dtype)])
def test_targets_that_are_missing_are_found_in_objects(missing, make):
    y = make([missing, 1.0, 2.0], dtype=object)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        check_rows(CMANPRegressor(), np.ones((3, 1)), y, None, n_outputs=None)
    rows, _ = check_rows(CMANPRegressor(), np.ones((2, 1)), make([1, 2.0], dtype=object), None, n_outputs=None)
    assert rows.y.dtype == np.float64


@pytest.mark.parametrize(
    ("columns", "message"), [({0}, None), (0, "categorical_features=0"), ([["a"]], "categorical_features")]
)
def test_categorical_features_are_a_list(columns, message):
    X = np.arange(8.0).reshape(4, 2)
    reg = CMANPRegressor(categorical_features=columns)
    if message is None:
        assert check_rows(reg, X, np.ones(4), None, n_outputs=None)[0].kinds[0].name == "CATEGORY"
    else:
        with pytest.raises(ValueError, match=message):
            check_rows(reg, X, np.ones(4), None, n_outputs=None)


def test_tables_that_cannot_be_read_say_why():
    twice = pd.DataFrame(np.ones((3, 3)), columns=list("aab"))
    with pytest.raises(ValueError, match="2 columns named 'a'"):
        check_rows(CMANPRegressor(), twice, np.ones(3), None, n_outputs=None)
    pl = pytest.importorskip("polars")
    with pytest.raises(TypeError, match="LazyFrame"):
        check_rows(CMANPRegressor(), pl.LazyFrame({"a": [1, 2]}), np.ones(2), None, n_outputs=None)


@pytest.mark.parametrize("n", [0, -1, 2.0, "3", None])
def test_draws_are_counted(n):
    with pytest.raises(ValueError, match="n_samples="):
        check_draws(n)
    assert check_draws(np.int64(3)) == 3


def test_quantiles_are_numbers():
    with pytest.raises(ValueError, match="quantiles='a' must be numbers between 0 and 1"):
        check_outputs(False, False, "a", None)


def test_rows_after_some():
    rows = Rows(np.arange(6).reshape(3, 2), np.ones((3, 1)), np.arange(3.0))
    assert [array.tolist() for array in rows.after(2)[:3]] == [[[4, 5]], [[1]], [2]]
    assert rows._replace(weight=None).after(1).weight is None


def test_attributes_are_restored_on_any_error():
    class Thing:
        pass

    thing = Thing()
    thing.a, thing.b = 1, 2

    def fail():
        with restored_on_error(thing):
            thing.a, thing.c = 3, 4
            del thing.b
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert vars(thing) == {"a": 1, "b": 2}
    with restored_on_error(thing):
        thing.a = 3
    assert thing.a == 3
