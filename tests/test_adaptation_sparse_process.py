import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from skcmanp import process
from skcmanp.effects import fit_ranks, row_cosines
from skcmanp.points import choose_points, matern52
from skcmanp.process import NOISE_COSINES, NOISE_POINTS, NoiseProfile, _project, _solve, constant_noise, log_noise
from skcmanp.relevance import Relevance, _evidence


def make(n, d=2, t=1, seed=0, scale=0.1):
    """Rows of a function whose noise is constant, and their weights."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, (n, d))
    return x, np.sin(2 * x[:, :1]) + scale * rng.normal(size=(n, t)), np.ones(n)


def waves_of(x):
    return row_cosines(x, *fit_ranks(x, np.ones(len(x))), 8)


def unscaled(d, ratio, effects=None, alone=1.0):
    """Relevance of features that are in units of their length-scales."""
    return Relevance(np.ones(d), ratio, np.zeros((d, 0)) if effects is None else effects, np.full(d, alone))


def fit_process(x, y, weight, points, ratio, **kwargs):
    return process.fit_process(x, y, weight, points, waves_of(x), unscaled(x.shape[1], ratio, **kwargs))


def log_scale_of(x, noise):
    return log_noise(x, waves_of(x), noise)


def varying(n, seed=0):
    """Rows whose noise grows twentyfold from left to right."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, (n, 1))
    return x, np.sin(2 * x) + np.exp(0.75 * x - 2) * rng.normal(size=(n, 1)), np.ones(n)


def test_with_all_rows_as_points_the_evidence_is_the_exact_processes():
    x, y, weight = make(40, t=2)
    exact, _ = _evidence(np.r_[np.zeros(2), np.log(0.3)], x, y, weight, np.zeros((40, 2, 0)))
    assert _solve(_project(x, x), y, 0.09 / weight).value == pytest.approx(exact, abs=1e-2)


def test_the_power_interpolates_between_the_variational_bound_and_the_conditional(monkeypatch):
    x, y, _ = make(60)
    exact, _ = _evidence(np.r_[np.zeros(2), np.log(0.3)], x, y, np.ones(60), np.zeros((60, 2, 0)))
    values = []
    for power in (1e-6, 0.5, 1.0):
        monkeypatch.setattr(process, "_POWER", power)
        values.append(_solve(_project(x[:12], x), y, np.full(60, 0.09)).value)
    assert values[0] < exact  # the signal is integrated out, so this is no proof, but it is so
    assert values[0] < values[1] < values[2]


def test_effects_carry_a_part_of_the_variance():
    x, y, _ = make(40)
    scale = np.array([[0.6, 0.3, 0.1], [0.2, 0.0, 0.0]])
    effects, local = (waves_of(x)[..., :3] * scale).reshape(40, -1).T, 1 - np.square(scale).sum()
    found = _solve(_project(x, x, effects, local), y, np.full(40, 0.09))
    covariance = local * matern52(x, x) + effects.T @ effects + 0.09 * np.eye(40)
    rate = 1 + 0.5 * (y * np.linalg.solve(covariance, y)).sum()
    expected = -(1 + 20) * np.log(rate) - 0.5 * np.linalg.slogdet(covariance)[1]
    assert found.value == pytest.approx(expected, abs=1e-2)
    np.testing.assert_allclose(found.inverse_diagonal, np.linalg.inv(covariance).diagonal(), rtol=1e-3)


@pytest.mark.parametrize(("t", "n_effects"), [(1, 0), (2, 0), (1, 5)])
def test_gradients_are_the_evidences(t, n_effects):
    x, y, _ = make(40, t=t)
    points, noise = x[:7] + 0.1, 0.1 * np.exp(np.random.default_rng(1).normal(size=40))
    effects, local = 0.3 * np.random.default_rng(2).normal(size=(n_effects, 40)), 0.7 if n_effects else 1.0

    def _project(points, x):
        return process._project(points, x, effects, local)

    projection = _project(points, x)
    fit = _solve(projection, y, noise)
    by_points = approx_fprime(points.ravel(), lambda z: _solve(_project(z.reshape(7, 2), x), y, noise).value, 1e-6)
    np.testing.assert_allclose(fit.by_points(projection, points, x).ravel(), by_points, rtol=1e-4, atol=1e-3)
    by_noise = approx_fprime(np.log(noise), lambda log: _solve(projection, y, np.exp(log)).value, 1e-6)
    np.testing.assert_allclose(fit.by_log_noise(), by_noise, rtol=1e-4, atol=1e-4)


def test_points_move_to_where_they_tell_more():
    x, y, weight = make(400)
    start = choose_points(x, 15)
    found = fit_process(x, y, weight, start, 10.0)
    assert found.points.shape == start.shape
    value = [_solve(_project(p, x), y, np.full(400, 0.01)).value for p in (start, found.points)]
    assert value[1] > value[0] + 10


def test_points_stay_if_they_are_all_the_rows():
    x, y, weight = make(30)
    np.testing.assert_array_equal(fit_process(x, y, weight, x, 10.0).points, x)


@pytest.mark.parametrize("n", [30, 400])
def test_constant_noise_is_taken_for_constant(n):
    x, y, weight = make(n)
    found = fit_process(x, y, weight, choose_points(x, 40), 5.0)
    assert len(found.noise.points) == len(found.noise.weights) == 0
    np.testing.assert_array_equal(log_scale_of(x, found.noise), 0)


@pytest.mark.parametrize("n", [100, 1000])
def test_noise_that_varies_is_found(n):
    x, y, weight = varying(n)
    found = fit_process(x, y, weight, choose_points(x, 40), 5.0)
    log_scale = log_scale_of(x, found.noise)
    truth = 0.75 * x[:, 0]
    assert np.std(log_scale - truth) < (0.3 if n == 100 else 0.15) < 0.8 < np.std(truth)
    assert np.mean(np.exp(2 * log_scale)) == pytest.approx(1, abs=0.05)
    assert len(found.noise.points) <= NOISE_POINTS


def test_noise_may_vary_with_a_feature_that_does_not_matter():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (400, 2)) / [1.0, 100.0]
    log_scale = 75 * x[:, 1:]
    y = np.sin(2 * x[:, :1]) + 0.2 * np.exp(log_scale) * rng.normal(size=(400, 1))
    noise = fit_process(x, y, np.ones(400), choose_points(x, 40), 5.0).noise
    assert np.std(log_scale_of(x, noise) - log_scale[:, 0]) < 0.2


def test_far_from_the_rows_noise_is_what_it_is_on_average():
    x, y, weight = varying(300)
    noise = fit_process(x, y, weight, choose_points(x, 40), 5.0).noise
    far = np.array([[-2e3], [2e3]])
    waves = row_cosines(far, *fit_ranks(x, np.ones(300)), NOISE_COSINES)
    np.testing.assert_allclose(log_noise(far, waves, noise), 0, atol=1e-9)


def test_noise_varies_on_the_length_scales_of_a_process_without_effects():
    x, y, weight = varying(300)
    expected = fit_process(x, y, weight, choose_points(x, 40), 5.0).noise
    stretched = process.fit_process(
        x / 10, y, weight, choose_points(x, 40) / 10, waves_of(x), unscaled(1, 5.0, alone=0.1)
    ).noise
    np.testing.assert_allclose(stretched.lengthscale, 0.1)
    assert np.std(log_scale_of(x / 10, stretched) - log_scale_of(x, expected)) < 0.25


def test_a_row_of_weight_w_has_a_wth_of_the_noise_variance():
    x, y, _ = varying(300)
    weight = np.exp(-1.5 * x[:, 0])  # so that noise is constant, weights considered
    found = fit_process(x, y, weight / weight.mean(), choose_points(x, 40), 5.0)
    assert not len(found.noise.points)


def test_targets_share_points_and_profile():
    x, y, weight = varying(300)
    found = fit_process(x, np.hstack([y, -2 * y]), weight, choose_points(x, 40), 5.0)
    assert np.std(log_scale_of(x, found.noise) - 0.75 * x[:, 0]) < 0.3


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 2**32 - 1), st.sampled_from(["any", "equal", "zero"]))
def test_few_and_degenerate_rows(n, d, seed, targets):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(n, 1))
    y = {"any": y, "equal": np.ones((n, 1)), "zero": np.zeros((n, 1))}[targets]
    found = fit_process(x, y, rng.uniform(0.1, 3, n), choose_points(x, 5), 5.0)
    assert np.isfinite(found.points).all()
    assert np.isfinite(log_scale_of(x, found.noise)).all()


def test_a_profile_is_a_combination_of_kernels_and_cosines():
    coefficients = np.array([[0.3, -0.2, 0.1, 0.0]])
    noise = NoiseProfile(np.array([[0.0], [4.0]]), np.array([2.0]), np.array([0.5, -1.0]), coefficients)
    x, waves = np.array([[1.0], [2.0]]), np.random.default_rng(0).normal(size=(2, 1, 8))
    local = matern52(x / 2, np.array([[0.0], [2.0]])) @ [0.5, -1.0]
    np.testing.assert_allclose(log_noise(x, waves, noise), local + waves[:, 0, :4] @ coefficients[0])
    np.testing.assert_array_equal(log_noise(x, waves, constant_noise(1)), 0)
