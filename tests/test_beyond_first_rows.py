"""What the first rows do not show: targets and features that move on, rare rows, and where there are no data."""

import copy
import functools
import pickle

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import BayesianRidge

from skcmanp import CMANPRegressor


def rmse(mean, y):
    return float(np.sqrt(np.square(mean - y).mean()))


def covered(reg, X, y, level=0.9):
    mean, std = reg.predict(X, return_std=True)
    return float((np.abs(y - mean) < norm.ppf((1 + level) / 2) * std).mean())


def wave(n, d=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, d))
    return X, np.sin(3 * X[:, 0]) + 0.05 * rng.normal(size=n)


# ------------------------------------------------------------------ targets without walls


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("level", [100.0, -300.0])
def test_bounds_of_targets_are_a_scale_and_no_wall(level, dtype):
    X, y = wave(200)
    reg = CMANPRegressor(y_bounds=(-2, 2), dtype=dtype).fit(X, level + y)
    assert rmse(reg.predict(X), level + y) < 0.15
    assert covered(reg, X, level + y) > 0.8
    mean, std = reg.predict(X[:5], return_std=True)
    assert (np.abs(reg.sample_y(X[:5], 3) - mean[:, None]) < 6 * std[:, None]).all()


def test_targets_outside_of_all_that_was_seen_are_predicted_in_full():
    """A spread a hundred times that of the bounds, rather than one that ends at them."""
    X, y = wave(200)
    reg = CMANPRegressor(y_bounds=(-2, 2), x_bounds=(-1, 1)).fit(X, 200 * y)
    assert rmse(reg.predict(X), 200 * y) < 0.1 * 200 * y.std()
    assert np.ptp(reg.predict(X)) > 350


@pytest.mark.parametrize("shift", [100.0, -300.0])
def test_a_level_that_moved_after_emptying_is_learned(shift):
    X, y = wave(200)
    reg = CMANPRegressor().fit(X, y).decay(0).partial_fit(X, y + shift)
    assert rmse(reg.predict(X), y + shift) < 0.002 * abs(shift)
    assert covered(reg, X, y + shift) > 0.8


def test_two_targets_may_be_on_different_levels():
    X, y = wave(200)
    Y = np.c_[y, 500 + y]
    mean = CMANPRegressor(y_bounds=(-2, 2)).fit(X, Y).predict(X)
    assert rmse(mean[:, 0], Y[:, 0]) < 0.1
    assert rmse(mean[:, 1], Y[:, 1]) < 0.15


def test_a_level_that_climbs_is_followed():
    """Seven times as far as the first rows show; the season is unknown there, and has a standard deviation of 0.7."""
    rng = np.random.default_rng(0)
    t = np.arange(8000.0)
    X, y = np.c_[t, t % 100], 0.002 * t + np.sin(t * np.pi / 50) + 0.3 * rng.normal(size=8000)
    reg, errors, inside = CMANPRegressor(dtype="float32").partial_fit(X[:1000], y[:1000]), [], []
    for start in range(1000, 8000, 500):
        rows = slice(start, start + 500)
        errors.append(rmse(reg.predict(X[rows]), y[rows]))
        inside.append(covered(reg, X[rows], y[rows]))
        reg.partial_fit(X[rows], y[rows])
    assert np.mean(errors[-6:]) < 1.0
    assert np.mean(inside[-6:]) > 0.8


# ------------------------------------------------------------------ features that move on


@pytest.mark.parametrize(
    ("constant", "move"),
    [(0.0, 1.0), (0.0, 1e3), (2024.0, 1.0), (1e9, 1.0), (5.0, -5.0), (1e-9, 1e-9), (1e-30, 1.0), (1e30, 1e30)],
)
def test_a_column_that_starts_to_move_is_learned(constant, move):
    rng = np.random.default_rng(0)
    X = np.c_[rng.uniform(-1, 1, (600, 2)), np.repeat([constant, constant + move], 300)]
    y = X[:, 0] + np.repeat([0.0, 5.0], 300) + 0.1 * rng.normal(size=600)
    reg = CMANPRegressor().fit(X[:300], y[:300]).partial_fit(X[300:], y[300:])
    mean, std = reg.predict([[0, 0, constant], [0, 0, constant + move]], return_std=True)
    assert np.abs(mean - [0, 5]).max() < 0.8
    assert (np.abs(mean - [0, 5]) < 3 * std).all()


def test_a_constant_that_moves_is_uncertain_before_it_is_learned():
    rng = np.random.default_rng(0)
    X = np.c_[rng.uniform(-1, 1, (300, 2)), np.full(300, 2024.0)]
    reg = CMANPRegressor().fit(X, X[:, 0] + 0.1 * rng.normal(size=300))
    _, std = reg.predict([[0, 0, 2024], [0, 0, 2025]], return_std=True)
    assert std[1] > 1.5 * std[0]


@pytest.mark.parametrize("size", [10.0, 1000.0])
def test_a_rare_flag_with_a_large_effect_is_believed(size):
    """Two rows of a thousand have it."""
    rng = np.random.default_rng(0)
    X = np.c_[rng.uniform(-1, 1, (1000, 2)), np.zeros(1000)]
    X[[10, 800], 2] = 1
    y = np.sin(2 * X[:, 0]) + size * X[:, 2] + 0.1 * rng.normal(size=1000)
    mean, std = CMANPRegressor().fit(X, y).predict(X[[10, 800, 0, 1]], return_std=True)
    error = np.abs(mean - y[[10, 800, 0, 1]])
    assert (error < 3 * std + 0.02 * size).all()
    assert error[:2].max() < 0.1 * size


@pytest.mark.parametrize("bounds", [{}, {"x_bounds": (-1, 1), "y_bounds": (-3, 3)}])
@pytest.mark.parametrize("sentinel", [1e9, -2147483648.0, 1e30])
def test_a_sentinel_value_among_the_features_leaves_other_rows_alone(sentinel, bounds):
    X, y = wave(300, d=3)
    reg = CMANPRegressor(**bounds).fit(X, y)
    before = rmse(reg.predict(X), y)
    reg.partial_fit([[sentinel, 0.0, 0.0]], [0.0])
    assert rmse(reg.predict(X), y) < 1.2 * before + 0.01
    assert covered(reg, X, y) > 0.8
    assert np.isfinite(reg.predict([[sentinel, 0.0, 0.0]], return_std=True)).all()


@pytest.mark.parametrize("value", [1e4, 1e6, 1e9])
@pytest.mark.parametrize("n_faulty", [1, 4])
def test_values_far_beyond_all_others_leave_predictions_exact(value, n_faulty):
    """Whatever led to the state: rows one by one with predictions in between, or all at once, or bytes."""
    X, y = wave(360, d=3)
    X = X.copy()
    X[300 : 300 + n_faulty, 1] = value
    one_by_one = CMANPRegressor().fit(X[:300], y[:300])
    at_once = copy.deepcopy(one_by_one).partial_fit(X[300:330], y[300:330])
    for row in range(300, 330):
        one_by_one.partial_fit(X[row : row + 1], y[row : row + 1])
        one_by_one.predict(X[-1:])
    queries = X[330:]
    expected = at_once.predict(queries)
    np.testing.assert_allclose(one_by_one.predict(queries), expected, atol=1e-9)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(one_by_one)).predict(queries), expected, atol=1e-9)
    assert rmse(expected, y[330:]) < 0.2


# ------------------------------------------------------------------ beyond the edge (P13)

DISTANCES = (0.1, 0.3, 0.6, 1.0, 2.0)


def functions(kind, n_functions=6, n=200):
    """Rows in a cube, of functions with a trend, and rows beyond one of its faces, at all distances."""
    rng = np.random.default_rng(0)
    for _ in range(n_functions):
        X, (a, b, c) = rng.uniform(-1, 1, (n, 3)), 3 * rng.normal(size=3)

        def f(X, a=a, b=b, c=c):
            if kind == "linear":
                return a * X[:, 0] + b * X[:, 1] + c * X[:, 2]
            return a * X[:, 0] + b * np.sign(X[:, 1]) + c * np.sin(3 * X[:, 2])

        beyond = []
        for distance in DISTANCES:
            rows = X.copy()
            rows[:, 0] = 1 + distance
            beyond.append((rows, f(rows) + 0.2 * rng.normal(size=n)))
        yield X, f(X) + 0.2 * rng.normal(size=n), beyond


@pytest.mark.parametrize("kind", ["linear", "steps and waves"])
def test_p13_intervals_cover_beyond_the_edge_of_a_trend(kind):
    inside, widths = [], []
    for X, y, beyond in functions(kind):
        reg = CMANPRegressor().fit(X, y)
        inside.append([covered(reg, *rows) for rows in beyond])
        widths.append([np.median(reg.predict(rows, return_std=True)[1]) for rows, _ in beyond])
    assert (np.mean(inside, axis=0) > 0.8).all(), np.mean(inside, axis=0)
    assert (np.diff(np.mean(widths, axis=0)) > 0).all()  # the further, the wider


@pytest.mark.parametrize("noise", [0.001, 0.003, 0.01])
def test_p13_holds_almost_without_noise(noise):
    """Gaps between the rows show a far smaller scale than there is beyond them."""
    rng, inside = np.random.default_rng(0), []
    for _ in range(2):
        X = rng.uniform(-1, 1, (400, 3))
        y = 2 * X[:, 0] + np.sin(4 * X[:, 1]) + X[:, 1] * X[:, 2]
        reg, change = CMANPRegressor().fit(X, y + noise * rng.normal(size=400)), noise * rng.normal(size=400)
        # Rows are predicted where the function is known: only its trend goes on.
        inside.append(
            [covered(reg, X + (1 + d - X) * [1, 0, 0], y + 2 * (1 + d - X[:, 0]) + change) for d in DISTANCES]
        )
    assert (np.mean(inside, axis=0) > 0.8).all(), np.mean(inside, axis=0)


@pytest.mark.parametrize(("n", "n_features"), [(12, 1), (50, 1), (50, 2)])
def test_p13_few_noisy_rows_of_a_line_do_not_make_it_level(n, n_features):
    inside = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X, far = rng.uniform(-1, 1, (n, n_features)), rng.uniform(-1, 1, (200, n_features))
        far[:, 0] = rng.uniform(1.3, 3, 200)
        noise = 0.9 * rng.normal(size=n + 200)
        reg = CMANPRegressor().fit(X, 3 * X[:, 0] + noise[:n])
        inside.append(covered(reg, far, 3 * far[:, 0] + noise[n:]))
    assert np.mean(inside) > 0.85, inside


@functools.cache
def errors_on_lines():
    """Ours and those of Bayesian linear regression, at all distances."""
    ours, theirs = [], []
    for X, y, beyond in functions("linear"):
        reg, line = CMANPRegressor().fit(X, y), BayesianRidge().fit(X, y)
        ours.append([np.square(reg.predict(rows) - target).mean() for rows, target in beyond])
        theirs.append([np.square(line.predict(rows) - target).mean() for rows, target in beyond])
    return np.sqrt(np.mean(ours, axis=0)), np.sqrt(np.mean(theirs, axis=0))


@pytest.mark.parametrize("i", range(len(DISTANCES)))
def test_p13_lines_go_on_as_those_of_bayesian_regression(i):
    ours, theirs = errors_on_lines()
    assert ours[i] < 1.5 * theirs[i], (DISTANCES[i], ours[i], theirs[i])
