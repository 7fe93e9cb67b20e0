"""Joint predictions: covariances, coherent draws, joint densities."""

import copy

import numpy as np
import pytest
from conftest import make_model
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from skcmanp import CMANPRegressor

RELEVANCE = {"memory_features": 40, "memory_kernel": "matern52", "relevance": True, "input_limit": 20.0}


@pytest.fixture(params=["auto", "one memory", "two targets jointly", "no memory", "head", "head alone"], scope="module")
def fitted(request):
    """An estimator of two targets, and rows to predict."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2))
    Y = np.c_[np.sin(2 * X[:, 0]), X[:, 1]] * [1, 30] + [0, 100] + 0.2 * rng.normal(size=(80, 2)) * [1, 30]
    checkpoint = {
        "auto": "auto",
        "one memory": make_model(**RELEVANCE),
        "two targets jointly": make_model(**RELEVANCE, dim_y=2),
        "no memory": make_model(),
        "head": make_model(**RELEVANCE, joint_rank=3),
        "head alone": make_model(joint_rank=3),
    }[request.param]
    return CMANPRegressor(checkpoint).fit(X, Y), rng.normal(size=(12, 2)), request.param


def test_covariances_have_the_marginals_on_their_diagonal(fitted):
    reg, X, kind = fitted
    mean, std = reg.predict(X, return_std=True)
    joint_mean, covariance = reg.predict(X, return_cov=True)
    assert covariance.shape == (12, 12, 2)
    np.testing.assert_allclose(joint_mean, mean, rtol=1e-12)
    for j in range(2):
        np.testing.assert_allclose(covariance[..., j], covariance[..., j].T, rtol=1e-12)
        np.testing.assert_allclose(np.sqrt(covariance[..., j].diagonal()), std[:, j], rtol=1e-9)
        assert np.linalg.eigvalsh(covariance[..., j])[0] > 0
    off_diagonal = covariance[np.triu_indices(12, 1)]
    assert (np.abs(off_diagonal).max() > 1e-6) == (kind != "no memory")


def test_one_target_has_one_covariance(fitted):
    reg, X, kind = fitted
    if kind == "two targets jointly":
        pytest.skip("it has two")
    one = copy.deepcopy(reg).fit(X, X[:, 0])
    assert one.predict(X, return_cov=True)[1].shape == (12, 12)
    assert one.sample_y(X, 3).shape == (12, 3)


@pytest.mark.parametrize("block_size", [None, 12, 5, 1])
def test_draws_have_the_mean_and_covariance_within_the_first_block(fitted, block_size):
    reg, X, _ = fitted
    draws = copy.deepcopy(reg).set_params(target_block_size=block_size).sample_y(X, 40)
    assert draws.shape == (12, 2, 40)
    first = min(12, block_size or 12)
    if first == 12:
        draws = reg.sample_y(X, 100_000)
    mean, covariance = reg.predict(X[:first], return_cov=True)
    for j in range(2):
        error = 5 / np.sqrt(draws.shape[-1])
        std = np.sqrt(covariance[..., j].diagonal())
        np.testing.assert_allclose((draws[:first, j].mean(-1) - mean[:, j]) / std, 0, atol=error)
        empirical = np.atleast_2d(np.cov(draws[:first, j])) / np.outer(std, std)
        np.testing.assert_allclose(empirical, covariance[..., j] / np.outer(std, std), atol=1.5 * error)


def test_later_blocks_know_the_earlier_ones(fitted):
    """Each draw of the second block is one of an estimator that has read the same draw of the first."""
    reg, X, _ = fitted
    by_blocks = copy.deepcopy(reg).set_params(target_block_size=7)
    draws = by_blocks.sample_y(X, 3, random_state=5)
    normal = np.random.RandomState(5)
    normal.standard_normal((2, 3, 7, 1))
    deviates = normal.standard_normal((2, 3, 5, 1))
    for i in range(3):
        after = copy.deepcopy(reg).partial_fit(X[:7], draws[:7, :, i])
        mean, covariance = after.predict(X[7:], return_cov=True)
        for j in range(2):
            expected = mean[:, j] + (np.linalg.cholesky(covariance[..., j]) @ deviates[j, i])[:, 0]
            np.testing.assert_allclose(draws[7:, j, i], expected, rtol=1e-7)


def test_draws_are_reproducible(fitted):
    reg, X, _ = fitted
    assert np.array_equal(reg.sample_y(X, 2, random_state=1), reg.sample_y(X, 2, random_state=1))
    assert not np.array_equal(reg.sample_y(X, 2, random_state=1), reg.sample_y(X, 2, random_state=2))


@pytest.mark.parametrize("block_size", [None, 5, 1])
def test_densities_are_products_of_conditional_ones(fitted, block_size):
    reg, X, kind = fitted
    Y = reg.sample_y(X, random_state=3)[..., 0]
    total, learner = 0.0, copy.deepcopy(reg)
    size = block_size or len(X)
    for start in range(0, len(X), size):
        rows = slice(start, start + size)
        mean, covariance = learner.predict(X[rows], return_cov=True)
        total += sum(multivariate_normal(mean[:, j], covariance[..., j]).logpdf(Y[rows, j]) for j in range(2))
        learner.partial_fit(X[rows], Y[rows])
    density = copy.deepcopy(reg).set_params(target_block_size=block_size).log_prob(X, Y, joint=True)
    assert density == pytest.approx(total, rel=1e-8)
    if kind == "no memory" and block_size is None:
        assert density == pytest.approx(reg.log_prob(X, Y).sum(), rel=1e-9)


def test_clustered_rows_have_a_definite_covariance():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    reg = CMANPRegressor().fit(X, np.sin(2 * X[:, 0]))
    _, covariance = reg.predict(rng.normal(size=(1, 2)) + 1e-6 * rng.normal(size=(500, 2)), return_cov=True)
    np.linalg.cholesky(covariance)
    correlation = covariance[0, 1] / covariance[0, 0]
    assert 0 < correlation < 1


@pytest.mark.parametrize("d", [1, 2])
def test_correlations_are_a_gaussian_processs(d):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, d))
    y = np.sin(2 * X[:, 0]) + 0.3 * rng.normal(size=150)
    kernel = ConstantKernel() * Matern(np.ones(d), nu=2.5) + WhiteKernel(0.1)
    process = GaussianProcessRegressor(kernel, normalize_y=True).fit(X, y)
    X_new = rng.normal(size=(20, d)) * 0.3 + 2  # where data are few, so that rows are correlated

    def correlations(regressor):
        _, covariance = regressor.predict(X_new, return_cov=True)
        std = np.sqrt(covariance.diagonal())
        return (covariance / np.outer(std, std))[np.triu_indices(20, 1)]

    exact, ours = correlations(process), correlations(CMANPRegressor().fit(X, y))
    assert np.abs(ours - exact).mean() < 0.12
    assert np.corrcoef(ours, exact)[0, 1] > 0.8


def test_joint_densities_of_smooth_functions_are_higher_than_independent_ones():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(20, 1))
    reg = CMANPRegressor().fit(X, np.sin(3 * X[:, 0]))
    X_new = np.linspace(-2, 2, 50)[:, None]
    y_new = np.sin(3 * X_new[:, 0])
    assert reg.log_prob(X_new, y_new, joint=True) > reg.log_prob(X_new, y_new).sum() + 5
