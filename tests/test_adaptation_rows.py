import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from skcmanp.adaptation.rows import MAX_ROWS, Rows, own_order, project, sample_rows, split_rows


def make(n, d=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, np.sin(2 * x[:, :1]) + 0.1 * rng.normal(size=(n, 2)), rng.integers(1, 4, n).astype(float)


@given(seed=st.integers(0, 100), n=st.sampled_from([1, 5, 60, 3000]), n_chunks=st.integers(1, 4))
def test_the_sample_depends_on_neither_order_nor_chunks(seed, n, n_chunks):
    x, y, w = make(n, seed=seed)
    x[n // 2 :] = x[: n - n // 2]  # duplicates, but for the targets
    expected = sample_rows([(x, y, w)])
    order = np.random.default_rng(seed).permutation(n)
    chunks = [(x[i], y[i], w[i]) for i in np.array_split(order, n_chunks) if len(i)]
    for got, want in zip(sample_rows(chunks), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    assert len(expected.x) == min(n, MAX_ROWS)


@given(seed=st.integers(0, 100), n=st.sampled_from([2, 61, 300]), dtype=st.sampled_from(["f8", "f4", "i8"]))
def test_their_own_order_is_that_of_their_values_to_the_bit(seed, n, dtype):
    x, y, w = make(n, seed=seed)
    x, y = np.round(4 * x).astype(dtype), np.round(y)  # ties, and some rows that are equal
    missing = np.where(x == 1, np.nan, x)
    order = np.random.default_rng(seed).permutation(n)
    for kind, table in ((np.array, x), (np.array, missing), (csr_matrix, x)):
        found = own_order(kind(table), y, w)
        again = order[own_order(kind(table[order]), y[order], w[order])]
        for values in (table, y, w):
            np.testing.assert_array_equal(values[found], values[again])
        assert (np.diff(w[found]) >= 0).all()


def test_equal_rows_are_one_with_their_weights():
    x, y, w = make(10)
    twice = sample_rows([(np.r_[x, x], np.r_[y, y], np.r_[w, 2 * w])])
    assert len(twice.x) == 10
    np.testing.assert_allclose(np.sort(twice.weight), np.sort(3 * w))
    zeros = sample_rows([(np.array([[0.0], [-0.0]]), np.zeros((2, 1)), np.ones(2))])
    assert len(zeros.x) == 1


def test_rows_without_weights_count_one_each():
    x, y, _ = make(10)
    np.testing.assert_array_equal(sample_rows([(x, y, None), (x[:4], y[:4], None)]).weight.sum(), 14)


def test_copies_that_differ_by_rounding_are_one_row():
    x, y, w = make(200)
    close = x * (1 + 1e-8)
    assert len(sample_rows([(np.r_[x, close], np.r_[y, y], np.r_[w, w])]).x) < 210


def other(kind, values):
    if kind == "float32":
        return values.astype(np.float32).astype(np.float64)
    return values + 1e-7 * values.std(axis=0) * np.random.default_rng(9).normal(size=values.shape)


@pytest.mark.parametrize("kind", ["float32", "perturbed"])
@pytest.mark.parametrize("n", [300, 2400, 12_000])
def test_the_same_rows_are_chosen_when_their_last_digits_change(kind, n):
    x, y, _ = make(n)
    a, b = sample_rows([(x, y, None)]), sample_rows([(other(kind, x), other(kind, y), None)])
    assert len(a.x) == len(b.x) == min(n, MAX_ROWS)
    nearest = np.abs(np.sort(project(a.x)) - np.sort(project(b.x)))
    assert np.median(nearest) < 1e-4
    # A row is where the other sample has it, but for a few that are moved past a neighbour, or over the edge.
    same = np.abs(a.x - b.x).max(axis=1) < 1e-5
    kept = [np.abs(a.x - row).max(axis=1).min() < 1e-5 for row in b.x[::20]]
    assert np.mean(kept) > 0.97
    if n <= MAX_ROWS:
        assert same.mean() > 0.97


@pytest.mark.parametrize("n", [5000, 50_000])
def test_the_sample_is_like_all_rows(n):
    x, y, _ = make(n, d=2)
    sample = sample_rows([(x, y, None)])
    np.testing.assert_allclose(sample.x.mean(axis=0), 0, atol=4 / MAX_ROWS**0.5)
    np.testing.assert_allclose(sample.x.std(axis=0), 1, atol=0.06)
    np.testing.assert_allclose(np.corrcoef(sample.x.T)[0, 1], 0, atol=0.08)
    ahead, behind = sample.x[:512], sample.x[-512:]  # the first ones are all that some look at
    np.testing.assert_allclose(ahead.mean(axis=0), behind.mean(axis=0), atol=0.2)


def test_rows_are_rounded_to_much_less_than_they_mean():
    x, y, w = make(100)
    sample = sample_rows([(x, y, w)])
    np.testing.assert_array_equal(sample.x * 2.0**20, np.round(sample.x * 2.0**20))
    np.testing.assert_allclose(np.sort(sample.x[:, 0]), np.sort(x[:, 0]), atol=2.0**-20)


def test_huge_values_keep_the_sample_finite():
    x, y, w = make(50)
    x[0], y[1] = 1e30, -1e30
    sample = sample_rows([(x, y, w)])
    assert len(sample.x) == 50
    assert all(np.isfinite(array).all() for array in sample)


def test_some_rows_are_rows():
    rows = Rows(*make(10))
    some = rows.take(slice(2, 5))
    assert isinstance(some, Rows)
    for part, whole in zip(some, rows, strict=True):
        np.testing.assert_array_equal(part, whole[2:5])


@pytest.mark.parametrize("n", [1, 4, 41])
def test_parts_are_of_equal_numbers_and_of_neighbours(n):
    x = np.random.default_rng(0).permutation(np.linspace(0, 1, n))[:, None]
    part = split_rows(Rows(x, np.zeros((n, 1)), np.ones(n)), 4)
    assert np.ptp(np.bincount(part, minlength=4)) <= 1
    np.testing.assert_array_equal(part[np.argsort(x[:, 0])], np.arange(n) % 4)


@pytest.mark.parametrize("n", [60, 600])
def test_parts_are_the_same_when_last_digits_and_the_order_change(n):
    x, y, weight = make(n)
    order = np.random.default_rng(1).permutation(n)
    part = split_rows(Rows(x, y, weight), 4)
    changed = split_rows(Rows(other("perturbed", x)[order], other("float32", y)[order], weight), 4)
    assert (changed == part[order]).mean() > 0.99
