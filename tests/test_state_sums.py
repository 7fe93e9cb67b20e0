from dataclasses import replace

import numpy as np
import pytest

from skcmanp.state.sums import RunningSums

SUMS_SHAPE = (2, 7, 1)


def sums(seed, n_rows):
    """Sums of rows, from the definition."""
    rng = np.random.default_rng(seed)
    psi, y, w = rng.normal(size=(n_rows, 7)), rng.normal(size=(2, n_rows, 1)), rng.uniform(0.1, 3, n_rows)
    weighted = (psi * w[:, None]).T
    return RunningSums.pack(weighted @ psi, weighted @ y, (w[:, None] * y**2).sum(1), weighted @ y**2)


def test_sums_add_up_and_are_undone():
    a, b = sums(0, 20), sums(1, 30)
    both = a.combine(b)
    np.testing.assert_allclose(both.matrix(), a.matrix() + b.matrix())
    np.testing.assert_allclose(both.subtract(b, 20.0, 1e-8).matrix(), a.matrix(), atol=1e-12)
    np.testing.assert_allclose(both.subtract(b, 20.0, 1e-8).b, a.b, atol=1e-12)
    np.testing.assert_allclose(both.subtract(b, 20.0, 1e-8).d, a.d, atol=1e-12)
    np.testing.assert_allclose(a.decay(0.25).matrix(), a.matrix() / 4)
    np.testing.assert_allclose(a.decay(0.25).c, a.c / 4)
    assert (a.combine(RunningSums.empty(SUMS_SHAPE)).a == a.a).all()


def test_packed_matrices_are_symmetric_and_half_as_large():
    psi = np.random.default_rng(0).normal(size=(9, 7))
    packed = RunningSums.pack(psi.T @ psi, np.zeros(SUMS_SHAPE), np.zeros((2, 1)), np.zeros(SUMS_SHAPE))
    assert packed.a.shape == (28,)
    np.testing.assert_allclose(packed.matrix(), psi.T @ psi, rtol=1e-15)


@pytest.mark.parametrize(("n_rows", "n_targets", "dim_y"), [(1, 1, 1), (1, 3, 1), (5, 2, 2), (0, 1, 1)])
@pytest.mark.parametrize("n_features", [1, 7])
def test_sums_of_few_rows_are_those_of_their_products(n_rows, n_targets, dim_y, n_features):
    rng = np.random.default_rng(0)
    psi, y = rng.normal(size=(n_rows, n_features)), rng.normal(size=(n_targets, n_rows, dim_y))
    root = rng.uniform(0.5, 2, (n_rows, 1))
    beside = np.hstack([*(root * y), *(root * y**2)])  # targets side by side, and their squares
    found = RunningSums.of_rows(root * psi, beside, dim_y)
    weighted = (psi * root**2).T
    expected = RunningSums.pack(weighted @ psi, weighted @ y, (root**2 * y**2).sum(1), weighted @ y**2)
    for name, value in vars(expected).items():
        assert getattr(found, name).shape == value.shape
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("change", [{"b": 1e150}, {"a": -1.0}, {"c": -1.0}, {"d": np.nan}])
def test_sums_that_no_rows_have_are_refused(change):
    good = sums(0, 20)
    good.check_possible()
    good.subtract(good, 20.0, 1e-8).check_possible()
    ((name, factor),) = change.items()
    with pytest.raises(ValueError, match=r"memory's sums"):
        replace(good, **{name: factor * getattr(good, name)}).check_possible()


def test_what_no_rows_could_leave_is_not_subtracted():
    with pytest.raises(ValueError, match="forgotten twice, or never read"):
        sums(0, 20).subtract(sums(1, 20).decay(0.9).combine(sums(2, 20)), 20.0, 1e-8)


@pytest.mark.parametrize("size", [1e3, 1e9])
@pytest.mark.parametrize("where", ["features", "targets"])
def test_sums_of_which_too_few_digits_would_be_left_are_refused(size, where):
    psi, y = np.ones((1, 7)), np.ones((1, 4))
    if where == "features":
        psi[0, 3] = size
    else:
        y[0, :2], y[0, 2:] = size, size**2
    far, good = RunningSums.of_rows(psi, y, 1), sums(0, 20)
    if size < 1e6:
        np.testing.assert_allclose(good.combine(far).subtract(far, 20.0, 1e-8).a, good.a, rtol=1e-6, atol=1e-9)
    else:
        with pytest.raises(ValueError, match="Fit the remaining rows anew"):
            good.combine(far).subtract(far, 20.0, 1e-8)
