"""The parts of the mixture for streams, one by one."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.linear_model import BayesianRidge

from skcmanp.frames import Kind
from skcmanp.mixture.breaks import BreakSignal
from skcmanp.mixture.columns import StreamColumns
from skcmanp.mixture.conformal import LEVELS, RATE, ConformalWidths
from skcmanp.mixture.errors import RARE, RareErrors, SerialCorrelation, TypicalErrors
from skcmanp.mixture.limits import Limits, Reach, without_faults
from skcmanp.mixture.linear import DiscountedRegressions, discounts
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
    whole = DiscountedRegressions.empty(3, [half_life, 1e3]).learned(Z, y)
    parts = DiscountedRegressions.empty(3, [half_life, 1e3])
    edges = sorted({0, 200, *cuts})
    for start, stop in pairwise(edges):
        parts = parts.learned(Z[start:stop], y[start:stop])
    np.testing.assert_allclose(parts.n_effective, [discounts(200, h).sum() for h in (half_life, 1e3)])
    for mine, theirs in zip(parts.predict(Z), whole.predict(Z), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)


def test_without_forgetting_it_is_bayesian_ridge():
    Z, y = make_rows(400)
    (mean,), (std,) = DiscountedRegressions.empty(3, [1e9]).learned(Z, y).predict(Z)
    centred = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    theirs, spread = BayesianRidge().fit(centred, y).predict(centred, return_std=True)
    np.testing.assert_allclose(mean, theirs, atol=0.02)
    np.testing.assert_allclose(std, spread, rtol=0.02)


def test_a_restarted_regression_follows_at_once():
    Z, y = make_rows()
    old = DiscountedRegressions.empty(3, [250.0, 1000.0]).learned(Z, y)
    later = y + 1000
    after = old.learned(Z[:100], later[:100]).restarted(Z[:100], later[:100], np.ones(100))
    errors = np.abs(after.predict(Z)[0] - later).mean(axis=1)  # only that of the shorter half-life is restarted
    assert errors[0] < 2 < errors[1]


@pytest.mark.parametrize("n_quiet", [300, 5000, 10_000, 30_000])
def test_a_column_that_varies_again_makes_nothing_absurd(n_quiet):
    """All that was said of its coefficient is forgotten, but not how much targets vary."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(n_quiet + 500, 2))
    Z[500:, 1] = 0
    y = Z @ [1.0, 1.0] + 0.1 * rng.normal(size=len(Z))
    regressions = DiscountedRegressions.empty(2, [250.0, 4000.0], n_encoded=2)
    for start in range(0, len(y), 100):
        regressions = regressions.learned(Z[start : start + 100], y[start : start + 100])
    means, stds = regressions.predict(np.array([[0.5, 0.0], [0.5, 1.0], [0.5, 1e6]]))
    assert (stds[:, 0] < 0.2).all()
    assert (stds[:, 1] < 6).all()
    assert (stds >= 0.09).all()
    assert (stds[:, 2] > 2.5).all()  # nor is it certain far away
    assert np.isfinite(means).all()


def test_few_rows_and_constant_columns():
    constant = DiscountedRegressions.empty(2, [100.0]).learned(np.ones((1, 2)), np.array([3.0]))
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
    inside = (np.abs(x).max(axis=1) < 2) & (x[:, 0] > -0.8)  # factors far below the usual are not believed
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
        assert (weights.values >= 0).all()
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


@pytest.mark.parametrize("on_residuals", [False, True])
def test_trees_are_refitted_when_enough_is_new(on_residuals):
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(400, 2))
    y = np.where(X[:, :1] > 0.5, 3.0, -3.0) + (0.1 * np.arange(400)[:, None] if on_residuals else 0)
    ring, trees, fits = Ring.empty(200, 2), RecentTrees(on_residuals), 0
    columns = StreamColumns.fit(X, (Kind.NUMBER,) * 2)
    for start in range(0, 400, 10):
        rows = slice(start, start + 10)
        ring = ring.learned(X[rows], y[rows])
        before = trees.trees
        known = np.column_stack([columns.of_regressions(X[rows]), np.full(10, start)])
        forecast = trees.predict(columns.of_trees(X[rows]), known)[0]
        trees = trees.learned(columns, ring.last(200), start + 10, y[rows, 0] - forecast)
        fits += trees.trees is not before
        if start < 20:
            assert trees.trees is None
    assert 10 < fits < 30
    known = np.column_stack([columns.of_regressions(X), np.arange(400)])
    mean, std = trees.predict(columns.of_trees(X), known)  # what grows is followed to where it was
    assert np.abs(mean - y[:, 0])[300:].mean() < 0.4
    assert std.shape == mean.shape
    assert (std < 4).all()


def test_a_few_wild_rows_do_not_blur_what_forecasts_are_measured_by():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(2, 500)) * [[1.0], [2.0]]
    usual = TypicalErrors.empty(2, 500.0).learned(errors, 1e-9)
    assert usual.least == pytest.approx(1, rel=0.1)
    assert usual.learned(np.full((2, 5), 1e6), 1e-9).least < 4
    assert TypicalErrors.empty(2, 500.0).least == np.inf
    exact = TypicalErrors.empty(2, 500.0).learned(np.zeros((2, 50)), 1e-9)
    assert 0.5e-9 < exact.least < 1e-8


@pytest.mark.parametrize("share", [0.01, 0.03])
@pytest.mark.parametrize("size", [100, 4000])
def test_rare_errors_add_what_they_are_of_the_variance(share, size):
    rng = np.random.default_rng(0)
    errors = rng.normal(size=20_000) + np.where(rng.random(20_000) < share, 50.0, 0.0)
    rare = RareErrors.none(1e9)
    for start in range(0, len(errors), size):
        rare = rare.learned(errors[start : start + size], np.ones(len(errors[start : start + size])))
    beyond = errors[np.abs(errors) > RARE]
    assert rare.variance == pytest.approx(np.sum(beyond**2 - RARE**2) / len(errors), rel=0.1)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_rare_errors_add_nothing(n):
    errors = np.random.default_rng(0).normal(size=2000)
    errors[100 : 100 + n] = -9999
    assert RareErrors.none(2000.0).learned(errors, np.ones(2000)).variance == 0


def test_rare_errors_do_not_depend_on_chunks_and_are_forgotten():
    errors = 3 * np.random.default_rng(0).standard_t(2, size=1000)
    whole, parts = (RareErrors.none(200.0) for _ in range(2))
    for start, stop in pairwise([0, 1, 70, 600, 1000]):
        parts = parts.learned(errors[start:stop], np.ones(stop - start))
    whole = whole.learned(errors, np.ones(1000))
    assert parts.variance == pytest.approx(whole.variance, rel=0.01)
    assert whole.learned(np.zeros(4000), np.ones(4000)).variance < 1e-5 * whole.variance


@pytest.mark.parametrize("r", [0.0, 0.5, 0.9, -0.5])
def test_errors_that_resemble_each_other_count_as_fewer(r):
    rng = np.random.default_rng(0)
    errors = np.zeros(20_000)
    for i in range(1, len(errors)):
        errors[i] = r * errors[i - 1] + (1 - r**2) ** 0.5 * rng.normal()
    whole = SerialCorrelation(5000.0).learned(errors)
    expected = (1 - max(r, 0)) / (1 + max(r, 0))
    assert whole.independent_share == pytest.approx(expected, abs=0.03)
    pieces = SerialCorrelation(5000.0)
    for piece in np.split(errors, [1, 2, 30, 1000, 1001, 15_000]):
        pieces = pieces.learned(piece)
    assert pieces.independent_share == pytest.approx(whole.independent_share, rel=1e-9)
    assert SerialCorrelation(5000.0).independent_share == 1


def test_a_row_far_away_is_not_said_to_be_certain():
    """Beyond all rows a correction that is linear in features would be."""
    rng = np.random.default_rng(0)
    x, scale = rng.normal(size=(2000, 1)), LogScale.empty(1, 2000.0)
    scale = scale.learned(x, rng.normal(scale=np.exp(0.5 * x[:, 0])))
    assert scale.factors(np.array([[-100.0]]))[0] == pytest.approx(0.5 * np.exp(scale.coefficients[0]))
    assert 3 < scale.factors(np.array([[100.0]]))[0] / np.exp(scale.coefficients[0]) < 4.01


def test_columns_of_a_table():
    X = np.array([[1.0, 5.0, np.nan, 86400.0], [3.0, 6.0, np.nan, np.nan], [np.nan, np.nan, np.nan, 0.0]])
    columns = StreamColumns.fit(X, (Kind.NUMBER, Kind.CATEGORY, Kind.UNKNOWN, Kind.DATE))
    assert columns.is_category.tolist() == [False, True, True, False, False, False, False]
    trees, regressions = columns.of_trees(X), columns.of_regressions(X)
    np.testing.assert_array_equal(trees[:, 1], [5, 6, np.nan])
    assert np.isnan(trees[:, 0]).tolist() == [False, False, True]
    assert np.isfinite(regressions).all()
    n_numbers, n_gaps = 5, 5  # a date is four numbers; all have a gap
    assert regressions.shape == (3, n_numbers + n_gaps + 2 * 64)
    indicators = regressions[:, n_numbers + n_gaps :]
    assert indicators.sum(axis=1).tolist() == [1, 1, 0]  # of nothing that is missing
    later = columns.of_regressions(np.array([[0.0, 1e15, 2.0**50 + 7, 0.0]]))  # levels that were not there
    assert later[:, n_numbers + n_gaps :].sum() == 2


def test_a_column_may_be_replaced_by_another_one():
    """As if it had been that all along, up to noise; and forecasts go on as they were."""
    rng = np.random.default_rng(0)
    Z = rng.normal([5.0, 0, 100, 0], size=(400, 4))
    y = Z @ [1.0, 2.0, -1.0, 0.5] + 0.1 * rng.normal(size=400)
    new = 3.0 + 2 * Z[:, 2] - Z[:, 1]
    swapped = np.column_stack([Z[:, :2], new, Z[:, 3]])
    old = DiscountedRegressions.empty(4, [250.0, 1000.0]).learned(Z, y)
    found = old.replaced(1, 1, Z[-200:, 1:3], new[-200:])
    whole = DiscountedRegressions.empty(4, [250.0, 1000.0]).learned(swapped, y)
    for mine, theirs, before in zip(found.predict(swapped), whole.predict(swapped), old.predict(Z), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0.02, atol=0.02)
        np.testing.assert_allclose(mine, before, rtol=0.02, atol=0.02)


def test_columns_that_have_not_varied_may_matter():
    Z, y = make_rows()
    Z[:, 1] = 7.0
    for n_encoded, widens in ((0, False), (2, True)):
        found = DiscountedRegressions.empty(3, [1e3], n_encoded=n_encoded).learned(Z, y)
        usual, moved = Z[:1], np.add(Z[:1], [0.0, 3.0, 0.0])
        assert (found.predict(moved)[1][0, 0] > 1.2 * found.predict(usual)[1][0, 0]) == widens


def signal_of(errors, std, size):
    """The signal, and after how many rows a break is declared, of a stream that is known after its first 300 rows."""
    signal = BreakSignal.none()
    for start in range(0, len(errors), size):
        rows = slice(start, start + size)
        signal = signal.learned(errors[rows], std[rows], 1e-9, start >= 300)
        if signal.value >= 1:
            return signal, start + size
    return signal, 0


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("tails", [1.0, 3.0])
def test_usual_errors_are_no_break(size, tails):
    rng = np.random.default_rng(0)
    noise = np.where(np.arange(4000) // 12 % 2, 0.1, 1.0)  # by night and by day
    errors = noise * np.sign(rng.normal(size=4000)) * np.abs(rng.normal(size=4000)) ** tails
    std = np.where(noise < 1, errors[noise < 1].std(), errors[noise == 1].std())
    assert signal_of(errors, std, size)[1] == 0
    errors[2000:2024] = 50.0  # a day
    assert signal_of(errors, std, size)[1] == 0


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("kind", ["above", "below", "any sign"])
def test_a_break_is_found_where_it_began_even_if_intervals_grow(size, kind):
    rng = np.random.default_rng(0)
    errors = rng.normal(size=1000)
    signs = {"above": 1.0, "below": -1.0, "any sign": rng.choice([-1.0, 1.0], 190)}[kind]
    errors[810:] += 30 * signs
    std = np.where(np.arange(1000) < 815, 1.0, 30.0)
    signal, n_rows = signal_of(errors, std, size)
    assert 840 < n_rows <= 900
    assert abs(n_rows - signal.n_rows - 810) <= 3
    assert signal.reset().value == 0
    assert signal.reset().usual == signal.usual


def test_sums_do_not_depend_on_chunks_up_to_a_block():
    errors = np.random.default_rng(0).normal(size=100)
    errors[60:] += 20
    known = BreakSignal.none().learned(np.ones(300), np.ones(300), 1e-9, False)
    whole = known.learned(errors[:60], np.ones(60), 1e-9, True).learned(errors[60:], np.ones(40), 1e-9, True)
    parts = known
    for start in range(0, 100, 20):
        parts = parts.learned(errors[start : start + 20], np.ones(20), 1e-9, True)
    np.testing.assert_allclose(parts.sums[0], whole.sums[0])
    assert parts.lengths[0] == whole.lengths[0]


NUMBERS = (Kind.NUMBER,) * 2


def test_values_far_beyond_their_range_count_less():
    X = np.random.default_rng(0).uniform(size=(200, 2))
    limits, rows = Limits.none(2).learned(X, NUMBERS)
    np.testing.assert_array_equal(rows, X)
    far = np.array([[1e9, -np.inf], [0.5, np.nan], [1.5, -0.5]])
    np.testing.assert_allclose(limits.clipped(far, NUMBERS), [[2, -1], [0.5, np.nan], [1.5, -0.5]], atol=0.05)
    np.testing.assert_array_equal(limits.clipped(far, (Kind.CATEGORY, Kind.UNKNOWN)), far)
    after, rows = limits.learned(far, NUMBERS)  # each chunk may go farther
    np.testing.assert_array_equal(rows, limits.clipped(far, NUMBERS))
    assert after.clipped(far, NUMBERS)[0, 0] == pytest.approx(4, abs=0.1)


def test_many_values_beyond_are_news():
    X = np.random.default_rng(0).uniform(size=(200, 2))
    limits, _ = Limits.none(2).learned(X, NUMBERS)
    later = X[:40] * [1000, 1]
    after, rows = limits.learned(later, NUMBERS)
    np.testing.assert_array_equal(rows, later)
    np.testing.assert_array_equal(after.clipped(later, NUMBERS), later)


def test_columns_have_no_limits_before_they_vary_nor_of_few_rows():
    constant, _ = Limits.none(2).learned(np.ones((200, 2)), NUMBERS)
    few, _ = Limits.none(2).learned(np.random.default_rng(0).uniform(size=(20, 2)), NUMBERS)
    for limits in (constant, few):
        assert (limits.clipped(np.full((1, 2), 1e9), NUMBERS) == 1e9).all()


def test_first_targets_with_heavy_tails_are_no_faults():
    y = np.random.default_rng(0).lognormal(sigma=1.5, size=(100, 1))
    assert (without_faults(y) == y).all()
    zeros = np.where(np.arange(100) % 10 < 6, 0.0, y[:, 0])[:, None]
    assert (without_faults(zeros) == zeros).all()


def test_reach_limits_numbers_alone():
    X = np.array([[1.0, 5.0, np.nan, 1e308], [2.0, 5.0, np.nan, -1e308]])
    kinds = (Kind.NUMBER, Kind.NUMBER, Kind.NUMBER, Kind.NUMBER)
    reach, far = Reach.of(X), np.array([[1e9, 1e9, 1e9, 1e9], [-1e9, -1e9, np.nan, np.nan]])
    np.testing.assert_array_equal(reach.clipped(far, kinds, 10.0), [[12, 5, 1e9, 1e9], [-9, 5, np.nan, np.nan]])
    np.testing.assert_array_equal(reach.clipped(far, (Kind.CATEGORY,) * 4, 10.0), far)
    wider = reach.extended(np.array([[3.0, 4.0, 7.0, np.nan]]))
    np.testing.assert_array_equal([wider.low, wider.high], [[1, 4, 7, -1e308], [3, 5, 7, 1e308]])
