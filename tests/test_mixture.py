"""The parts of the mixture for streams, one by one."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.linear_model import BayesianRidge

from skcmanp.mixture.conformal import LEVELS, RATE, ConformalWidths
from skcmanp.mixture.linear import DiscountedRegression, discounts
from skcmanp.mixture.ring import Ring
from skcmanp.mixture.scale import LogScale
from skcmanp.mixture.trees import RecentTrees
from skcmanp.mixture.weights import HORIZONS, Weights


def make_rows(n=200, seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, 3)) * [1, 100, 1e-3] + [0, 1e4, 5]
    return Z, 7 + Z @ [2, 0.01, 300] + rng.normal(size=n)


@given(st.lists(st.integers(0, 200), max_size=5), st.sampled_from([20.0, 300.0]))
def test_regressions_do_not_depend_on_chunks(cuts, half_life):
    Z, y = make_rows()
    whole = DiscountedRegression.empty(3, half_life).learned(Z, y)
    parts = DiscountedRegression.empty(3, half_life)
    edges = sorted({0, 200, *cuts})
    for start, stop in pairwise(edges):
        parts = parts.learned(Z[start:stop], y[start:stop])
    assert parts.n_effective == pytest.approx(discounts(200, half_life).sum())
    for mine, theirs in zip(parts.predict(Z), whole.predict(Z), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)


def test_without_forgetting_it_is_bayesian_ridge():
    Z, y = make_rows(400)
    mean, std = DiscountedRegression.empty(3, 1e9).learned(Z, y).predict(Z)
    centred = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    theirs, spread = BayesianRidge().fit(centred, y).predict(centred, return_std=True)
    np.testing.assert_allclose(mean, theirs, atol=0.02)
    np.testing.assert_allclose(std, spread, rtol=0.02)


def test_a_restarted_regression_follows_at_once():
    Z, y = make_rows()
    old = DiscountedRegression.empty(3, 250.0).learned(Z, y)
    later = y + 1000
    forgets, restarts = old.learned(Z[:50], later[:50]), old.restarted(Z[:50], later[:50])
    errors = [np.abs(r.learned(Z[50:100], later[50:100]).predict(Z)[0] - later).mean() for r in (forgets, restarts)]
    assert errors[1] < 2 < errors[0]


def test_few_rows_and_constant_columns():
    constant = DiscountedRegression.empty(2, 100.0).learned(np.ones((1, 2)), np.array([3.0]))
    mean, std = constant.predict(np.array([[1.0, 1.0], [2.0, 5.0]]))
    np.testing.assert_allclose(mean, 3.0)
    assert np.isfinite(std).all()


def test_log_scale_finds_where_errors_are_large():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 2))
    true = 0.5 * np.exp(0.7 * x[:, 0])
    scale = LogScale.empty(2, 2000.0)
    assert (scale.factors(x) == 1).all()
    for start in range(0, 4000, 100):
        rows = slice(start, start + 100)
        scale = scale.learned(x[rows], rng.normal(scale=true[rows]))
    inside = np.abs(x).max(axis=1) < 2
    np.testing.assert_allclose(np.log(scale.factors(x[inside]) / true[inside]), 0, atol=0.25)


@pytest.mark.parametrize("factor", [1e-3, 30.0, 1e6])
def test_log_scale_does_not_overshoot(factor):
    rng = np.random.default_rng(1)
    scale = LogScale.empty(0, 100.0)
    for _ in range(10):
        scale = scale.learned(np.empty((100, 0)), factor * rng.normal(size=100))
    wanted = np.clip(factor, np.exp(-3), np.exp(3))
    assert 0.5 * wanted < scale.factors(np.empty((1, 0)))[0] < 2 * wanted


@pytest.mark.parametrize("seed", [0, 1, 687])
def test_the_mixture_is_not_much_worse_than_its_best_forecast(seed):
    """At most 0.02 nats a row worse than the best one, and 0.08 than two that take turns."""
    rng = np.random.default_rng(seed)
    n, n_forecasts = 600, 8
    y = rng.normal(size=n)
    means = rng.normal(scale=1.0, size=(n_forecasts, 1)) * np.ones(n)
    means[0, : n // 2], means[1, n // 2 :] = 0.0, 0.0
    log_density = norm.logpdf(y, means, 1.0)
    weights, mixed = Weights.empty(n_forecasts), 0.0
    for t in range(n):
        mixed += np.log(weights.values @ np.exp(log_density[:, t]))
        weights = weights.learned(log_density[:, t : t + 1])
    best_single = log_density.sum(axis=1).max()
    best_switching = log_density[0, : n // 2].sum() + log_density[1, n // 2 :].sum()
    assert mixed > best_single - 0.02 * n
    assert mixed > best_switching - 0.08 * n


def test_weights_are_shares():
    rng = np.random.default_rng(0)
    weights = Weights.empty(5)
    for _ in range(20):
        weights = weights.learned(rng.normal(scale=100, size=(5, 50)))
        assert weights.values.sum() == pytest.approx(1)
        assert (weights.values > 1e-5).all()
    assert weights.by_horizon.shape == (len(HORIZONS), 5)


@pytest.mark.parametrize("kind", ["jump", "walk", "heavy"])
def test_intervals_hold_their_guarantee(kind):
    rng = np.random.default_rng(0)
    n = 2000
    errors = rng.normal(size=n)
    if kind == "jump":
        errors[n // 2 :] *= 5
    elif kind == "walk":
        errors *= np.exp(np.cumsum(0.05 * rng.normal(size=n)).clip(-2, 2))
    else:
        errors = rng.standard_t(3, size=n)
    widths, missed = ConformalWidths.normal(), np.zeros(len(LEVELS))
    for error in errors:
        missed += np.abs(error) > widths.widths
        widths = widths.learned(np.array([error]))
    bound = (max(np.abs(errors).max(), 3) + RATE) / (RATE * n)
    assert (np.abs(missed / n - (1 - LEVELS)) <= bound).all()
    assert widths.width(0.9) == pytest.approx(widths.widths[2])


def test_a_ring_keeps_the_last_rows():
    ring = Ring.empty(5, 1)
    for start in range(0, 9, 3):
        rows = np.arange(start, start + 3.0)[:, None]
        ring = ring.learned(rows, rows)
    assert ring.X[:, 0].tolist() == ring.y[:, 0].tolist() == [4, 5, 6, 7, 8]
    assert ring.last(2).y[:, 0].tolist() == [7, 8]
    assert len(ring) == 5


def test_trees_are_refitted_when_enough_is_new():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(400, 2))
    y = np.where(X[:, :1] > 0.5, 3.0, -3.0)
    ring, trees, fits = Ring.empty(200, 2), RecentTrees(200, 0.25), 0
    for start in range(0, 400, 10):
        rows = slice(start, start + 10)
        ring = ring.learned(X[rows], y[rows])
        before = trees.trees
        trees = trees.learned(ring.last(200), y[rows, 0] - trees.predict(X[rows])[0])
        fits += trees.trees is not before
        if start < 20:
            assert trees.trees is None
    assert fits < 20
    mean, std = trees.predict(X)
    assert np.abs(mean - y[:, 0]).mean() < 0.3
    assert std.shape == mean.shape
    assert (std < 3).all()
