import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skcmanp.summary import RunningSoftmax, RunningSums, Summary

SHAPE = (2, 3, 4, 5)
SUMS_SHAPE = (2, 7, 1)


def rows(seed, n_rows, spread):
    """Logits, values and weights of rows, as attention would see them."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n_rows, *SHAPE[:-1])) * spread
    return z, rng.normal(size=(n_rows, *SHAPE)), rng.uniform(0.1, 3, n_rows)


def statistics(z, v, w):
    """Statistics of rows, from the definition."""
    if not len(z):
        return RunningSoftmax.empty(SHAPE)
    m = z.max(axis=0)
    p = np.exp(z - m) * w[:, None, None, None]
    s = p.sum(axis=0)
    return RunningSoftmax(m, s, (p[..., None] * v).sum(axis=0), s)


def sums(seed, n_rows):
    """Sums of rows, from the definition."""
    rng = np.random.default_rng(seed)
    psi, y, w = rng.normal(size=(n_rows, 7)), rng.normal(size=(2, n_rows, 1)), rng.uniform(0.1, 3, n_rows)
    weighted = (psi * w[:, None]).T
    return RunningSums.pack(weighted @ psi, weighted @ y, (w[:, None] * y**2).sum(1), weighted @ y**2)


def summary(seed, n_rows, weight=None):
    return Summary(
        statistics(*rows(seed, n_rows, 1.0)), sums(seed, n_rows), float(n_rows if weight is None else weight), n_rows
    )


def assert_close(a, b, rtol):
    mass_a, mass_b = (np.log(np.where(x.s > 0, x.s, 1)) + np.where(x.s > 0, x.m, 0) for x in (a, b))
    np.testing.assert_allclose(mass_a, mass_b, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(a.output(), b.output(), rtol=rtol, atol=rtol)


sizes = st.lists(st.integers(0, 6), min_size=1, max_size=5)
spreads = st.sampled_from([0.0, 1.0, 10.0, 300.0])


@given(sizes=sizes, spread=spreads, seed=st.integers(0, 1000))
def test_chunks_in_any_order_are_one_reading(sizes, spread, seed):
    z, v, w = rows(seed, sum(sizes), spread)
    edges = np.cumsum([0, *sizes])
    order = np.random.default_rng(seed).permutation(len(sizes))
    total = RunningSoftmax.empty(SHAPE)
    for i in order:
        part = slice(edges[i], edges[i + 1])
        total = total.combine(statistics(z[part], v[part], w[part]))
    assert_close(total, statistics(z, v, w), 1e-12)
    assert np.isfinite(total.output()).all()


@given(seed=st.integers(0, 1000), spread=spreads, sizes=st.tuples(*[st.integers(0, 5)] * 3))
def test_combine_is_a_commutative_monoid(seed, spread, sizes):
    a, b, c = (statistics(*rows(seed + i, n, spread)) for i, n in enumerate(sizes))
    assert_close(a.combine(b), b.combine(a), 0)
    assert_close(a.combine(b).combine(c), a.combine(b.combine(c)), 1e-12)
    assert_close(a.combine(RunningSoftmax.empty(SHAPE)), a, 0)


@given(seed=st.integers(0, 1000), gamma=st.floats(1e-6, 1.0))
def test_decay_is_a_weight(seed, gamma):
    z, v, w = rows(seed, 5, 3.0)
    z2, v2, w2 = rows(seed + 1, 3, 3.0)
    decayed = statistics(z, v, w).decay(gamma).combine(statistics(z2, v2, w2))
    assert_close(decayed, statistics(z, v, gamma * w).combine(statistics(z2, v2, w2)), 1e-12)


def test_endless_decay_does_not_underflow():
    softmax = statistics(*rows(0, 5, 1.0))
    decayed = softmax
    for _ in range(10_000):
        decayed = decayed.decay(0.5)
    np.testing.assert_allclose(decayed.output(), softmax.output())
    assert_close(decayed.combine(softmax), softmax, 1e-12)


@given(seed=st.integers(0, 1000), kept=st.integers(1, 10), forgotten=st.integers(1, 10))
def test_subtract_inverts_combine(seed, kept, forgotten):
    a, b = statistics(*rows(seed, kept, 2.0)), statistics(*rows(seed + 1, forgotten, 2.0))
    assert_close(a.combine(b).subtract(b), a, 1e-6)


def test_subtract_refuses_what_rounding_has_swallowed():
    z, v, w = rows(0, 5, 1.0)
    small = statistics(z - 30, v, w)
    large = statistics(z, v, w)
    with pytest.raises(ValueError, match="Too little would be left"):
        small.combine(large).subtract(large)
    with pytest.raises(ValueError, match="never read"):
        small.subtract(large)


def test_coarser_networks_must_leave_more():
    z, v, w = rows(0, 5, 1.0)
    small, large = statistics(z - 12, v, w), statistics(z, v, w)
    both = small.combine(large)
    assert_close(both.subtract(large), small, 1e-8)
    with pytest.raises(ValueError, match="Too little"):
        both.subtract(large, eps=1.2e-7)
    assert large.matches(statistics(z, v, w * (1 + 1e-6)), eps=1.2e-7)
    assert not large.matches(statistics(z, v, w * (1 + 1e-6)))


def test_accuracy_is_tracked_over_many_forgets():
    """Each step keeps half; the guard must count from the largest context, not the last."""
    z, v, w = rows(0, 1, 0.0)
    total = statistics(z, v, w * 2.0**40)
    for i in range(39, 15, -1):
        total = total.subtract(statistics(z, v, w * 2.0**i))
    half = statistics(z, v, w * 2.0**10)
    for _ in range(20):
        total = total.subtract(half)
    with pytest.raises(ValueError, match="Too little"):
        total.subtract(statistics(z, v, w * (2.0**16 - 21 * 2.0**10)))


def test_sums_add_up_and_are_undone():
    a, b = sums(0, 20), sums(1, 30)
    both = a.combine(b)
    np.testing.assert_allclose(both.matrix(), a.matrix() + b.matrix())
    np.testing.assert_allclose(both.subtract(b).matrix(), a.matrix(), atol=1e-12)
    np.testing.assert_allclose(both.subtract(b).b, a.b, atol=1e-12)
    np.testing.assert_allclose(both.subtract(b).d, a.d, atol=1e-12)
    np.testing.assert_allclose(a.decay(0.25).matrix(), a.matrix() / 4)
    np.testing.assert_allclose(a.decay(0.25).c, a.c / 4)
    assert (a.combine(RunningSums.empty(SUMS_SHAPE)).a == a.a).all()


def test_packed_matrices_are_symmetric_and_half_as_large():
    psi = np.random.default_rng(0).normal(size=(9, 7))
    packed = RunningSums.pack(psi.T @ psi, np.zeros(SUMS_SHAPE), np.zeros((2, 1)), np.zeros(SUMS_SHAPE))
    assert packed.a.shape == (28,)
    np.testing.assert_allclose(packed.matrix(), psi.T @ psi, rtol=1e-15)


def test_summaries_count_rows_and_weight():
    a, b = summary(0, 5, 7.5), summary(1, 3, 2.5)
    total = a.combine(b)
    assert (total.weight, total.n_rows) == (10.0, 8)
    assert (total.decay(0.5).weight, total.decay(0.5).n_rows) == (5.0, 8)
    left = total.subtract(b)
    assert (left.weight, left.n_rows) == (7.5, 5)
    np.testing.assert_allclose(left.sums.a, a.sums.a)
    np.testing.assert_allclose(total.decay(0.5).sums.b, total.sums.b / 2)


def test_decay_by_zero_and_forgetting_everything_empty_the_summary():
    full = summary(0, 5)
    for empty in (full.decay(0.0), full.subtract(full)):
        assert (empty.weight, empty.n_rows) == (0.0, 0)
        assert (empty.softmax.output() == 0).all()
        assert not empty.sums.a.any()
        assert not empty.sums.c.any()


def test_forgetting_what_was_not_read_is_an_error():
    full = summary(0, 5)
    with pytest.raises(ValueError, match="Cannot forget 6 rows"):
        full.subtract(summary(1, 6))
    with pytest.raises(ValueError, match=r"of weight 5\.5: only 5 rows"):
        full.subtract(summary(0, 5, 5.5))
    with pytest.raises(ValueError, match="they are not the 5 that are remembered"):
        full.subtract(summary(1, 5))


def test_arrays_hold_everything():
    full = summary(0, 5, 7.5)
    again = Summary.from_arrays(full.arrays())
    assert (again.weight, again.n_rows) == (7.5, 5)
    for name, array in full.arrays().items():
        assert np.array_equal(again.arrays()[name], array)
