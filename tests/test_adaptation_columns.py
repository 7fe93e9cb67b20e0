import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skcmanp.adaptation import columns
from skcmanp.adaptation.columns import LARGEST, Columns, row_chunks
from skcmanp.adaptation.targets import FEW, Targets

rows = arrays(np.float64, st.tuples(st.integers(2, 30), st.just(3)), elements=st.floats(-1e3, 1e3, width=32))


def table(X, weight=None, bounds=None, standardize=True):
    return Columns.fit("x_bounds", X, weight, bounds, standardize)


def targets(y, weight=None):
    return Targets.fit_moments(y, weight, None, standardize=True)


@given(X=rows, magnitude=st.sampled_from([1e-300, 1e-30, 1.0, 1e30, 1e300]))
def test_moments_standardise_at_any_magnitude(X, magnitude):
    X = X / 1e3 * magnitude
    found = table(X)
    z = found.scaled(X)
    # Columns with less spread than float64 resolves are constant; subnormal numbers carry few digits.
    spread = np.ptp(X, axis=0) > 1e-6 * magnitude
    np.testing.assert_allclose(z.mean(axis=0)[spread], 0, atol=1e-6)
    np.testing.assert_allclose(z.std(axis=0)[spread], 1, rtol=1e-6)
    assert (found.scale > 0).all()


@given(X=rows, seed=st.integers(0, 1000))
def test_integer_weights_are_repetitions(X, seed):
    weight = np.random.default_rng(seed).integers(0, 4, len(X)).astype(float)
    weight[0] = 2
    repeated = np.repeat(X, weight.astype(int), axis=0)
    a, b = table(X, weight), table(repeated)
    size = np.abs(X).max() + 1e-300
    np.testing.assert_allclose(a.centre / size, b.centre / size, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(a.scale, b.scale, rtol=1e-6)


@given(
    X=rows,
    offset=st.sampled_from([0.0, 1e-6, 1.7e9, -4.5e6, 101_325.0]),
    few=st.sampled_from([0, FEW]),
    weighted=st.booleans(),
    chunk=st.sampled_from([4, 65_536]),
    seed=st.integers(0, 1000),
)
def test_moments_are_the_same_to_the_last_bit_in_any_order(X, offset, few, weighted, chunk, seed):
    rng = np.random.default_rng(seed)
    X, order = X + offset, rng.permutation(len(X))
    weight = rng.uniform(0.1, 3, len(X)) if weighted else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "_MOMENT_ROWS", chunk)
        a = Columns.fit("x", X, weight, few=few)
        b = Columns.fit("x", X[order], None if weight is None else weight[order], few=few)
    np.testing.assert_array_equal(a.centre, b.centre)
    np.testing.assert_array_equal(a.scale, b.scale)


@pytest.mark.parametrize("offset", [0.0, 1.7e9, -4.5e6, 1e12])
def test_offsets_cost_no_digits_of_the_scale(offset):
    X = np.random.default_rng(0).integers(-4096, 4096, (1000, 1)) * 2.0**-12  # so that offsets round nothing
    np.testing.assert_allclose(table(X + offset).scale, X.std(axis=0), rtol=1e-10)
    moved = table(X + offset).scaled(X + offset) - table(X).scaled(X)  # a centre is as exact as its own digits allow
    np.testing.assert_allclose(moved, moved[0, 0], atol=1e-9)
    assert abs(moved[0, 0]) <= np.spacing(abs(offset)) / X.std() + 1e-15


@pytest.mark.parametrize("constant", [0.0, 5.0, 2024.0, -1e30, 0.5, 1e-30])
def test_constant_columns_have_the_scale_of_their_value_but_at_most_one(constant):
    """So that a year which turns is another one."""
    X = np.full((4, 1), constant)
    found = table(X)
    assert found.centre[0] == constant
    assert found.scale[0] == min(abs(constant) or 1.0, 1.0)
    assert (found.scaled(X) == 0).all()


@given(value=st.floats(1e-3, 1e9), sign=st.sampled_from([-1, 1]), seed=st.integers(0, 99))
def test_rounding_errors_of_a_constant_are_no_scale(value, sign, seed):
    X = sign * value * (1 + 1e-15 * np.random.default_rng(seed).integers(-4, 5, (20, 1)))
    assert table(X).scale[0] == min(np.abs(X).max(), 1.0)


def test_bounds_replace_moments():
    X = np.random.default_rng(0).normal(size=(10, 2))
    found = table(X, bounds=([0, -1], [12, 1]))
    np.testing.assert_allclose(found.centre, [6, 0])
    np.testing.assert_allclose(found.scale, [12 / 12**0.5, 2 / 12**0.5])
    assert np.array_equal(table(X, standardize=False).scaled(X), X)
    assert table(X, bounds=(0, 1), standardize=False).equals(table(X, bounds=(0, 1)))


@pytest.mark.parametrize("bounds", [3, (1, 2, 3), (2, 1), (0, np.inf), ([0, 0, 0], 1), ("a", "b"), (0, None)])
def test_bad_bounds_are_named(bounds):
    with pytest.raises(ValueError, match=r"x_bounds=.* must be a pair"):
        table(np.zeros((3, 2)), bounds=bounds)


def test_unscaling_inverts_scaling():
    y = np.random.default_rng(0).normal(size=(10, 2)) * [1e5, 1e-5]
    found = targets(y)
    mean, std = found.moments(found.scaled(y), np.ones_like(y))
    np.testing.assert_allclose(mean, y)
    np.testing.assert_allclose(std[0], found.scale)


def test_scaled_values_stay_finite():
    found = table(np.array([[0.0], [1e-300]]))
    assert found.scaled(np.array([[1e308], [-1e308]])).tolist() == [[LARGEST], [-LARGEST]]


def test_moments_do_not_need_memory_for_all_rows():
    X = np.arange(400_000, dtype=np.int32).reshape(-1, 2)
    found = table(X)
    np.testing.assert_allclose(found.centre, X.mean(axis=0))
    np.testing.assert_allclose(found.scale, X.std(axis=0))


def test_row_chunks_drop_zero_weights():
    X, weight = np.arange(10).reshape(-1, 1), np.array([1, 0, 0, 0, 2, 3, 0, 0, 0, 0.0])
    chunks = list(row_chunks(X, X, weight, 3))
    assert [x.ravel().tolist() for x, _, _ in chunks] == [[0], [4, 5]]
    assert [w.tolist() for _, _, w in chunks] == [[1], [2, 3]]
    assert all(x.dtype == np.float64 for x, _, _ in chunks)


def test_equality_is_exact():
    X = np.random.default_rng(0).normal(size=(10, 2))
    assert table(X).equals(table(X))
    assert not table(X).equals(table(X + 1e-12))
    assert not table(X).equals(targets(X))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_few_targets_that_are_nearly_equal_do_not_make_the_scale_small(n):
    X, y = np.arange(2.0 * n).reshape(n, 2), 5 + 1e-6 * np.arange(n)[:, None]
    np.testing.assert_allclose(targets(y).scale, 5 / np.sqrt(n), rtol=1e-5)
    np.testing.assert_allclose(table(X).scale, X.std(axis=0))  # of features it is their own

    weight = np.r_[np.ones(n - 1), 5.0]  # worth more rows than a few
    repeated = np.repeat(y, weight.astype(int), axis=0)
    np.testing.assert_allclose(targets(y, weight).scale, repeated.std(axis=0), rtol=1e-6)


def test_rows_are_not_few_because_their_weights_are_small():
    y = np.random.default_rng(0).normal(3, 1, size=(50, 1))
    np.testing.assert_allclose(targets(y, np.full(50, 0.02)).scale, y.std(axis=0))


def test_few_targets_are_scaled_alike_in_other_units_and_repeated():
    y = np.random.default_rng(0).normal(3, 1, size=(2, 1))
    scale = targets(y).scale
    np.testing.assert_allclose(targets(1e3 * y).scale, 1e3 * scale)
    doubled = targets(np.repeat(y, 2, 0)).scale
    np.testing.assert_allclose(targets(y, np.full(2, 2.0)).scale, doubled)
