import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.special import gammaln
from scipy.stats import multivariate_t
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from skcmanp import relevance
from skcmanp.effects import fit_ranks, row_cosines
from skcmanp.relevance import MIN_GAIN, _evidence, _maximise, default_lengthscale, fit_relevance, sample_rows


def make(n, d=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, np.sin(2 * x[:, :1]) + 0.1 * rng.normal(size=(n, 2)), rng.integers(1, 4, n).astype(float)


def waves_of(x, n=4):
    return row_cosines(x, *fit_ranks(x, np.ones(len(x))), n)


PARAMETERS = np.array([0.1, 0.5, 1.0, -1.5])
EFFECTS = np.array([-1.0, -0.3, -2.0, -0.6])


def test_evidence_is_the_processes():
    x, y, _ = make(30)
    noise = np.exp(2 * PARAMETERS[-1])
    process = GaussianProcessRegressor(Matern(np.exp(PARAMETERS[:3]), nu=2.5), alpha=noise, optimizer=None).fit(x, y)
    value, _ = _evidence(PARAMETERS, x, y, np.ones(30), np.zeros((30, 3, 0)))
    scale = process.L_ @ process.L_.T
    density = sum(multivariate_t(shape=scale, df=2).logpdf(column) for column in y.T[:1])
    one, _ = _evidence(PARAMETERS, x, y[:, :1], np.ones(30), np.zeros((30, 3, 0)))
    constant = gammaln(16) - gammaln(1) - 15 * np.log(2 * np.pi)
    assert one + constant == pytest.approx(density, rel=1e-9)
    assert value < one


@pytest.mark.parametrize("effects", [False, True])
def test_gradient_is_the_evidences(effects):
    x, y, w = make(30)
    parameters = np.r_[PARAMETERS, EFFECTS] if effects else PARAMETERS
    waves = waves_of(x)[..., : 4 if effects else 0]
    numeric = approx_fprime(parameters, lambda p: _evidence(p, x, y, w, waves)[0], 1e-6)
    np.testing.assert_allclose(_evidence(parameters, x, y, w, waves)[1], numeric, rtol=1e-4, atol=1e-3)


def test_effects_are_a_part_of_the_covariance():
    x, y, w = make(30)
    waves, scale = waves_of(x), np.exp(EFFECTS[:3])
    fall = (1 + (np.exp(EFFECTS[3]) * np.arange(1, 5)) ** 2) ** -3.0
    features = (waves * scale[:, None] * np.sqrt(fall / fall.sum())).reshape(30, -1)
    kernel = Matern(np.exp(PARAMETERS[:3]), nu=2.5)(x) + np.diag(np.exp(2 * PARAMETERS[3]) / w)
    both, alone = kernel + features @ features.T, kernel
    for parameters, covariance, shown in ((np.r_[PARAMETERS, EFFECTS], both, 4), (PARAMETERS, alone, 0)):
        rate = 1 + 0.5 * (y * np.linalg.solve(covariance, y)).sum()
        expected = -(1 + 0.5 * y.size) * np.log(rate) - np.linalg.slogdet(covariance)[1]
        assert _evidence(parameters, x, y, w, waves[..., :shown])[0] == pytest.approx(expected, rel=1e-9)


def test_effects_are_found_where_a_function_is_a_sum():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6))
    y = np.sin(2 * x[:, :1]) + np.abs(x[:, 1:2]) + 0.5 * np.cos(3 * x[:, 2:3]) + 0.1 * rng.normal(size=(200, 1))
    plain, found = fit_relevance(x, y, np.ones(200)), fit_relevance(x, y, np.ones(200), waves_of(x, 8))
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
    assert not fit_relevance(x, y, np.ones(150), waves_of(x)).effects.size
    assert not fit_relevance(x, rng.normal(size=(150, 1)), np.ones(150), waves_of(x)).effects.size


def test_effects_must_not_be_tiny(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3))
    y = np.sin(2 * x[:, :1]) + np.abs(x[:, 1:2]) + 0.1 * rng.normal(size=(150, 1))
    plain, found = fit_relevance(x, y, np.ones(150)), fit_relevance(x, y, np.ones(150), waves_of(x, 8))
    monkeypatch.setattr(relevance, "_LEAST_SHARE", np.square(found.effects).sum() + 0.01)
    refused = fit_relevance(x, y, np.ones(150), waves_of(x, 8))
    assert found.effects.size
    assert not refused.effects.size
    np.testing.assert_array_equal(refused.lengthscale, plain.lengthscale)


def test_effects_need_a_clear_gain(monkeypatch):
    x, y, w = make(100)
    waves, centre = waves_of(x), np.r_[np.full(3, np.log(default_lengthscale(3))), np.log(0.2)]
    start, least = _maximise(centre, centre, x, y, w, waves[..., :0])
    _, most = _maximise(np.r_[start, np.log([0.1, 0.1, 0.1, 0.5])], centre, x, y, w, waves)
    assert most - least < MIN_GAIN
    assert not fit_relevance(x, y, w, waves).effects.size
    monkeypatch.setattr(relevance, "MIN_GAIN", most - least - 0.1)
    monkeypatch.setattr(relevance, "_LEAST_SHARE", 0.0)
    assert fit_relevance(x, y, w, waves).effects.shape == (3, 4)


def test_weights_are_repetitions():
    x, y, w = make(30)
    again = np.repeat(np.arange(30), w.astype(int))
    weighted = fit_relevance(*sample_rows([(x, y, w)]))
    repeated = fit_relevance(*sample_rows([(x[again], y[again], np.ones(len(again)))]))
    for one, other in zip(weighted, repeated, strict=True):
        np.testing.assert_array_equal(one, other)


def test_copies_of_rows_do_not_say_that_there_is_no_noise():
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(100, 1)), rng.normal(size=(100, 1)), np.ones(100)
    w[:50] = 2
    assert fit_relevance(x, y, w).ratio < 2


def test_signal_to_noise_is_found():
    x, y, _ = make(300, d=1)
    assert 4 < fit_relevance(x, y[:, :1], np.ones(300)).ratio < 30


@given(seed=st.integers(0, 100), n=st.sampled_from([1, 5, 60, 3000]), n_chunks=st.integers(1, 4))
def test_the_sample_depends_on_neither_order_nor_chunks(seed, n, n_chunks):
    x, y, w = make(n, seed=seed)
    x[n // 2 :] = x[: n - n // 2]  # duplicates, but for the targets
    expected = sample_rows([(x, y, w)])
    order = np.random.default_rng(seed).permutation(n)
    chunks = [(x[i], y[i], w[i]) for i in np.array_split(order, n_chunks) if len(i)]
    for got, want in zip(sample_rows(chunks), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    assert len(expected[0]) == min(n, relevance.MAX_ROWS)


def test_equal_rows_are_one_with_their_weights():
    x, y, w = make(10)
    twice = sample_rows([(np.r_[x, x], np.r_[y, y], np.r_[w, 2 * w])])
    assert len(twice[0]) == 10
    np.testing.assert_allclose(np.sort(twice[2]), np.sort(3 * w))
    zeros = sample_rows([(np.array([[0.0], [-0.0]]), np.zeros((2, 1)), np.ones(2))])
    assert len(zeros[0]) == 1


def test_relevant_features_are_found_and_idle_ones_fade():
    x, y, _ = make(200, d=6)
    lengthscale = fit_relevance(x, y, np.ones(200)).lengthscale
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
    found = fit_relevance(*rows, waves_of(rows[0], 2))
    assert 0 < found.ratio < np.inf
    assert np.isfinite(found.effects).all()
    for lengthscale in (found.lengthscale, found.alone):
        assert lengthscale.shape == (d,)
        assert np.isfinite(lengthscale).all()
        assert (lengthscale > 0).all()


def test_one_row_says_nothing():
    x, y, _ = make(1)
    np.testing.assert_allclose(fit_relevance(x, y, np.ones(1)).lengthscale, default_lengthscale(3), rtol=0.1)


def test_fitted_values_are_coarse():
    x, y, _ = make(50)
    steps = np.log(fit_relevance(x, y, np.ones(50)).lengthscale) / relevance.GRID
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
