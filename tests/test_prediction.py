"""Moments, quantiles, draws and densities, as the estimator gives them."""

import numpy as np
import pytest
from conftest import make_model
from scipy.stats import norm
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcmanp import CMANPRegressor


@pytest.fixture(scope="module", params=[1, 2], ids=["1 target", "2 targets"])
def fitted(request, table):
    X, y = table
    return CMANPRegressor(make_model(memory_features=12)).fit(X, y if request.param == 1 else np.c_[y, -1e3 * y])


@pytest.mark.parametrize("include_noise", [True, False])
def test_quantiles_and_intervals_are_those_of_a_normal_distribution(fitted, table, include_noise):
    X, _ = table
    mean, std = fitted.predict(X, return_std=True, include_noise=include_noise)
    levels = [0.05, 0.5, 0.95]
    quantiles = fitted.predict(X, quantiles=levels, include_noise=include_noise)
    assert quantiles.shape == (*mean.shape, 3)
    np.testing.assert_allclose(quantiles, mean[..., None] + std[..., None] * norm.ppf(levels), rtol=1e-9)
    np.testing.assert_allclose(fitted.predict(X, interval=0.9, include_noise=include_noise), quantiles[..., ::2])
    np.testing.assert_array_equal(fitted.predict(X, quantiles=0.95, include_noise=include_noise), quantiles[..., 2])


def test_noise_is_independent_from_row_to_row(fitted, table):
    X, _ = table
    mean, std = fitted.predict(X, return_std=True)
    function_mean, function_std = fitted.predict(X, return_std=True, include_noise=False)
    np.testing.assert_array_equal(function_mean, mean)
    np.testing.assert_array_equal(fitted.predict(X, include_noise=False), mean)
    assert (function_std < std).all()
    covariance, function = (fitted.predict(X, return_cov=True, include_noise=noise)[1] for noise in (True, False))
    noise = (covariance - function).reshape(60, 60, -1)
    assert np.abs(noise[~np.eye(60, dtype=bool)]).max() == 0
    np.testing.assert_allclose(np.einsum("iit->it", noise), (std**2 - function_std**2).reshape(60, -1), rtol=1e-6)


@pytest.mark.parametrize("block_size", [None, 2])
def test_draws_of_the_function_follow_its_mean_and_std(fitted, table, block_size):
    """Also where there are more rows than features, so that the covariance is all but singular."""
    X, _ = table
    reg = CMANPRegressor(fitted.checkpoint, target_block_size=block_size).merge(fitted)
    rows = X[:5] if block_size else X
    mean, std = reg.predict(rows, return_std=True, include_noise=False)
    n = 4_000 if block_size is None else 500
    draws = reg.sample_y(rows, n, random_state=0, include_noise=False)
    assert draws.shape == (*mean.shape, n)
    known = slice(block_size)  # later blocks are predicted from what the network makes of drawn targets
    assert (np.abs(draws.mean(axis=-1) - mean)[known] < 5 * std[known] / n**0.5).all()
    np.testing.assert_allclose(draws.std(axis=-1)[known], std[known], rtol=4 / n**0.5)
    np.testing.assert_allclose(draws.std(axis=-1), std, rtol=1)
    total = reg.predict(rows, return_std=True)[1]
    assert (draws.std(axis=-1)[known] < total[known]).all()


def test_the_function_is_known_better_than_targets_and_covered():
    rng = np.random.default_rng(0)
    X, X_new = rng.uniform(-3, 3, size=(300, 1)), np.linspace(-2.8, 2.8, 200)[:, None]
    f = lambda x: 5 * np.sin(2 * x[:, 0])  # noqa: E731
    reg = CMANPRegressor().fit(X, f(X) + rng.normal(size=300))
    mean, std = reg.predict(X_new, return_std=True, include_noise=False)
    total = reg.predict(X_new, return_std=True)[1]
    assert np.sqrt(np.mean(total**2 - std**2)) == pytest.approx(1, rel=0.2)
    assert std.max() < 0.5
    assert (np.abs(f(X_new) - mean) < 2 * std).mean() > 0.8


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"return_std": True, "interval": 0.9}, "return_std=True and interval=0.9: ask for one of them"),
        ({"quantiles": [0.5], "interval": 0.9}, r"quantiles=\[0.5\] and interval=0.9"),
        ({"interval": 1.0}, "interval=1.0 must be a probability between 0 and 1"),
        ({"interval": 90}, "interval=90 must be"),
        ({"quantiles": [0.0, 0.5]}, r"quantiles=\[0.0, 0.5\] must be numbers between 0 and 1"),
        ({"quantiles": [[0.5]]}, "quantiles="),
    ],
)
def test_one_thing_is_asked_for_at_a_time(fitted, table, asked, message):
    with pytest.raises(ValueError, match=message):
        fitted.predict(table[0], **asked)


def test_noise_has_to_be_known(table, model):
    X, y = table
    reg = CMANPRegressor(model).fit(X, y)
    assert np.isfinite(reg.predict(X, include_noise=False)).all()  # the mean has none
    asks = [{"return_std": True}, {"return_cov": True}, {"interval": 0.9}]
    for ask in (*(lambda a=a: reg.predict(X, **a, include_noise=False) for a in asks),):
        with pytest.raises(ValueError, match="include_noise=False, but checkpoint 'custom' has no conjugate memory"):
            ask()
    with pytest.raises(ValueError, match="no conjugate memory"):
        reg.sample_y(X, include_noise=False)
    learned = CMANPRegressor(make_model(memory_features=12, joint_rank=2)).fit(X, y)
    assert learned.predict(X, return_std=True, include_noise=False)[1].shape == y.shape
    with pytest.raises(ValueError, match="not-diagonal head"):
        learned.sample_y(X, include_noise=False)


@pytest.mark.parametrize("routing", [False, True])
def test_a_pipeline_passes_everything_on(table, routing):
    X, y = table
    with config_context(enable_metadata_routing=routing):
        reg = CMANPRegressor(make_model(memory_features=12))
        if routing:
            reg.set_predict_request(quantiles=True, include_noise=True)
        pipe = make_pipeline(StandardScaler(), reg).fit(X, y)
        quantiles = pipe.predict(X, quantiles=[0.1, 0.9], include_noise=False)
    np.testing.assert_array_equal(
        quantiles, pipe[-1].predict(pipe[0].transform(X), quantiles=[0.1, 0.9], include_noise=False)
    )
