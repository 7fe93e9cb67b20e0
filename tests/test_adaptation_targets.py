import numpy as np
import pytest
from conftest import targets_of
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import lognorm, norm

from skcmanp.adaptation.columns import Columns
from skcmanp.adaptation.targets import FEW, Targets
from skcmanp.adaptation.warp import Warp

# One that is bent to the left, one to the right, and one as it is.
WARP = Warp(np.array([2.0, -0.5, 0.0]), np.array([1.0, 30.0, 0.0]), np.array([60.0, 200.0, 1.0]))
BENT = Targets(np.array([0.5, -3.0, 7.0]), np.array([0.8, 2.5, 3.0]), *WARP)


def draws(mean, std, n=400_000):
    z = np.random.default_rng(0).normal(size=(n, 1))
    return BENT.original(mean + std * z)


def test_they_are_centred_and_scaled_as_columns():
    y = np.random.default_rng(0).normal(5, 3, (50, 2))
    found, plain = Targets.fit_moments(y, None, None, True), Columns.fit("y_bounds", y, None, few=FEW)
    np.testing.assert_array_equal(found.scaled(y), plain.scaled(y))
    assert not found.is_warped
    np.testing.assert_allclose(found.original(found.scaled(y)), y)
    np.testing.assert_allclose(found.log_slope(y), np.tile(-np.log(y.std(axis=0)), (50, 1)))
    with pytest.raises(ValueError, match="y_bounds"):
        Targets.fit_moments(y, None, (2, 1), True)


def test_targets_that_are_bent_are_centred_and_scaled_anew():
    y = np.exp(np.random.default_rng(0).normal(size=(500, 2)))
    plain = Targets.fit_moments(y, None, None, True)
    assert plain.warped_by(Warp.none(2), y, None) is plain
    found = plain.warped_by(Warp(np.array([1.0, 0]), np.array([1.0, 0]), np.array([1e3, 1])), y, None)
    np.testing.assert_allclose(found.scaled(y).std(axis=0), 1)
    np.testing.assert_allclose(found.scaled(y).mean(axis=0), 0, atol=1e-9)
    assert (found.centre[1], found.scale[1]) == (plain.centre[1], plain.scale[1])
    assert found.is_warped
    found.check_possible(0)


@given(scaled=st.lists(st.floats(-30, 30), min_size=1, max_size=9))
def test_what_is_scaled_is_undone(scaled):
    scaled = np.array(scaled)[:, None] * np.ones(3)
    np.testing.assert_allclose(BENT.scaled(BENT.original(scaled)), scaled, rtol=1e-7, atol=1e-7)
    many = np.stack([scaled, scaled + 1], axis=-1)
    np.testing.assert_array_equal(BENT.original(many)[..., 1], BENT.original(scaled + 1))


def test_densities_differ_by_the_slope():
    y = BENT.original(np.linspace(-8, 8, 4001)[:, None] * np.ones(3))
    density = np.exp(norm.logpdf(BENT.scaled(y)) + BENT.log_slope(y))
    for j in range(3):
        assert np.trapezoid(density[:, j], y[:, j]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("std", [1e-3, 0.1, 0.7])
@pytest.mark.parametrize("mean", [-1.0, 0.0, 1.0])
def test_moments_are_those_of_draws(mean, std):
    at = np.full((1, 3), mean), np.full((1, 3), std)
    found = BENT.moments(*at)
    sample = draws(*at)
    deviation = sample.std(axis=0)
    np.testing.assert_allclose(found[0][0], sample.mean(axis=0), atol=0.01 * deviation.max(), rtol=0)
    assert (np.abs(found[0][0] - sample.mean(axis=0)) < 0.01 * deviation).all()
    np.testing.assert_allclose(found[1][0], deviation, rtol=0.02)
    plain = targets_of(BENT.centre[2:], BENT.scale[2:])
    np.testing.assert_allclose([a[:, 2:] for a in found], plain.moments(at[0][:, 2:], at[1][:, 2:]), rtol=1e-9)


def test_within_the_range_they_are_those_of_a_lognormal_variable():
    warp = Warp(np.ones(1), np.zeros(1), np.array([1e5]))
    found = Targets(np.zeros(1), np.ones(1), *warp).moments(np.array([[4.0]]), np.array([[0.5]]))
    expected = lognorm.stats(0.5, scale=np.exp(4.0))
    np.testing.assert_allclose(found[0], expected[0] - 1, rtol=1e-6)
    np.testing.assert_allclose(found[1], np.sqrt(expected[1]), rtol=1e-4)


def test_predictions_far_away_are_finite():
    mean, std = (np.array([[value] * 3 for value in values]) for values in ([-1e6, 0, 1e6, 0], [1, 1e4, 1, 1e-9]))
    for values in (*BENT.moments(mean, std), BENT.quantiles(mean, std, np.array([1e-3, 0.999]))):
        assert np.isfinite(values).all()
    assert (BENT.moments(mean, std)[1] > 0).all()


@given(levels=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5))
def test_quantiles_are_those_of_the_scaled_targets(levels):
    levels = np.array(levels)
    mean, std = np.full((1, 3), 0.3), np.full((1, 3), 0.6)
    found = BENT.quantiles(mean, std, levels)
    assert found.shape == (1, 3, len(levels))
    for j, level in enumerate(levels):
        np.testing.assert_allclose(norm.cdf(BENT.scaled(found[..., j]), 0.3, 0.6), level, rtol=1e-6)


def covariance_of(n=4, seed=0, correlation=None):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(3, n, n))
    covariance = 0.1 * root @ root.transpose(0, 2, 1) + 0.02 * np.eye(n)
    return rng.normal(size=(n, 3)), np.moveaxis(covariance, 0, -1)


def test_joint_moments_have_the_moments_on_their_diagonal():
    mean, covariance = covariance_of()
    found = BENT.joint_moments(mean, covariance)
    expected = BENT.moments(mean, np.sqrt(np.diagonal(covariance).T))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(np.diagonal(found[1]).T, np.square(expected[1]), rtol=1e-12)
    np.testing.assert_allclose(found[1], found[1].transpose(1, 0, 2), rtol=1e-12)
    for j in range(3):
        assert np.linalg.eigvalsh(found[1][..., j])[0] > 0
    np.testing.assert_allclose(found[1][..., 2], covariance[..., 2] * BENT.scale[2] ** 2, rtol=1e-6)


def test_joint_moments_are_those_of_draws():
    mean, covariance = covariance_of(2)
    found = BENT.joint_moments(mean, covariance)
    rng = np.random.default_rng(1)
    for j in range(3):
        z = rng.multivariate_normal(mean[:, j], covariance[..., j], 400_000)
        scaled = np.zeros((len(z), 2, 3)) + z[..., None]
        sample = np.stack([BENT.original(scaled[:, k])[:, j] for k in range(2)])
        size = np.outer(*[sample.std(axis=1)] * 2)
        assert (np.abs(np.cov(sample) - found[1][..., j]) < 0.03 * size).all()


def test_rows_that_are_the_same_vary_together_and_others_apart():
    mean, one = np.full((2, 3), 0.2), np.full((2, 2, 3), 0.36)
    together = BENT.joint_moments(mean, one)[1]
    np.testing.assert_allclose(together[0, 1], together[0, 0], rtol=1e-2)
    apart = BENT.joint_moments(mean, one * np.eye(2)[..., None])[1]
    np.testing.assert_allclose(apart[0, 1], 0, atol=1e-12)


@pytest.mark.parametrize("values", [(1e3, 0.0), (0.5, 0.0), (4.0, -70.0)])
def test_units_do_not_matter(values):
    a, b = values
    other = Targets(BENT.centre, BENT.scale, BENT.bend / a, a * BENT.origin + b, BENT.top)
    # A warp of other units is in other units itself, but for targets that are not bent.
    bent = np.array([0, 1])
    other = Targets(np.where(BENT.bend == 0, a * BENT.centre + b, a * BENT.centre), a * BENT.scale, *other.warp)
    z = np.linspace(-4, 4, 9)[:, None] * np.ones(3)
    np.testing.assert_allclose(other.original(z), a * BENT.original(z) + b, rtol=1e-9, atol=1e-9 * a)
    mean, std = other.moments(z, np.full_like(z, 0.5))
    plain = BENT.moments(z, np.full_like(z, 0.5))
    np.testing.assert_allclose(mean[:, bent], (a * plain[0] + b)[:, bent], rtol=1e-9, atol=1e-9 * a)
    np.testing.assert_allclose(std, a * plain[1], rtol=1e-9)
    y = BENT.original(z)
    np.testing.assert_allclose(other.log_slope(a * y + b), BENT.log_slope(y) - np.log(a), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": np.zeros(3)}, "not positive"),
        ({"scale": np.ones(2)}, "not of shape"),
        ({"bend": np.zeros(2)}, "not of shape"),
        ({"top": np.zeros(3)}, "top is not positive"),
    ],
)
def test_what_rows_cannot_have_led_to_is_refused(change, message):
    BENT.check_possible(0)
    with pytest.raises(ValueError, match=message):
        Targets.from_arrays({**BENT.arrays(), **change}).check_possible(0)
