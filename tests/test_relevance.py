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
from skcmanp.relevance import _evidence, default_lengthscale, fit_lengthscales, sample_rows


def make(n, d=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, np.sin(2 * x[:, :1]) + 0.1 * rng.normal(size=(n, 2)), rng.integers(1, 4, n).astype(float)


PARAMETERS = np.array([0.1, 0.5, 1.0, -1.5])


def test_evidence_is_the_processes():
    x, y, _ = make(30)
    noise = np.exp(2 * PARAMETERS[-1])
    process = GaussianProcessRegressor(Matern(np.exp(PARAMETERS[:3]), nu=2.5), alpha=noise, optimizer=None).fit(x, y)
    value, _ = _evidence(PARAMETERS, x, y, np.ones(30))
    scale = process.L_ @ process.L_.T
    density = sum(multivariate_t(shape=scale, df=2).logpdf(column) for column in y.T[:1])
    one, _ = _evidence(PARAMETERS, x, y[:, :1], np.ones(30))
    constant = gammaln(16) - gammaln(1) - 15 * np.log(2 * np.pi)
    assert one + constant == pytest.approx(density, rel=1e-9)
    assert value < one


def test_gradient_is_the_evidences():
    x, y, w = make(30)
    numeric = approx_fprime(PARAMETERS, lambda p: _evidence(p, x, y, w)[0], 1e-6)
    np.testing.assert_allclose(_evidence(PARAMETERS, x, y, w)[1], numeric, rtol=1e-4, atol=1e-3)


def test_weights_are_repetitions():
    x, y, w = make(30)
    again = np.repeat(np.arange(30), w.astype(int))
    weighted = fit_lengthscales(*sample_rows([(x, y, w)]))
    repeated = fit_lengthscales(*sample_rows([(x[again], y[again], np.ones(len(again)))]))
    assert np.array_equal(weighted[0], repeated[0])
    assert weighted[1] == repeated[1]


def test_copies_of_rows_do_not_say_that_there_is_no_noise():
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(100, 1)), rng.normal(size=(100, 1)), np.ones(100)
    w[:50] = 2
    assert fit_lengthscales(x, y, w)[1] < 2


def test_signal_to_noise_is_found():
    x, y, _ = make(300, d=1)
    _, ratio = fit_lengthscales(x, y[:, :1], np.ones(300))
    assert 4 < ratio < 30


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
    lengthscale, _ = fit_lengthscales(x, y, np.ones(200))
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
    lengthscale, ratio = fit_lengthscales(*sample_rows([(x, y, w)]))
    assert 0 < ratio < np.inf
    assert lengthscale.shape == (d,)
    assert np.isfinite(lengthscale).all()
    assert (lengthscale > 0).all()


def test_one_row_says_nothing():
    x, y, _ = make(1)
    np.testing.assert_allclose(fit_lengthscales(x, y, np.ones(1))[0], default_lengthscale(3), rtol=0.1)


def test_fitted_values_are_coarse():
    x, y, _ = make(50)
    steps = np.log(fit_lengthscales(x, y, np.ones(50))[0]) / relevance.GRID
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
