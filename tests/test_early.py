"""The first rows of a stream: when the scaling is fitted to them, and what ends that."""

import pickle

import numpy as np
import pytest
from conftest import assert_same_predictions, make_model
from hypothesis import given, settings
from hypothesis import strategies as st

from skcmanp import CMANPRegressor
from skcmanp.early import ENOUGH, EarlyRows
from skcmanp.scaling import Scaling


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal([0, 100], [1, 20], (n, 2))
    return X, np.sin(X[:, 0]) + 0.01 * X[:, 1] + rng.normal(0, 0.1, n)


def read(reg, X, y, size, sample_weight=None):
    for start in range(0, len(X), size):
        part = slice(start, start + size)
        reg.partial_fit(X[part], y[part], None if sample_weight is None else sample_weight[part])
    return reg


@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=12))
def test_the_scaling_is_fitted_whenever_rows_have_doubled_until_they_are_enough(sizes):
    early = EarlyRows(np.zeros((0, 2)), np.zeros((0, 1)), None)
    seen = n_fitted = 0
    for size in sizes:
        early = early.extended(np.zeros((size, 2)), np.zeros((size, 1)), None)
        seen += size
        assert early.is_due == (seen >= 2 * n_fitted or seen >= ENOUGH)
        if early.is_due:
            early, n_fitted = early.fitted(), seen
        if early is None:
            break
        assert len(early.X) == len(early.y) == seen
        assert early.n_fitted == n_fitted
    assert (early is None) == (seen >= ENOUGH)


def test_rows_are_copied_and_weights_are_joined():
    X, y = np.ones((2, 1)), np.ones((2, 1))
    kept = EarlyRows(X, y, None).fitted()
    X[:] = y[:] = 5
    assert kept.X.max() == kept.y.max() == 1
    assert kept.extended(X, y, None).weight is None
    np.testing.assert_array_equal(kept.extended(X, y, np.array([2.0, 3.0])).weight, [1, 1, 2, 3])
    np.testing.assert_array_equal(kept.decayed(0.5).extended(X, y, None).weight, [0.5, 0.5, 1, 1])
    assert kept.decayed(0.0) is None


def test_rows_of_no_weight_do_not_count():
    X, y, weight = np.zeros((ENOUGH, 1)), np.zeros((ENOUGH, 1)), np.r_[np.ones(10), np.zeros(ENOUGH - 10)]
    early = EarlyRows(X, y, weight).fitted()
    assert early.n_fitted == len(early.X) == 10
    assert len(early.extended(X, y, weight).X) == 20
    assert not early.extended(X[:9], y[:9], None).is_due
    assert early.extended(X[:10], y[:10], None).is_due


@pytest.mark.parametrize("size", [1, 7, 250, 999])
def test_a_stream_that_starts_with_few_rows_ends_where_one_that_starts_with_enough_does(size):
    X, y = rows(ENOUGH)
    model = make_model()
    assert_same_predictions(read(CMANPRegressor(model), X, y, size), CMANPRegressor(model).fit(X, y), X[:20])


def test_length_scales_and_points_as_well():
    X, y = rows(ENOUGH + 200)
    first = slice(ENOUGH)
    cold = read(CMANPRegressor(), X[first], y[first], 125)
    warm = CMANPRegressor().fit(X[first], y[first])
    assert cold.context_.scaling.equals(warm.context_.scaling)
    for reg in (cold, warm):
        reg.partial_fit(X[ENOUGH:], y[ENOUGH:])
    assert_same_predictions(cold, warm, X[:20])


@settings(max_examples=10)
@given(seed=st.integers(0, 99), sizes=st.lists(st.integers(1, 20), min_size=2, max_size=5))
def test_weights_count_as_they_do_in_fit(seed, sizes):
    n = sum(sizes)
    X, y = rows(2 * n, seed)
    weight = np.random.default_rng(seed).integers(1, 4, 2 * n).astype(float)
    model = make_model()
    reg, start = CMANPRegressor(model), 0
    for size in [*sizes, n]:  # the last doubles them
        part = slice(start, start + size)
        reg.partial_fit(X[part], y[part], weight[part])
        start += size
    assert_same_predictions(reg, CMANPRegressor(model).fit(X, y, weight), X[:20])


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_decayed_rows_are_fitted_with_decayed_weights(gamma):
    X, y = rows(90)
    model = make_model()
    reg = CMANPRegressor(model).partial_fit(X[:30], y[:30]).decay(gamma).partial_fit(X[30:], y[30:])
    weight = np.where(np.arange(90) < 30, gamma, 1.0)
    assert_same_predictions(reg, CMANPRegressor(model).fit(X, y, weight), X[:20])


def freeze_by_fit(reg, X, y):
    return reg.fit(X, y)


def freeze_by_emptying(reg, X, y):
    return reg.partial_fit(X, y).decay(0.0)


def freeze_by_forgetting(reg, X, y):
    return reg.partial_fit(X, y).forget(X[:3], y[:3])


def freeze_by_merging(reg, X, y):
    return reg.partial_fit(X, y).merge(pickle.loads(pickle.dumps(reg)).decay(0.5))


def freeze_by_adopting(reg, X, y):
    return reg.merge(CMANPRegressor(reg.checkpoint).partial_fit(X, y))


def freeze_by_bounds(reg, X, y):
    return reg.set_params(x_bounds=(-5, 200), y_bounds=(-5, 5)).partial_fit(X, y)


def freeze_by_not_scaling(reg, X, y):
    return reg.set_params(standardize=False).partial_fit(X, y)


@pytest.mark.parametrize(
    "freeze",
    [
        freeze_by_fit,
        freeze_by_emptying,
        freeze_by_forgetting,
        freeze_by_merging,
        freeze_by_adopting,
        freeze_by_bounds,
        freeze_by_not_scaling,
    ],
)
def test_what_freezes_the_scaling(freeze):
    X, y = rows(300)
    reg = freeze(CMANPRegressor(make_model()), X[:20], y[:20])
    scaling = reg.context_.scaling
    assert reg.partial_fit(X[20:], y[20:]).context_.scaling is scaling
    assert reg._early is None


def test_it_is_frozen_once_rows_are_enough():
    X, y = rows(2 * ENOUGH)
    reg = read(CMANPRegressor(make_model()), X[:ENOUGH], y[:ENOUGH], 100)
    scaling, size = reg.context_.scaling, len(pickle.dumps(reg))
    read(reg, X[ENOUGH:], y[ENOUGH:], 100)
    assert reg.context_.scaling is scaling
    assert len(pickle.dumps(reg)) == size


def test_a_pickle_goes_on_as_the_original_would():
    X, y = rows(200)
    reg = CMANPRegressor(make_model()).partial_fit(X[:60], y[:60])
    twin = pickle.loads(pickle.dumps(reg))
    for each in (reg, twin):
        read(each, X[60:], y[60:], 35)
    np.testing.assert_array_equal(reg.predict(X, return_std=True), twin.predict(X, return_std=True))


def test_rows_of_a_call_that_fails_are_not_kept(monkeypatch):
    X, y = rows(200)
    reg = CMANPRegressor(make_model()).partial_fit(X[:60], y[:60])
    before = vars(reg).copy()

    def fail(*args, **kwargs):
        raise MemoryError

    for size in (10, 60):  # with the scaling as it is, and with a new one
        with monkeypatch.context() as patch:
            patch.setattr("skcmanp.regressor.Reader.read_parallel", fail)
            with pytest.raises(MemoryError):
                reg.partial_fit(X[60 : 60 + size], y[60 : 60 + size])
        assert vars(reg) == before
    with monkeypatch.context() as patch:
        patch.setattr(Scaling, "fit", fail)
        with pytest.raises(MemoryError):
            reg.partial_fit(X[60:120], y[60:120])
    assert vars(reg) == before
