import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skcmanp.adaptation.rows import Rows
from skcmanp.adaptation.warp import LEAST, Warp, choose_warp

BENDS = st.floats(0.01, 100).flatmap(lambda size: st.sampled_from([size, -size]))


@st.composite
def warps(draw):
    parameters = [(draw(BENDS), draw(st.floats(-1e3, 1e3)), draw(st.floats(1.5, 1e5))) for _ in range(2)]
    return Warp(*map(np.array, zip(*parameters, strict=True)))


def values_of(warp, r):
    """Where 1 + bend (y - origin) is r, (n,) -> (n, 2)."""
    return warp.origin + (np.asarray(r)[:, None] - 1) / warp.bend


RATIOS = st.lists(st.floats(-20, 20), min_size=1, max_size=20).map(lambda a: np.sinh(np.array(a)))


@given(warp=warps(), r=RATIOS)
def test_undone_it_is_as_it_was(warp, r):
    y = values_of(warp, r)
    size = np.abs(y - warp.origin) + 1 / np.abs(warp.bend) + np.abs(warp.origin)
    assert (np.abs(warp.undone(warp(y)) - y) <= 1e-9 * size).all()


@given(warp=warps(), r=RATIOS)
def test_it_is_increasing(warp, r):
    y = np.sort(values_of(warp, r), axis=0)
    far = np.diff(y, axis=0) > 1e-6 * np.abs(y).max(axis=0)
    assert (np.diff(warp(y), axis=0)[far] > 0).all()


@given(warp=warps(), r=RATIOS)
def test_the_slope_is_the_derivative(warp, r):
    r = np.where(np.abs(r - LEAST) < 1e-4, 0.5, r)
    y = values_of(warp, r)
    inside = np.clip(1 + warp.bend * (y - warp.origin), LEAST, warp.top)
    step = 1e-5 * inside / np.abs(warp.bend) + 1e-9 * np.abs(y)
    difference = (warp(y + step) - warp(y - step)) / (2 * step)
    # Rounding of large values that nearly cancel.
    error = 1e-14 * (np.abs(y) + np.abs(warp.origin) + 1 / np.abs(warp.bend)) / inside
    slope = np.exp(warp.log_slope(y))
    assert (np.abs(difference - slope) <= 1e-3 * slope + 4 * (error + 1e-13 * np.abs(warp(y))) / step).all()


def test_it_is_a_logarithm_between_lines():
    warp = Warp(np.array([2.0]), np.array([3.0]), np.array([50.0]))
    r = np.array([[LEAST], [1.0], [7.0], [50.0]])
    y = values_of(warp, r[:, 0])
    np.testing.assert_allclose(warp(y), np.log(r) / 2)
    beyond = values_of(warp, [-30.0, -20.0, -10.0, 60.0, 160.0, 260.0])
    np.testing.assert_allclose(np.diff(warp(beyond), n=2, axis=0)[[0, 3]], 0, atol=1e-9)
    assert np.isfinite(warp(np.array([[-1e300], [1e300]]))).all()


@given(y=st.lists(st.floats(-1e300, 1e300), min_size=1))
def test_none_leaves_all_as_it_is(y):
    y = np.array(y)[:, None]
    warp = Warp.none(1)
    for same in (warp(y), warp.undone(y)):
        np.testing.assert_array_equal(same, y)
    np.testing.assert_array_equal(warp.log_slope(y), 0)


# ------------------------------------------------------------------ the choice


def rows_of(f, n=400, seed=0):
    """Rows of whose first feature the target is a function, and noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    y = f(x[:, 0] + 0.3 * rng.normal(size=n))[:, None]
    return Rows(x, (y - y.mean()) / y.std(), np.ones(n)), y


def log_normal(z):
    return np.exp(1.2 * z)


@pytest.mark.parametrize("seed", [0, 1])
def test_lognormal_targets_are_bent_to_be_normal(seed):
    rows, y = rows_of(log_normal, seed=seed)
    warp = choose_warp(rows, y)
    assert warp.bend > 0
    warped = warp(y)[:, 0]
    assert abs(((warped - warped.mean()) ** 3).mean() / warped.std() ** 3) < 0.5
    assert np.corrcoef(warped, np.log(y[:, 0]))[0, 1] > 0.98


@pytest.mark.parametrize("f", [np.sin, lambda z: z, np.tanh])
def test_symmetric_targets_stay_as_they_are(f):
    assert choose_warp(*rows_of(f)).bend == 0


def test_targets_that_are_skewed_by_what_is_known_of_rows_stay_as_they_are():
    """Their noise is the same everywhere."""
    rows, _ = rows_of(np.sin)
    rng = np.random.default_rng(0)
    rare = (rng.uniform(size=(400, 1)) < 0.1).astype(float)
    y = 10 * rare + rng.normal(size=(400, 1))
    assert choose_warp(rows._replace(x=np.hstack([rare, rows.x]), y=y), y).bend == 0


def test_columns_may_be_missing_altogether():
    rows, y = rows_of(log_normal)
    absent = np.full((400, 1), np.nan)
    assert choose_warp(rows._replace(x=np.hstack([rows.x, absent])), y).bend > 0


def test_few_rows_say_nothing():
    rows, y = rows_of(log_normal, 39)
    assert choose_warp(rows, y).bend == 0
    assert choose_warp(rows, np.ones_like(y)).bend == 0


def test_targets_that_are_skewed_to_the_left_are_bent_to_the_right():
    rows, y = rows_of(log_normal)
    y = y - y.min()  # log(y) itself is tried of positive ones alone
    right, left = choose_warp(rows, y), choose_warp(rows, 100 - y)
    assert left.bend < 0
    for a, b in zip(left, (-right.bend, 100 - right.origin, right.top), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(("a", "b"), [(1e3, 0.0), (1e-6, 0.0), (7.0, -50.0), (7.0, 1e4)])
def test_units_of_targets_do_not_matter(a, b):
    rows, y = rows_of(log_normal)
    y = y - y.min()  # log(y) itself is in the given units
    one, other = choose_warp(rows, y), choose_warp(rows, a * y + b * a)
    np.testing.assert_allclose(other.top, one.top, rtol=2e-2)
    if b <= 0:
        np.testing.assert_allclose(other.bend, one.bend / a, rtol=1e-6)
        np.testing.assert_allclose(other.origin, a * one.origin + b * a, rtol=1e-6, atol=1e-9 * a)


def test_every_target_has_its_own():
    (rows, skewed), (_, plain) = rows_of(log_normal), rows_of(np.sin)
    both = choose_warp(rows._replace(y=np.hstack([rows.y, rows.y])), np.hstack([skewed, plain]))
    assert both.bend[0] > 0
    assert both.bend[1] == 0
    np.testing.assert_array_equal(choose_warp(rows, skewed).bend, both.bend[:1])


def choose(y, n_features=2, seed=0):
    x = np.random.default_rng(seed).normal(size=(len(y), n_features))
    return choose_warp(Rows(x, y[:, None], np.ones(len(y))), y[:, None])


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6 + 0.1, -2.7, 0.0])
@pytest.mark.parametrize("n", [40, 200, 333])
def test_targets_of_one_value_stay_as_they_are(value, n):
    assert choose(np.full(n, value)).bend == 0


@pytest.mark.parametrize("share", [0.5, 0.7, 0.95])
def test_targets_that_are_mostly_zero_stay_as_they_are(share):
    rng = np.random.default_rng(0)
    assert choose(np.where(rng.uniform(size=500) < share, 0.0, np.exp(rng.normal(size=500)))).bend == 0


@pytest.mark.parametrize("mean", [0.5, 1.0, 3.0])
def test_counts_are_not_bent_until_their_lowest_is_alone(mean):
    """Densities at points that many targets share grow with the bend, without end."""
    y = np.random.default_rng(0).poisson(mean, 1000).astype(float)
    assert abs(choose(y).bend[0]) < 5


@pytest.mark.parametrize("scale", [1e-160, 1e-200, 1e155, 1e290])
def test_targets_whose_squares_are_no_numbers_stay_as_they_are(scale):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 2)), scale * rng.lognormal(size=100)
    found = choose_warp(Rows(X, y[:, None] / scale, np.ones(100)), y[:, None])
    np.testing.assert_array_equal(found(y[:, None]), y[:, None])
