import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skcmanp.state.softmax import RunningSoftmax

SHAPE = (2, 3, 4, 5)


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
