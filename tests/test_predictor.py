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
