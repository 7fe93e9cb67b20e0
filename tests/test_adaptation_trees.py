import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from skcmanp.adaptation import trees
from skcmanp.adaptation.rows import N_FOLDS, fold_of
from skcmanp.adaptation.trees import Trees, gain, rough_predictions


def make(n=300, t=1, seed=0, missing=0.15):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    y = np.column_stack([np.where(x[:, 0] > 0.3, 2.0, -1.0), np.abs(x[:, 1])])[:, :t] + 0.2 * rng.normal(size=(n, t))
    x[rng.uniform(size=x.shape) < missing] = np.nan
    return x, y, fold_of(x, y)


@pytest.fixture(scope="module")
def fitted():
    x, y, fold = make(t=2)
    return Trees.fit(x, y, np.ones(len(x)), fold)


def test_predictions_are_those_of_the_library(fitted):
    x, y, fold = make(t=2)
    new = make(seed=1)[0]
    new[:3] = [[np.nan] * 3, [-1e30] * 3, [1e30] * 3]
    for t in range(2):
        for k in range(N_FOLDS):
            model = trees.boosted(x[fold != k], y[fold != k, t], np.ones(np.count_nonzero(fold != k)))
            assert isinstance(model, HistGradientBoostingRegressor)
            found = fitted(new, np.full(len(new), k))[:, t]
            np.testing.assert_allclose(found, model.predict(new), rtol=1e-6, atol=1e-6 * y.std())


@pytest.mark.parametrize("n", [60, 300, 1025])
def test_rows_at_a_threshold_are_on_one_side_after_rounding(n):
    """The library's thresholds are values of rows, where its quantiles are."""
    x, y, _ = make(n)
    fold = np.arange(n) % N_FOLDS
    one, other = (Trees.fit(rows.astype(float), y, np.ones(n), fold) for rows in (x, x.astype(np.float32)))
    np.testing.assert_array_equal(one.value, other.value)
    for rows in (x, x.astype(np.float32).astype(float)):
        np.testing.assert_array_equal(one(rows, fold), other(rows, fold))
        np.testing.assert_array_equal(one(rows), one(x))


def test_columns_that_were_never_missing_may_be(fitted):
    x, y, fold = make(missing=0.0)
    found = Trees.fit(x, y, np.ones(len(x)), fold)
    model = trees.boosted(x[fold != 2], y[fold != 2, 0], np.ones(np.count_nonzero(fold != 2)))
    x[:, 0] = np.nan
    np.testing.assert_allclose(found(x, np.full(len(x), 2))[:, 0], model.predict(x), rtol=1e-6, atol=1e-6)


def test_columns_may_be_missing_altogether_or_but_for_a_fold():
    x, y, fold = make(200)
    x[:, 2] = np.nan
    x[fold != 0, 1] = np.nan
    found = Trees.fit(x, y, np.ones(len(x)), fold)
    assert np.isfinite(found(x, fold)).all()
    assert 2 not in found.features
    assert np.isfinite(gain(x, y, np.ones(len(x)))).all()


def test_rows_are_read_without_their_fold_and_predicted_by_all(fitted):
    x, _, fold = make(t=2)
    every = np.stack([fitted(x, np.full(len(x), k)) for k in range(N_FOLDS)])
    np.testing.assert_array_equal(fitted(x, fold), every[fold, np.arange(len(x))])
    np.testing.assert_allclose(fitted(x), every.mean(0), rtol=1e-12)


def test_a_rows_own_target_is_not_in_what_it_is_read_with():
    x, y, fold = make(200)
    changed = np.where((fold == 1)[:, None], 100.0, y)
    one, other = (Trees.fit(x, target, np.ones(len(x)), fold)(x, fold) for target in (y, changed))
    np.testing.assert_array_equal(one[fold == 1], other[fold == 1])
    assert (one[fold != 1] != other[fold != 1]).all()


def test_rows_may_all_be_in_one_fold():
    x, y, fold = make(200)
    found = Trees.fit(x, y, np.ones(200), 0 * fold)
    assert np.isfinite(found(x, 0 * fold)).all()
    found.check_possible(3)


def test_chunks_of_rows_do_not_matter(fitted, monkeypatch):
    x, _, fold = make()
    expected = fitted(x, fold), fitted(x)
    monkeypatch.setattr(trees, "_ROWS_AT_ONCE", 7)
    np.testing.assert_array_equal(fitted(x, fold), expected[0])
    np.testing.assert_array_equal(fitted(x), expected[1])
    np.testing.assert_allclose(fitted(x[5:6]), expected[1][5:6], rtol=1e-12)


def test_what_is_frozen_is_small_and_comes_back(fitted):
    arrays = fitted.arrays()
    assert all(np.isfinite(array).all() for name, array in arrays.items() if name != "threshold")
    assert {name: array.dtype for name, array in arrays.items() if array.dtype != np.float64} == fitted.integers
    fitted.check_possible(3)
    assert Trees.from_arrays(arrays).equals(fitted)


def test_they_know_which_features_they_ask_for(fitted):
    assert fitted.features.tolist() == [0, 1, 2]
    x, y, fold = make(200, missing=0)
    x[:, 1:] = 0
    assert Trees.fit(x, y, np.ones(len(x)), fold).features.tolist() == [0]


def test_weights_count():
    x, y, _ = make(200)
    weight = np.where(x[:, 1] > 0, 1e-6, 1.0)
    heavy = trees.boosted(x[weight == 1], y[weight == 1, 0], np.ones(np.count_nonzero(weight == 1)))
    np.testing.assert_allclose(
        np.ravel(trees.boosted(x, y[:, 0], weight)._baseline_prediction),
        np.ravel(heavy._baseline_prediction),
        atol=1e-4,
    )


def test_rough_predictions_are_of_rows_that_were_left_out():
    x, y, _ = make(t=2)
    left_out = np.arange(len(x)) % 4 == 0
    told = rough_predictions(x, y, np.ones(len(x)), left_out)
    assert told.shape == y[left_out].shape
    assert (np.square(told - y[left_out]).mean(0) < 0.5 * y.var(0)).all()
    y[left_out] += 10
    np.testing.assert_array_equal(rough_predictions(x, y, np.ones(len(x)), left_out), told)


def test_what_tells_most_gains_most():
    x, y, _ = make()
    found = gain(x, y, np.ones(len(x)))
    assert found.shape == (3,)
    assert found[0] > 5 * found[1:].max()


@pytest.mark.parametrize(
    "change",
    [
        {"left": lambda a: np.full_like(a, len(a) - 1)},
        {"left": lambda a: a[:-1]},
        {"feature": lambda a: a + 3},
        {"threshold": lambda a: a[1:]},
    ],
)
def test_what_are_no_trees_is_refused(fitted, change):
    arrays = {name: change.get(name, lambda a: a)(array) for name, array in fitted.arrays().items()}
    with pytest.raises(ValueError, match="trees"):
        Trees.from_arrays(arrays).check_possible(3)
