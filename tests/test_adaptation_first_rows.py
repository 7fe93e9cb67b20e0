"""The first rows of a stream: when the scaling is fitted to them, and what ends that."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from conftest import assert_same_predictions, make_model
from hypothesis import given, settings
from hypothesis import strategies as st

from skcmanp import CMANPRegressor, ContextState
from skcmanp.adaptation import Adaptation
from skcmanp.adaptation.first_rows import COUNTS, ENOUGH, FirstRows
from skcmanp.validation import MIN_WEIGHT, Rows


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal([0, 100], [1, 20], (n, 2))
    return X, np.sin(X[:, 0]) + 0.01 * X[:, 1] + rng.normal(0, 0.1, n)


def read(reg, X, y, size, sample_weight=None):
    for start in range(0, len(X), size):
        part = slice(start, start + size)
        reg.partial_fit(X[part], y[part], None if sample_weight is None else sample_weight[part])
    return reg


def extended(first_rows, X, y, weight=None):
    return first_rows.extended(Rows(X, y, weight))


# ------------------------------------------------------------------ which rows they are


@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_they_are_the_first_that_weigh_something_however_they_come(sizes, seed):
    n, rng = sum(sizes), np.random.default_rng(seed)
    X, weight = np.arange(float(n))[:, None], rng.integers(0, 3, n).astype(float)
    counted = np.flatnonzero(weight)[:ENOUGH]
    kept, start = FirstRows.none(1, 1), 0
    for size in sizes:
        part = slice(start, start + size)
        if kept.are_enough or not weight[part].any():
            break
        kept, rest = extended(kept, X[part], -X[part], weight[part])
        start += size
        taken = counted[counted < start]
        np.testing.assert_array_equal(kept.X[:, 0], taken)
        np.testing.assert_array_equal(kept.y[:, 0], -taken)
        np.testing.assert_array_equal(kept.weight, weight[taken])
        assert kept.n_fitted == max((count for count in COUNTS if count <= len(taken)), default=0)
        assert kept.are_enough == (len(taken) == ENOUGH)
        np.testing.assert_array_equal(rest.X[:, 0], np.arange(taken[-1] + 1, start))
        np.testing.assert_array_equal(rest.weight, weight[taken[-1] + 1 : start])


def test_what_they_fix_is_fitted_when_they_have_doubled_and_once_they_are_enough():
    assert COUNTS == (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
    rows, _ = extended(FirstRows.none(2, 1), np.arange(14.0).reshape(7, 2), np.ones((7, 1)))
    np.testing.assert_array_equal(rows.fitted.X, rows.X[:4])
    assert [len(array) for array in (*rows.fitted[:3], *rows.rows[:3])] == [4] * 3 + [7] * 3
    assert FirstRows.none(2, 1).n_fitted == 0


def test_rows_are_copied_as_float64_and_their_weights_are_joined():
    X, y = np.ones((2, 1), np.int32), np.ones((2, 1), np.float32)
    kept, _ = extended(FirstRows.none(1, 1), X, y)
    X[:] = y[:] = 5
    assert kept.X.max() == kept.y.max() == 1
    assert kept.X.dtype == kept.y.dtype == np.float64
    np.testing.assert_array_equal(extended(kept, X, y, np.array([2.0, 3.0]))[0].weight, [1, 1, 2, 3])
    np.testing.assert_array_equal(extended(kept.decayed(0.5), X, y)[0].weight, [0.5, 0.5, 1, 1])
    assert kept.decayed(0.0) is None


def test_endless_decay_does_not_make_them_vanish():
    kept, _ = extended(FirstRows.none(1, 1), np.ones((2, 1)), np.ones((2, 1)))
    for _ in range(10):
        kept = kept.decayed(1e-300)
    assert (kept.weight == MIN_WEIGHT).all()
    X, y = rows(40)
    reg = CMANPRegressor(make_model()).partial_fit(X[:20], y[:20])
    for _ in range(10):
        reg.decay(1e-300)
    reg.partial_fit(X[20:], y[20:])
    assert reg.n_samples_seen_ == 40
    fresh = CMANPRegressor(make_model()).partial_fit(X[:32], y[:32], np.r_[np.full(20, MIN_WEIGHT), np.ones(12)])
    assert_same_predictions(reg, fresh.partial_fit(X[32:], y[32:]), X)


# ------------------------------------------------------------------ what a stream does with them


@settings(max_examples=12)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    others=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    seed=st.integers(0, 99),
    weighted=st.booleans(),
)
def test_chunks_do_not_matter_from_the_first_row_on(sizes, others, seed, weighted):
    """P1b: at every moment that two cuts of a stream have in common, predictions are the same."""
    n = min(sum(sizes), sum(others))
    X, y = rows(n, seed)
    weight = np.random.default_rng(seed).integers(0, 3, n).astype(float) if weighted else None
    model = make_model()
    edges, others = ({*np.cumsum(cut)[np.cumsum(cut) < n].tolist(), n} for cut in (sizes, others))
    streams = [CMANPRegressor(model), CMANPRegressor(model)]
    starts = [0, 0]
    for end in sorted(edges | others):
        for i, cuts in enumerate((edges, others)):
            part = slice(starts[i], end)
            if end in cuts and (weight is None or weight[part].any()):
                streams[i].partial_fit(X[part], y[part], None if weight is None else weight[part])
                starts[i] = end
        if starts[0] == starts[1] == end:
            assert_same_predictions(*streams, X)
            a, b = (reg.context_ for reg in streams)
            assert a.adaptation.equals(b.adaptation)
            assert (a.n_rows, len(a.first_rows.X)) == (b.n_rows, len(b.first_rows.X))


@pytest.mark.parametrize("n", [700, 1300])
def test_nor_with_length_scales_and_points(n):
    X, y = rows(n)
    whole = CMANPRegressor().partial_fit(X, y)
    fitted = 512 if n < ENOUGH else ENOUGH
    first = slice(fitted)
    by_rows = Adaptation.fit(X[first], y[first, None], how="fit", memory_features=448, trees=fitted == ENOUGH)
    assert whole.context_.adaptation.equals(by_rows)
    assert (whole.context_.first_rows is None) == (n > ENOUGH)
    for edges in ([0, 1, 300, n], [0, 511, 513, n]):
        cut = CMANPRegressor()
        for start, end in pairwise(edges):
            cut.partial_fit(X[start:end], y[start:end])
        mean, std = whole.predict(X[:50], return_std=True)
        other, other_std = cut.predict(X[:50], return_std=True)
        assert np.abs([mean - other, std - other_std]).max() < 1e-9 * (np.abs(mean).max() + std.max())


def test_nothing_is_fitted_at_counts_that_one_call_passes(monkeypatch):
    X, y = rows(1500)
    fitted, fit = [], Adaptation.fit
    monkeypatch.setattr(Adaptation, "fit", lambda X, *args, **kwargs: fitted.append(len(X)) or fit(X, *args, **kwargs))
    reg = CMANPRegressor(make_model())
    for start, end in pairwise([0, 3, 5, 100, 101, 127, 128, 1500]):
        reg.partial_fit(X[start:end], y[start:end])
    assert fitted == [2, 4, 64, 128, 1000]


def test_decay_between_the_first_rows_does_not_depend_on_chunks():
    X, y = rows(90)
    model = make_model()
    regs = []
    for size in (1, 7, 45):
        reg = CMANPRegressor(model)
        for half in (slice(0, 45), slice(45, 90)):
            read(reg, X[half], y[half], size).decay(0.5)
        regs.append(reg)
    assert_same_predictions(regs[0], regs[2], X)
    assert_same_predictions(regs[1], regs[2], X)


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
    assert cold.context_.adaptation.equals(warm.context_.adaptation)
    for reg in (cold, warm):
        reg.partial_fit(X[ENOUGH:], y[ENOUGH:])
    assert_same_predictions(cold, warm, X[:20])


@settings(max_examples=10)
@given(seed=st.integers(0, 99), k=st.integers(0, 7))
def test_weights_count_as_they_do_in_fit(seed, k):
    X, y = rows(2**k, seed)
    weight = np.random.default_rng(seed).integers(1, 4, 2**k).astype(float)
    model = make_model()
    reg = read(CMANPRegressor(model), X, y, 5, weight)
    assert_same_predictions(reg, CMANPRegressor(model).fit(X, y, weight), X)


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_decayed_rows_are_fitted_with_decayed_weights(gamma):
    X, y = rows(64)
    model = make_model()
    reg = CMANPRegressor(model).partial_fit(X[:30], y[:30]).decay(gamma).partial_fit(X[30:], y[30:])
    weight = np.where(np.arange(64) < 30, gamma, 1.0)
    assert_same_predictions(reg, CMANPRegressor(model).fit(X, y, weight), X[:20])


def freeze_by_fit(reg, X, y):
    return reg.fit(X, y)


def freeze_by_emptying(reg, X, y):
    return reg.partial_fit(X, y).decay(0.0)


def freeze_by_forgetting(reg, X, y):
    return reg.partial_fit(X, y).forget(X[:3], y[:3])


def freeze_by_merging(reg, X, y):
    return reg.partial_fit(X, y).merge(pickle.loads(pickle.dumps(reg)).decay(0.5))


def freeze_by_adopting_with_bounds(reg, X, y):
    return reg.set_params(x_bounds=(-5, 200), y_bounds=(-5, 5)).merge(CMANPRegressor(reg.checkpoint).partial_fit(X, y))


def freeze_by_adopting_several(reg, X, y):
    other = CMANPRegressor(reg.checkpoint).partial_fit(X, y)
    return reg.merge(other, other)


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
        freeze_by_adopting_with_bounds,
        freeze_by_adopting_several,
        freeze_by_bounds,
        freeze_by_not_scaling,
    ],
)
def test_what_freezes_the_scaling(freeze):
    X, y = rows(300)
    reg = freeze(CMANPRegressor(make_model()), X[:20], y[:20])
    adaptation = reg.context_.adaptation
    assert reg.partial_fit(X[20:], y[20:]).context_.adaptation is adaptation
    assert reg.context_.first_rows is None


def test_it_is_frozen_once_rows_are_enough():
    X, y = rows(2 * ENOUGH)
    reg = read(CMANPRegressor(make_model()), X[:ENOUGH], y[:ENOUGH], 100)
    adaptation, size = reg.context_.adaptation, len(pickle.dumps(reg))
    read(reg, X[ENOUGH:], y[ENOUGH:], 100)
    assert reg.context_.adaptation is adaptation
    assert len(pickle.dumps(reg)) == size


def adopted(reg):
    return CMANPRegressor(reg.checkpoint).merge(ContextState.from_bytes(reg.context_.to_bytes()))


@pytest.mark.parametrize(
    "restored",
    [lambda reg: pickle.loads(pickle.dumps(reg)), adopted, lambda reg: CMANPRegressor(reg.checkpoint).merge(reg)],
    ids=["pickle", "bytes", "estimator"],
)
def test_a_copy_goes_on_as_the_original_would(restored):
    X, y = rows(200)
    reg = CMANPRegressor(make_model()).partial_fit(X[:60], y[:60])
    twin = restored(reg)
    for each in (reg, twin):
        read(each, X[60:], y[60:], 35)
    np.testing.assert_array_equal(reg.predict(X, return_std=True), twin.predict(X, return_std=True))


@settings(max_examples=10)
@given(cuts=st.lists(st.integers(1, 1200), min_size=1, max_size=4, unique=True), gamma=st.sampled_from([0.5, 1.0]))
def test_bytes_in_mid_stream_do_not_show(cuts, gamma):
    X, y = rows(1200)
    model = make_model()
    stream, serialised = CMANPRegressor(model), CMANPRegressor(model)
    for start, end in pairwise(sorted({0, *cuts, 1200})):
        for reg in (stream, serialised):
            reg.partial_fit(X[start:end], y[start:end]).decay(gamma)
        serialised = adopted(serialised)
    assert_same_predictions(serialised, stream, X[:50])


def test_rows_of_a_call_that_fails_are_not_kept(monkeypatch):
    X, y = rows(200)
    reg = CMANPRegressor(make_model()).partial_fit(X[:60], y[:60])
    before = vars(reg).copy()

    def fail(*args, **kwargs):
        raise MemoryError

    for size in (3, 60):  # with the adaptation as it is, and with a new one
        with monkeypatch.context() as patch:
            patch.setattr("skcmanp.learner.Reader.read_parallel", fail)
            with pytest.raises(MemoryError):
                reg.partial_fit(X[60 : 60 + size], y[60 : 60 + size])
        assert vars(reg) == before
    with monkeypatch.context() as patch:
        patch.setattr(Adaptation, "fit", fail)
        with pytest.raises(MemoryError):
            reg.partial_fit(X[60:120], y[60:120])
    assert vars(reg) == before
