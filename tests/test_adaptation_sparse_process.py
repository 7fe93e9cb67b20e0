import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult, approx_fprime

from skcmanp.adaptation import sparse_process
from skcmanp.adaptation.evidence import Evidence, _Problem
from skcmanp.adaptation.inducing import choose_points
from skcmanp.adaptation.noise import NOISE_COSINES, NOISE_POINTS
from skcmanp.adaptation.ranks import fit_ranks, row_cosines
from skcmanp.adaptation.rows import Rows
from skcmanp.adaptation.sparse_process import _project, _solve, fit_sparse_process
from skcmanp.adaptation.trend import PRIOR_CONSTANT
from skcmanp.kernels import matern52


def make(n, d=2, t=1, seed=0, scale=0.1):
    """Rows of a function whose noise is constant, and their weights."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, (n, d))
    return Rows(x, np.sin(2 * x[:, :1]) + scale * rng.normal(size=(n, t)), np.ones(n))


def varying(n, seed=0):
    """Rows whose noise grows twentyfold from left to right."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, (n, 1))
    return Rows(x, np.sin(2 * x) + np.exp(0.75 * x - 2) * rng.normal(size=(n, 1)), np.ones(n))


def of_units(d, ratio, effects=None, alone=1.0):
    """What the evidence says of features that are in units of their length-scales."""
    effects = np.zeros((d, 0)) if effects is None else effects
    return Evidence(np.ones(d), ratio, np.ones(d), effects, np.full(d, alone), np.ones(1))


def fit(rows, points, ratio, linear=None, **kwargs):
    linear = np.zeros((len(rows.x), 0)) if linear is None else linear
    return fit_sparse_process(rows, points, linear, of_units(rows.x.shape[1], ratio, **kwargs))


def exact_evidence(rows):
    """Of a process of unit length-scales with a constant of unknown size beside it."""
    parameters = np.r_[np.zeros(rows.x.shape[1]), np.log(0.3)]
    return _Problem(rows, np.zeros((len(rows.x), 0)), 0).evidence(parameters)[0]


def constant(n):
    return np.full((1, n), PRIOR_CONSTANT)


# ------------------------------------------------------------------ its evidence


def test_with_all_rows_as_points_the_evidence_is_the_exact_processes():
    rows = make(40, t=2)
    sparse = _solve(_project(rows.x, rows.x, constant(40)), rows.y, 0.09 / rows.weight).value
    assert sparse == pytest.approx(exact_evidence(rows), abs=1e-2)


def test_the_power_interpolates_between_the_variational_bound_and_the_conditional(monkeypatch):
    rows = make(60)
    values = []
    for power in (1e-6, 0.5, 1.0):
        monkeypatch.setattr(sparse_process, "_POWER", power)
        values.append(_solve(_project(rows.x[:12], rows.x, constant(60)), rows.y, np.full(60, 0.09)).value)
    assert values[0] < exact_evidence(rows)  # the signal is integrated out, so this is no proof, but it is so
    assert values[0] < values[1] < values[2]


def test_trend_and_effects_are_a_part_of_the_covariance():
    x, y, weight = make(40)
    scale = np.array([[0.6, 0.3, 0.1], [0.2, 0.0, 0.0]])
    effects, local = row_cosines(x, *fit_ranks(x, weight), 3) * scale, 1 - np.square(scale).sum()
    linear = np.column_stack([effects.reshape(40, -1), 2 * x]).T
    found = _solve(_project(x, x, linear, local), y, np.full(40, 0.09))
    covariance = local * matern52(x, x) + linear.T @ linear + 0.09 * np.eye(40)
    rate = 1 + 0.5 * (y * np.linalg.solve(covariance, y)).sum()
    expected = -(1 + 20) * np.log(rate) - 0.5 * np.linalg.slogdet(covariance)[1]
    assert found.value == pytest.approx(expected, abs=1e-2)
    np.testing.assert_allclose(found.inverse_diagonal, np.linalg.inv(covariance).diagonal(), rtol=1e-3)


@pytest.mark.parametrize(("t", "n_linear", "n"), [(1, 0, 40), (2, 0, 40), (1, 5, 40), (2, 3, 1100)])
def test_gradients_are_the_evidences(t, n_linear, n):
    x, y, _ = make(n, t=t)
    points, noise = x[:7] + 0.1, 0.1 * np.exp(np.random.default_rng(1).normal(size=n))
    linear, local = 0.3 * np.random.default_rng(2).normal(size=(n_linear, n)), 0.7 if n_linear else 1.0

    def project(points):
        return _project(points, x, linear, local)

    projection = project(points)
    found = _solve(projection, y, noise)
    by_points = approx_fprime(points.ravel(), lambda z: _solve(project(z.reshape(7, 2)), y, noise).value, 1e-6)
    np.testing.assert_allclose(found.by_points(projection, points, x).ravel(), by_points, rtol=1e-4, atol=1e-3)
    by_noise = approx_fprime(np.log(noise), lambda log: _solve(projection, y, np.exp(log)).value, 1e-6)
    np.testing.assert_allclose(found.by_log_noise(), by_noise, rtol=1e-4, atol=1e-4)


def test_few_rows_are_solved_alike_by_their_own_covariance():
    x, y, _ = make(400, t=2)
    projection = _project(x[:60], x, 0.3 * np.random.default_rng(0).normal(size=(5, 400)), 0.7)
    some, noise = slice(3, 53), np.linspace(0.05, 0.2, 50)
    few = projection.of(some)
    assert few.covariance is not None
    found, expected = (_solve(one, y[some], noise) for one in (few, few._replace(covariance=None)))
    assert found.value == pytest.approx(expected.value, abs=1e-9)
    np.testing.assert_allclose(found.by_log_noise(), expected.by_log_noise(), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found.freedom(), expected.freedom(), rtol=1e-8)
    assert projection.of(slice(0, 100)).covariance is None


def test_memory_that_was_used_before_does_not_show():
    x, _, _ = make(300)
    linear = np.ones((1, 300))
    before = _project(x[:30], x, linear)
    found, expected = _project(x[40:70], x, linear, 0.8, into=before), _project(x[40:70], x, linear, 0.8)
    assert found.features is before.features
    for name in ("features", "slope", "missed", "whitening"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("n_points", [6, 40])
def test_the_gradient_of_all_that_is_found_is_the_objectives(n_points, monkeypatch):
    """Of the level of the noise and its profile, and then also of where points are, unless these stay."""
    rows, kept = make(40), []

    def keep(objective, start, **kwargs):
        kept.append((objective, start))
        return OptimizeResult(x=start)

    monkeypatch.setattr(sparse_process, "minimize", keep)
    linear = 0.5 * rows.x
    fit(rows._replace(weight=np.linspace(0.5, 2, 40)), rows.x[:n_points], 5.0, linear)
    n_noise = 1 + min(n_points, NOISE_POINTS) + 2 * NOISE_COSINES
    assert [len(start) for _, start in kept] == [n_noise, n_noise + 2 * n_points][: 1 + (n_points < 40)]
    for objective, start in kept:
        at = start + 0.1 * np.random.default_rng(0).normal(size=len(start))
        numeric = approx_fprime(at, lambda p, objective=objective: objective(p)[0], 1e-6)
        np.testing.assert_allclose(objective(at)[1], numeric, rtol=1e-3, atol=2e-3)


# ------------------------------------------------------------------ inducing points


def test_points_move_to_where_they_tell_more():
    rows = make(400)
    start = choose_points(rows.x, 15)
    points, _ = fit(rows, start, 10.0)
    assert points.shape == start.shape
    value = [_solve(_project(p, rows.x), rows.y, np.full(400, 0.01)).value for p in (start, points)]
    assert value[1] > value[0] + 10


def test_points_stay_if_they_are_all_the_rows_or_are_told_to():
    rows = make(30)
    np.testing.assert_array_equal(fit(rows, rows.x, 10.0)[0], rows.x)
    start = choose_points(rows.x, 10)
    still, _ = fit_sparse_process(rows, start, np.zeros((30, 0)), of_units(2, 10.0), moves=False)
    np.testing.assert_array_equal(still, start)
    assert not np.array_equal(fit(rows, start, 10.0)[0], start)


def test_points_need_not_follow_what_the_trend_says():
    """With the line in the linear features the same points make the rows far more likely."""
    rows = make(200)
    steep = rows._replace(y=rows.y + 20 * rows.x[:, 1:])
    points = choose_points(rows.x, 10)
    noise = np.full(200, 0.01)
    with_line = _solve(_project(points, rows.x, 10 * rows.x.T), steep.y, noise).value
    assert with_line > _solve(_project(points, rows.x), steep.y, noise).value + 50


# ------------------------------------------------------------------ the noise


@pytest.mark.parametrize("n", [30, 400])
def test_constant_noise_is_taken_for_constant(n):
    rows = make(n)
    assert fit(rows, choose_points(rows.x, 40), 5.0)[1] is None


@pytest.mark.parametrize("n", [100, 1000])
def test_noise_that_varies_is_found(n):
    rows = varying(n)
    _, noise = fit(rows, choose_points(rows.x, 40), 5.0)
    log_scale, truth = noise.log_std(rows.x), 0.75 * rows.x[:, 0]
    assert np.std(log_scale - truth) < (0.3 if n == 100 else 0.15) < 0.8 < np.std(truth)
    assert np.mean(np.exp(2 * log_scale)) == pytest.approx(1, abs=0.05)
    assert len(noise.points) <= NOISE_POINTS


def test_noise_may_vary_with_a_feature_that_does_not_matter():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (400, 2)) / [1.0, 100.0]
    log_scale = 75 * x[:, 1:]
    y = np.sin(2 * x[:, :1]) + 0.2 * np.exp(log_scale) * rng.normal(size=(400, 1))
    _, noise = fit(Rows(x, y, np.ones(400)), choose_points(x, 40), 5.0)
    assert np.std(noise.log_std(x) - log_scale[:, 0]) < 0.2


def test_far_from_the_rows_noise_is_what_it_is_on_average():
    rows = varying(300)
    _, noise = fit(rows, choose_points(rows.x, 40), 5.0)
    np.testing.assert_allclose(noise.log_std(np.array([[-2e3], [2e3]])), 0, atol=1e-9)


def test_noise_varies_on_the_length_scales_of_a_process_without_effects():
    rows = varying(300)
    _, expected = fit(rows, choose_points(rows.x, 40), 5.0)
    _, stretched = fit(rows._replace(x=rows.x / 10), choose_points(rows.x, 40) / 10, 5.0, alone=0.1)
    np.testing.assert_allclose(stretched.lengthscale, 0.1)
    assert np.std(stretched.log_std(rows.x / 10) - expected.log_std(rows.x)) < 0.25


def test_a_row_of_weight_w_has_a_wth_of_the_noise_variance():
    x, y, _ = varying(300)
    weight = np.exp(-1.5 * x[:, 0])  # so that noise is constant, weights considered
    assert fit(Rows(x, y, weight / weight.mean()), choose_points(x, 40), 5.0)[1] is None


def test_the_mean_of_the_noise_is_one_over_the_rows_as_they_are_weighted():
    x, y, _ = varying(300)
    rows = Rows(x, y, np.where(x[:, 0] > 0, 3.0, 1.0))
    _, noise = fit(rows, choose_points(x, 40), 5.0)
    assert np.average(np.exp(2 * noise.log_std(x)), weights=rows.weight) == pytest.approx(1, abs=0.05)


def test_targets_share_points_and_profile():
    rows = varying(300)
    both = rows._replace(y=np.hstack([rows.y, -2 * rows.y]))
    _, noise = fit(both, choose_points(rows.x, 40), 5.0)
    assert np.std(noise.log_std(rows.x) - 0.75 * rows.x[:, 0]) < 0.3


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 2**32 - 1), st.sampled_from(["any", "equal", "zero"]))
def test_few_and_degenerate_rows(n, d, seed, targets):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(n, 1))
    y = {"any": y, "equal": np.ones((n, 1)), "zero": np.zeros((n, 1))}[targets]
    points, noise = fit(Rows(x, y, rng.uniform(0.1, 3, n)), choose_points(x, 5), 5.0)
    assert np.isfinite(points).all()
    assert noise is None or np.isfinite(noise.log_std(x)).all()
