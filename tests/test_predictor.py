"""Predictions in the targets' own units; what they are is tested where the network and the estimator are."""

import numpy as np
import pytest
import torch
from conftest import make_model
from scipy.stats import multivariate_normal

from skcmanp import CMANPRegressor
from skcmanp.inference import Network
from skcmanp.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(table):
    X, y = table
    model = make_model(memory_features=12)
    state = CMANPRegressor(model).fit(X, np.c_[y, -1e3 * y]).context_
    return Predictor(Network(make_model(memory_features=12), torch.device("cpu"), torch.float64), state, 1000, None)


def test_chunks_do_not_show(predictor, table):
    X, _ = table
    for whole, pieces in zip(predictor.predict(X), predictor._replace(chunk_size=7).predict(X), strict=True):
        assert whole.shape == (60, 2)
        np.testing.assert_allclose(pieces, whole, rtol=1e-12)


def test_units_are_the_targets_own(predictor, table):
    X, y = table
    mean, std = predictor.predict(X)
    assert np.abs(mean - np.c_[y, -1e3 * y]).max(axis=0) == pytest.approx([40, 4e4], rel=1)
    joint_mean, covariance = predictor.predict_joint(X)
    np.testing.assert_allclose(joint_mean, mean, rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.einsum("iit->it", covariance)), std, rtol=1e-9)
    drawn = predictor.draw(X[:3], 20_000, np.random.RandomState(0))
    np.testing.assert_allclose(drawn.mean(axis=-1), mean[:3], atol=0.1 * std.max())
    np.testing.assert_allclose(drawn[:, 1].std(axis=-1), std[:3, 1], rtol=0.05)


def test_densities_are_of_the_predictive_distribution(predictor, table):
    X, y = table
    targets = np.c_[y, -1e3 * y]
    mean, covariance = predictor.predict_joint(X)
    joint = sum(multivariate_normal(mean[:, i], covariance[..., i]).logpdf(targets[:, i]) for i in range(2))
    assert predictor.joint_log_density(X, targets) == pytest.approx(joint, rel=1e-6)
    alone = [predictor.joint_log_density(X[[i]], targets[[i]]) for i in range(5)]
    np.testing.assert_allclose(predictor.log_density(X[:5], targets[:5]), alone, rtol=1e-9)


def test_one_call_predicts_from_one_state(table, monkeypatch):
    """Also if the estimator is fitted anew in the middle of it."""
    X, y = table
    reg = CMANPRegressor(make_model(), chunk_size=10).fit(X, y)
    expected, predict = reg.predict(X), Network.predict

    def predict_while_refitted(self, state, x):
        reg.fit(X, -y)
        return predict(self, state, x)

    monkeypatch.setattr(Network, "predict", predict_while_refitted)
    np.testing.assert_array_equal(reg.predict(X), expected)


@pytest.mark.parametrize("size", [1e-200, 1e160])
def test_covariances_that_leave_float64_are_an_error(size):
    X = np.linspace(-1, 1, 20)[:, None]
    reg = CMANPRegressor(adapt=False).fit(X, size * X[:, 0])
    with pytest.raises(ValueError, match="covariances leave float64; divide y by a constant"):
        reg.predict(X, return_cov=True)
    mean, std = reg.predict(X, return_std=True)
    assert np.isfinite(mean).all()
    assert ((std > 0) & np.isfinite(std)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_huge_target_does_not_spoil_a_network_without_limits(dtype):
    X = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    reg = CMANPRegressor("image-gray", dtype=dtype, x_bounds=(-1, 1), y_bounds=(-1, 1)).fit(X, X[:, 0])
    mean, std = reg.partial_fit(X[:1], [1e20]).predict(X, return_std=True)
    assert np.isfinite(mean).all()
    assert ((std > 0) & np.isfinite(std)).all()


def test_rows_far_from_zero_are_adapted_to_as_they_are():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (60, 2))
    y = np.sin(2 * X[:, 0]) + 0.1 * rng.normal(size=60)
    far = CMANPRegressor(adapt=True, standardize=False).fit(X + 2.0**20, y)
    assert np.abs(far.predict(X + 2.0**20) - y).max() < 0.5


def test_numbers_beyond_what_is_documented_are_refused():
    X = np.linspace(-1, 1, 20)[:, None]
    with pytest.raises(ValueError, match=r"y has values beyond 1e\+300"):
        CMANPRegressor().fit(X, 1e305 * X[:, 0])
    for bounds in ((0, 5e-324), (-1e-310, 1e-310)):
        with pytest.raises(ValueError, match=r"y_bounds=.* must be a pair"):
            CMANPRegressor(y_bounds=bounds).fit(X, X[:, 0])
