from dataclasses import replace

import numpy as np
import pytest
from conftest import inputs_of

from skcmanp.adaptation.encoding import DATE_FEATURES, Encoding
from skcmanp.adaptation.inputs import MAX_COLUMNS, Inputs
from skcmanp.adaptation.rows import Rows, fold_of
from skcmanp.frames import Kind

KINDS = (Kind.NUMBER, Kind.CATEGORY, Kind.DATE, Kind.NUMBER)


def table(n=200, seed=0, t=1):
    """A number that counts, a category that does, a date that does not, and a number that is often missing."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(5, 3, n), rng.integers(0, 6, n), rng.uniform(0, 1e9, n), rng.normal(size=n)])
    y = X[:, :1] / 3 + (X[:, 1:2] % 3) + 0.1 * rng.normal(size=(n, t))
    X[rng.uniform(size=n) < 0.3, 3] = np.nan
    return X, (y - y.mean(0)) / y.std(0)


def fit(X, y, kinds=None, max_columns=32):
    encoding = Encoding.fit(X, None, kinds)
    rows = Rows(encoding(X), y, np.ones(len(X)))
    return Inputs.fit(encoding, rows, max_columns), rows


@pytest.fixture(scope="module")
def with_trees():
    found, rows = fit(*table(), KINDS)
    return found.with_trees(rows), rows


def test_numbers_alone_are_seen_as_they_are_encoded():
    X = np.random.default_rng(0).normal(3, 2, (9, 2))
    inputs = inputs_of(np.array([3.0, 0.0]), np.array([2.0, 1.0]))
    seen, unknown = inputs(X)
    np.testing.assert_allclose(seen, (X - [3, 0]) / [2, 1])
    np.testing.assert_array_equal(unknown, 0)
    np.testing.assert_array_equal(inputs.lengthscale, [2, 1])
    stretched = inputs.stretched(np.array([10.0, 0.5]))
    np.testing.assert_allclose(stretched(X)[0], seen / [10, 0.5])
    np.testing.assert_array_equal(stretched.lengthscale, [20, 0.5])


def test_all_columns_are_seen_in_standard_deviations():
    X, y = table()
    found, rows = fit(X, y, KINDS)
    assert found.n_features == 2 + DATE_FEATURES + 1
    seen, unknown = found(X, y)
    assert np.isfinite(seen).all()
    np.testing.assert_allclose(seen[:, -1].std(), 1)  # the category's code, the last one
    np.testing.assert_array_equal(seen, found.seen(rows.x, fold_of(rows.x, y))[0])
    np.testing.assert_array_equal(unknown, 0)  # before it is known how much
    assert np.isnan(found.lengthscale).tolist() == [False, *[True] * DATE_FEATURES, False, True]


def test_rows_that_are_read_and_to_be_predicted_differ_by_what_knows_targets(with_trees):
    inputs, _ = with_trees
    X, y = table()
    read, predicted = inputs(X, y)[0], inputs(X)[0]
    np.testing.assert_array_equal(read[:, :-2], predicted[:, :-2])
    assert (read[:, -2:] != predicted[:, -2:]).any(axis=0).all()
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_array_equal(inputs(X[order], y[order])[0], read[order])
    for i in (0, 17):
        np.testing.assert_allclose(inputs(X[i : i + 1], y[i : i + 1])[0][0], read[i], rtol=1e-12)


def test_trees_are_fitted_to_numbers_and_codes_and_come_last(with_trees):
    inputs, rows = with_trees
    every, _ = inputs._all(rows.x, fold_of(rows.x, rows.y))
    assert inputs.selection.used[-1] == every.shape[1] - 1
    seen = inputs.seen(rows.x, fold_of(rows.x, rows.y))[0]
    np.testing.assert_allclose(seen[:, -1].std(), 1)
    assert np.corrcoef(seen[:, -1], rows.y[:, 0])[0, 1] > 0.8


def test_refitted_they_know_the_targets_of_other_rows_alone(with_trees):
    inputs, rows = with_trees
    kept = rows.take(slice(150))
    again = inputs.refitted(kept)
    changed = rows._replace(y=np.r_[rows.y[:150], 100 + rows.y[150:]]).take(slice(150))
    np.testing.assert_array_equal(again.seen(rows.x)[0], inputs.refitted(changed).seen(rows.x)[0])
    assert (again.seen(rows.x)[0][:, -1] != inputs.seen(rows.x)[0][:, -1]).any()
    np.testing.assert_array_equal(again.selection.used, inputs.selection.used)


def test_wide_tables_are_seen_by_what_tells_most_and_ridge_regression():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 60))
    X[:, 7] = np.nan
    y = 3 * np.sign(X[:, 50:51]) + X[:, :6].sum(1, keepdims=True) + 0.1 * rng.normal(size=(600, 1))
    few, _ = fit(X[:100], y[:100])
    assert few.n_features == 6 + 1  # of few rows, some tell much by chance
    found, _ = fit(X, y / y.std())
    assert found.n_features == MAX_COLUMNS + 1
    assert 50 in found.selection.used
    assert 7 not in found.selection.used
    assert found.ridge is not None
    assert np.isfinite(found(X)[0]).all()
    found.check_possible(1)


@pytest.mark.parametrize("max_columns", [1, 2, 3, 4, 32])
@pytest.mark.parametrize("t", [1, 2, 5, 40])
def test_no_more_is_seen_than_a_network_takes(monkeypatch, max_columns, t):
    monkeypatch.setattr("skcmanp.adaptation.inputs.gain", lambda x, y, weight: x.var(0))
    rng = np.random.default_rng(0)
    for c in (1, 3, 4, 31, 40):
        X, y = rng.normal(size=(30, c)), rng.normal(size=(30, t))
        found, _ = fit(X, y, max_columns=max_columns)
        assert 1 <= found.n_features <= max_columns
        if c <= min(max_columns, MAX_COLUMNS):  # all is seen as it is
            assert found.n_features == c
        found.check_possible(t)


def change(x, other):
    return float(np.square(x - other).sum(1).mean())


def test_what_is_unknown_is_what_values_told():
    X, y = table()
    found, rows = fit(X, y, KINDS)
    squares = np.where(np.isnan(rows.x[:, -1]), 5.0, 2.0)  # of errors, where the last number is often missing
    found = found.with_unknown(rows, change, squares, np.full(1, 2.0))
    unknown = found.selection.unknown
    assert (unknown > 0).all()
    assert unknown[3] == (5 - 2) / 4
    seen = found.seen(rows.x[:64])[0]
    without = np.where(np.arange(seen.shape[1]) == 0, 0.0, seen)
    assert unknown[0] == pytest.approx(change(seen, without) / 4)

    gone = np.tile(X[:1], (6, 1))
    gone[:, 3] = 0.0  # nothing is missing of the first
    for i in range(4):
        gone[i + 1, i] = np.nan
    gone[5] = np.nan
    np.testing.assert_allclose(found(gone)[1], [0, *unknown, unknown.sum()])
    gone[2, 1] = 77.0  # a level that was not there
    np.testing.assert_allclose(found(gone)[1][2], unknown[1])


def test_values_whose_lack_makes_no_larger_errors_leave_nothing_unknown():
    found, rows = fit(*table(), KINDS)
    squares = np.where(np.isnan(rows.x[:, -1]), 1.0, 2.0)
    assert found.with_unknown(rows, change, squares, np.ones(1)).selection.unknown[3] == 0


def test_tables_without_any_value_have_a_feature_that_says_nothing():
    found, _ = fit(np.full((20, 3), np.nan), np.random.default_rng(0).normal(size=(20, 1)))
    assert found.n_features == 1
    np.testing.assert_array_equal(found(np.full((4, 3), np.nan))[0], 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"used": np.array([0, 1, 2, 3, 4, 5, 6, 99])}, "of the numbers that there are"),
        ({"used": np.array([-1, 1, 2, 3, 4, 5, 6, 7])}, "of the numbers that there are"),
        ({"used": np.arange(3)}, "centre is not of shape"),
        ({"scale": np.zeros(8)}, "not positive"),
        ({"unknown": np.zeros(3)}, "not of all columns, or negative"),
    ],
)
def test_what_rows_cannot_have_led_to_is_refused(with_trees, change, message):
    inputs, _ = with_trees
    inputs.check_possible(1)
    with pytest.raises(ValueError, match=message):
        replace(inputs, selection=replace(inputs.selection, **change)).check_possible(1)
    with pytest.raises(ValueError, match="not of 2 of them"):
        inputs.check_possible(2)
    with pytest.raises(ValueError, match="not of all categories"):
        replace(inputs, categories=None).check_possible(1)


def test_what_tells_nothing_is_not_stretched():
    """A column of one value, and one of a common value beside many that are their own, say nothing of targets."""
    rng = np.random.default_rng(2)
    x, is_none = rng.normal(size=(300, 1)), rng.uniform(size=300) < 0.2
    names = np.where(is_none, 0.0, 1 + np.arange(300.0))
    kinds = (Kind.NUMBER, Kind.CATEGORY, Kind.CATEGORY)
    encoding = Encoding.fit(np.column_stack([x, names, np.ones(300)]), None, kinds)
    encoded = encoding(np.column_stack([x, names, np.ones(300)]))
    y = (2 * x + 0.3 * rng.normal(size=(300, 1))) / 2
    rows = Rows(encoded, y, np.ones(300))
    seen = Inputs.fit(encoding, rows, 32).seen(encoded, fold_of(encoded, y))[0]
    assert seen[:, 0].std() == pytest.approx(1, abs=0.1)
    assert seen[:, 1].std() < 0.7  # and 1 if it were
    np.testing.assert_array_equal(seen[:, 2], 0)
