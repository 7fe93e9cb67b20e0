import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult, approx_fprime
from scipy.special import gammaln
from scipy.stats import multivariate_t
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from sklearn.linear_model import BayesianRidge

from skcmanp.adaptation import evidence
from skcmanp.adaptation.evidence import (
    EVIDENCE_ROWS,
    GRID,
    MIN_GAIN,
    _Problem,
    default_lengthscale,
    maximise_evidence,
)
from skcmanp.adaptation.main_effects import MainEffects
from skcmanp.adaptation.ranks import fit_ranks, row_cosines
from skcmanp.adaptation.rows import Rows, sample_rows
from skcmanp.adaptation.trend import PRIOR_CONSTANT, PRIOR_SLOPE


def make(n, d=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return Rows(x, np.sin(2 * x[:, :1]) + 0.1 * rng.normal(size=(n, 2)), rng.integers(1, 4, n).astype(float))


def found_by(x, y, weight=None, n_cosines=0):
    weight = np.ones(len(x)) if weight is None else weight
    return maximise_evidence(Rows(x, y, weight), MainEffects.fit(x, weight, n_cosines))


def waves_of(x, n=4):
    return row_cosines(x, *fit_ranks(x, np.ones(len(x))), n)


def problem(rows, n_cosines=0):
    return _Problem(rows, waves_of(rows.x)[..., :n_cosines].reshape(len(rows.x), -1), n_cosines)


PARAMETERS = np.array([0.1, 0.5, 1.0, -1.5])
EFFECTS = np.array([-1.0, -0.3, -2.0, -0.6])


# ------------------------------------------------------------------ the evidence


def test_evidence_is_the_processes():
    """One with a constant of unknown size beside it."""
    x, y, _ = make(30)
    noise = np.exp(2 * PARAMETERS[-1])
    kernel = Matern(np.exp(PARAMETERS[:3]), nu=2.5) + ConstantKernel(PRIOR_CONSTANT**2)
    process = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None).fit(x, y)
    value, _ = problem(Rows(x, y, np.ones(30))).evidence(PARAMETERS)
    scale = process.L_ @ process.L_.T
    density = sum(multivariate_t(shape=scale, df=2).logpdf(column) for column in y.T[:1])
    one, _ = problem(Rows(x, y[:, :1], np.ones(30))).evidence(PARAMETERS)
    constant = gammaln(16) - gammaln(1) - 15 * np.log(2 * np.pi)
    assert one + constant == pytest.approx(density, rel=1e-9)
    assert value < one


@pytest.mark.parametrize("effects", [False, True])
def test_gradient_is_the_evidences(effects):
    parameters, task = np.r_[PARAMETERS, EFFECTS] if effects else PARAMETERS, problem(make(30), 4 if effects else 0)
    numeric = approx_fprime(parameters, lambda p: task.evidence(p)[0], 1e-6)
    np.testing.assert_allclose(task.evidence(parameters)[1], numeric, rtol=1e-4, atol=1e-3)
    numeric = approx_fprime(parameters, lambda p: task.objective(p)[0], 1e-6)
    np.testing.assert_allclose(task.objective(parameters)[1], numeric, rtol=1e-4, atol=1e-3)


def test_effects_are_a_part_of_the_covariance():
    rows = make(30)
    x, y, w = rows
    waves, scale = waves_of(x), np.exp(EFFECTS[:3])
    fall = (1 + (np.exp(EFFECTS[3]) * np.arange(1, 5)) ** 2) ** -3.0
    features = (waves * scale[:, None] * np.sqrt(fall / fall.sum())).reshape(30, -1)
    alone = Matern(np.exp(PARAMETERS[:3]), nu=2.5)(x) + PRIOR_CONSTANT**2 + np.diag(np.exp(2 * PARAMETERS[3]) / w)
    both = alone + features @ features.T
    for parameters, covariance, shown in ((np.r_[PARAMETERS, EFFECTS], both, 4), (PARAMETERS, alone, 0)):
        rate = 1 + 0.5 * (y * np.linalg.solve(covariance, y)).sum()
        expected = -(1 + 0.5 * y.size) * np.log(rate) - np.linalg.slogdet(covariance)[1]
        assert problem(rows, shown).evidence(parameters)[0] == pytest.approx(expected, rel=1e-9)


def trend_objective(task, monkeypatch):
    """What the trend's slopes minimise."""
    kept = []

    def keep(objective, start, bounds):
        kept.append(objective)
        return OptimizeResult(x=start, fun=objective(start)[0])

    with monkeypatch.context() as patch:
        patch.setattr(evidence, "_minimise", keep)
        task.trend(PARAMETERS)
    return kept[0]


def test_gradient_in_the_slopes_is_the_evidences(monkeypatch):
    objective = trend_objective(problem(make(30)), monkeypatch)
    for slopes in (np.array([-1.0, 0.3, 2.0]), np.full(3, -3.0)):
        numeric = approx_fprime(slopes, lambda p: objective(p)[0], 1e-6)
        np.testing.assert_allclose(objective(slopes)[1], numeric, rtol=1e-4, atol=1e-4)


def test_the_trend_is_a_part_of_the_covariance(monkeypatch):
    rows = make(30)
    x, y, w = rows
    objective = trend_objective(problem(rows), monkeypatch)
    log_slope = np.array([-1.0, 0.3, 2.0])
    covariance = Matern(np.exp(PARAMETERS[:3]), nu=2.5)(x) + PRIOR_CONSTANT**2
    covariance += np.diag(np.exp(2 * PARAMETERS[3]) / w)

    def density(covariance):
        rate = 1 + 0.5 * (y * np.linalg.solve(covariance, y)).sum()
        return -(1 + 0.5 * y.size) * np.log(rate) - np.linalg.slogdet(covariance)[1]

    def penalty(log_slope):
        return 0.5 * np.square(log_slope - np.log(PRIOR_SLOPE)).sum()

    with_trend = density(covariance + (x * np.exp(2 * log_slope)) @ x.T)
    without = density(covariance)
    none = np.full(3, -20.0)
    gained = (penalty(log_slope) - objective(log_slope)[0]) - (penalty(none) - objective(none)[0])
    assert gained == pytest.approx(with_trend - without, rel=1e-6)


# ------------------------------------------------------------------ what is found


def test_lines_are_found_where_there_are_any():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.7, 1.7, (300, 3))
    y = 3 * x[:, :1] + np.sin(3 * x[:, 1:2]) + 0.2 * rng.normal(size=(300, 1))
    found = found_by(x, y)
    assert found.slope[0] > 2 * found.slope[2]
    assert found.slope[0] * found.signal[0] > 1  # in units of y: a line of 3 is no surprise


@pytest.mark.parametrize("n", [12, 50, 400])
@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_a_trend_is_expected_where_a_linear_regression_has_one(n, noise):
    """Long length-scales do as well among the rows, and would let go of the line beyond them."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (n, 2))
    y = 2 * x[:, :1] + noise * rng.normal(size=(n, 1))
    found = found_by(x, y)
    expected = np.abs(BayesianRidge().fit(x, y[:, 0]).coef_)
    assert found.slope[0] * found.signal[0] > 0.97 * expected[0]
    assert found.slope[0] > 2 * found.slope[1]


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_the_signals_scale_is_in_the_targets_units(size):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 1))
    kernel = size**2 * Matern(0.5, nu=2.5)(x)
    draws = np.linalg.cholesky(kernel + 1e-8 * size**2 * np.eye(400)) @ rng.normal(size=(400, 1))
    y = draws + 0.1 * size * rng.normal(size=(400, 1))
    found = found_by(x, np.hstack([y, 3 * y]))
    assert 0.4 * size < found.signal[0] < 2.5 * size
    assert found.signal[1] / found.signal[0] == pytest.approx(3, rel=0.1)


def test_effects_are_found_where_a_function_is_a_sum():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6))
    y = np.sin(2 * x[:, :1]) + np.abs(x[:, 1:2]) + 0.5 * np.cos(3 * x[:, 2:3]) + 0.1 * rng.normal(size=(200, 1))
    plain, found = found_by(x, y), found_by(x, y, n_cosines=8)
    carried = np.square(found.effects).sum(1)
    assert carried[1:3].min() > 0.03
    assert carried[3:].max() < 0.01
    assert carried.sum() < 1
    np.testing.assert_array_equal(found.alone, plain.lengthscale)
    assert found.ratio > plain.ratio  # what was noise to a process of all features


@pytest.mark.parametrize("seed", range(5))
def test_effects_are_not_made_up_where_there_are_none(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(150, 4))
    kernel = Matern(1.0, nu=2.5)(x / [1.0, 1.5, 2.0, 50.0]) + 0.1 * np.eye(150)
    y = np.linalg.cholesky(kernel) @ rng.normal(size=(150, 1))
    assert not found_by(x, y, n_cosines=4).effects.any()
    assert not found_by(x, rng.normal(size=(150, 1)), n_cosines=4).effects.any()


def test_effects_must_not_be_tiny(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3))
    y = np.sin(2 * x[:, :1]) + np.abs(x[:, 1:2]) + 0.1 * rng.normal(size=(150, 1))
    plain, found = found_by(x, y), found_by(x, y, n_cosines=8)
    monkeypatch.setattr(evidence, "_LEAST_SHARE", np.square(found.effects).sum() + 0.01)
    refused = found_by(x, y, n_cosines=8)
    assert found.effects.any()
    assert not refused.effects.any()
    np.testing.assert_array_equal(refused.lengthscale, plain.lengthscale)


def test_effects_need_a_clear_gain(monkeypatch):
    rows = make(100)
    effects = MainEffects.fit(rows.x, rows.weight, 4)
    waves, start = effects.of_rows(rows.x), np.r_[np.full(3, np.log(default_lengthscale(3))), np.log(0.2)]
    without, with_effects = _Problem(rows, waves[:, :0], 0), _Problem(rows, waves, 4)
    alone = without.maximise(start)
    together = with_effects.maximise(np.r_[alone, np.log([0.1, 0.1, 0.1, 0.5])])
    gain = without.objective(alone)[0] - with_effects.objective(together)[0]
    assert gain < MIN_GAIN
    assert not maximise_evidence(rows, effects).effects.any()
    monkeypatch.setattr(evidence, "MIN_GAIN", gain - 0.1)
    monkeypatch.setattr(evidence, "_LEAST_SHARE", 0.0)
    monkeypatch.setattr(evidence, "_NEGLIGIBLE", 0.0)
    found = maximise_evidence(rows, effects)
    assert found.effects.shape == (3, 4)
    assert found.effects.all()


def test_effects_that_are_less_than_the_noise_take_no_place():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6))
    y = np.sin(2 * x[:, :1]) + np.abs(x[:, 1:2]) + 0.5 * np.cos(3 * x[:, 2:3]) + 0.1 * rng.normal(size=(200, 1))
    effects = found_by(x, y, n_cosines=8).effects
    assert 0 < np.count_nonzero(effects) < effects.size
    assert np.square(effects[effects > 0]).min() >= 0.004 / found_by(x, y, n_cosines=8).ratio ** 2


def test_weights_are_repetitions():
    x, y, w = make(30)
    again = np.repeat(np.arange(30), w.astype(int))
    weighted = sample_rows([(x, y, w)])
    repeated = sample_rows([(x[again], y[again], np.ones(len(again)))])
    for one, other in zip(found_by(*weighted), found_by(*repeated), strict=True):
        np.testing.assert_array_equal(one, other)


def test_copies_of_rows_do_not_say_that_there_is_no_noise():
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(100, 1)), rng.normal(size=(100, 1)), np.ones(100)
    w[:50] = 2
    assert found_by(x, y, w).ratio < 2


def test_signal_to_noise_is_found():
    x, y, _ = make(300, d=1)
    assert 4 < found_by(x, y[:, :1]).ratio < 30


def test_relevant_features_are_found_and_idle_ones_fade():
    x, y, _ = make(200, d=6)
    lengthscale = found_by(x, y).lengthscale
    assert lengthscale[0] < 1.5
    assert (lengthscale[1:] > 5).all()


@settings(max_examples=15)
@given(
    n=st.integers(1, 40),
    d=st.sampled_from([1, 4, 100]),
    kind=st.sampled_from(["constant", "equal", "discrete", "huge"]),
)
def test_awkward_columns_have_an_answer(n, d, kind):
    x, y, w = make(n, d)
    if kind == "constant":
        x[:, 0], y[:] = 0.0, 0.0
    elif kind == "equal":
        x[:] = x[:, :1]
    elif kind == "discrete":
        x, y = np.sign(x), np.sign(y)
    else:
        x[0], y[0] = 1e30, -1e30
    rows = sample_rows([(x, y, w)])
    found = found_by(*rows, n_cosines=2)
    assert 0 < found.ratio < np.inf
    assert np.isfinite(found.effects).all()
    for positive, shape in ((found.lengthscale, d), (found.alone, d), (found.slope, d), (found.signal, 2)):
        assert positive.shape == (shape,)
        assert np.isfinite(positive).all()
        assert (positive > 0).all()


def test_one_row_says_nothing():
    x, y, _ = make(1)
    found = found_by(x, y)
    np.testing.assert_allclose(found.lengthscale, default_lengthscale(3), rtol=0.1)
    np.testing.assert_allclose(found.slope, PRIOR_SLOPE, rtol=0.5)


def test_fitted_values_are_coarse():
    x, y, _ = make(50)
    found = found_by(x, y)
    for values in (found.lengthscale, found.slope):
        steps = np.log(values) / GRID
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)


def test_only_the_first_rows_are_looked_at():
    rows = make(EVIDENCE_ROWS + 40, d=1)
    effects = MainEffects.fit(rows.x, rows.weight, 0)
    all_rows, some = maximise_evidence(rows, effects), maximise_evidence(rows.take(slice(EVIDENCE_ROWS)), effects)
    for one, other in zip(all_rows, some, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_few_rows_tell_is_only_a_start():
    rows = make(EVIDENCE_ROWS)
    problem = _Problem(rows, np.zeros((EVIDENCE_ROWS, 0)), 0)
    best = problem.maximise(np.r_[np.full(3, np.log(default_lengthscale(3))), np.log(0.2)])
    few = problem.of_rows(EVIDENCE_ROWS // 2)
    np.testing.assert_array_equal(few.y, rows.y[: EVIDENCE_ROWS // 2])
    assert few.of_rows(EVIDENCE_ROWS) is few
    found = maximise_evidence(rows, MainEffects.fit(rows.x, rows.weight, 0))
    np.testing.assert_allclose(np.log(found.lengthscale[0]), best[0], atol=2 * GRID)
    np.testing.assert_allclose(np.log(found.ratio), -best[3], atol=2 * GRID)


@pytest.mark.parametrize("seed", [16, 20, 36])
def test_functions_without_noise_are_not_taken_for_noisy_ones(seed):
    """Where some features matter little; from a start with noise alone, they are taken for noise here."""
    x = np.random.default_rng(seed).uniform(-1, 1, (256, 6))
    y = np.sin(3 * x[:, 0]) * x[:, 1] - 0.3 * x[:, 2] * np.abs(x[:, 3]) + 0.1 * x[:, 4]
    x /= x.std(0)
    found = maximise_evidence(Rows(x, y[:, None] / y.std(), np.ones(256)), MainEffects.fit(x, np.ones(256), 0))
    assert found.ratio > 100


@pytest.mark.parametrize("d", [3, 6])
@pytest.mark.parametrize("n", [100, 256])
def test_waves_are_not_taken_for_noise(n, d):
    """From a start with smooth functions they are, where they are several to a standard deviation."""
    rng = np.random.default_rng(n + d)
    x = rng.normal(size=(n, d))
    y = np.sin(5 * x[:, 0]) * np.cos(4 * x[:, 1]) + 0.05 * rng.normal(size=n)
    found = maximise_evidence(Rows(x, y[:, None] / y.std(), np.ones(n)), MainEffects.fit(x, np.ones(n), 0))
    assert found.ratio > 3
