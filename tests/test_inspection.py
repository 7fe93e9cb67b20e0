import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import make_model
from scipy.stats import binom, norm
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression, SGDRegressor
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcmanp import CMANPRegressor
from skcmanp.inspection import CalibrationDisplay, PredictionIntervalDisplay, StreamDisplay
from skcmanp.inspection.base import chance_interval
from skcmanp.metrics import interval_coverage
from skcmanp.streaming import prequential, split_batches

RNG = np.random.default_rng(0)
X1, X3 = RNG.normal(size=(40, 1)), RNG.normal(size=(40, 3))
Y = RNG.normal(size=40)
MEAN, STD = RNG.normal(size=40), RNG.uniform(0.5, 2, size=40)


matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def figures():
    yield
    plt.close("all")


ESTIMATORS = {
    "gp": GaussianProcessRegressor(alpha=0.1, optimizer=None),
    "ridge": BayesianRidge(),
    "pipeline": make_pipeline(StandardScaler(), BayesianRidge()),
    "search": GridSearchCV(make_pipeline(StandardScaler(), BayesianRidge()), {"bayesianridge__max_iter": [10, 20]}),
    "cmanp": CMANPRegressor(make_model()),
}


@pytest.fixture(params=list(ESTIMATORS))
def estimator(request):
    return ESTIMATORS[request.param]


def band_at(band, x):
    """Lowest and highest value of a band at x."""
    vertices = band.get_paths()[0].vertices
    values = vertices[np.isclose(vertices[:, 0], x), 1]
    return values.min(), values.max()


def test_matplotlib_comes_late(monkeypatch):
    code = "import sys, skcmanp.inspection; assert not {'torch', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"CalibrationDisplay\.from_predictions requires matplotlib"):
        CalibrationDisplay.from_predictions(Y, MEAN, STD)


# ------------------------------------------------------------------ intervals


def test_bands_over_a_feature_are_mean_and_std():
    display = PredictionIntervalDisplay.from_predictions(Y, MEAN, STD, x=X1, confidence=[0.5, 0.9], name="mine")
    order = np.argsort(X1[:, 0])
    np.testing.assert_array_equal(display.line_.get_xydata(), np.column_stack([X1[:, 0], MEAN])[order])
    for level, band in zip([0.5, 0.9], display.intervals_, strict=True):
        for x, low, high in zip(X1[:, 0], *norm.interval(level, MEAN, STD), strict=True):
            np.testing.assert_allclose(band_at(band, x), (low, high))
    np.testing.assert_array_equal(display.points_.get_offsets(), np.column_stack([X1[:, 0], Y]))
    assert display.train_points_ is None
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["mine", "50 % interval", "90 % interval", "observed"]


def test_bars_against_the_truth_are_mean_and_std():
    display = PredictionIntervalDisplay.from_predictions(Y, MEAN, STD, confidence=0.8)
    np.testing.assert_array_equal(display.points_.get_offsets(), np.column_stack([Y, MEAN]))
    (bars,) = display.intervals_
    low, high = norm.interval(0.8, MEAN, STD)
    for segment, *expected in zip(bars.get_segments(), Y, low, high, strict=True):
        np.testing.assert_allclose(segment, [[expected[0], expected[1]], [expected[0], expected[2]]])
    assert display.line_.get_slope() == 1
    assert display.line_.get_xy1() == (0, 0)


@pytest.mark.parametrize("X", [X1, X3])
def test_intervals_of_any_estimator_with_std(estimator, X):
    estimator.fit(X, Y)
    _, ax = plt.subplots()
    display = PredictionIntervalDisplay.from_estimator(estimator, X, Y, ax=ax)
    best = getattr(estimator, "best_estimator_", estimator)
    mean, std = best.predict(X, return_std=True)
    np.testing.assert_array_equal(display.y_mean, mean)
    np.testing.assert_array_equal(display.y_std, std)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert display.name == type(estimator).__name__


def test_rows_learned_from_names_dates_and_no_truth():
    frame = pd.DataFrame({"height": X1[:, 0]})
    model = BayesianRidge().fit(frame, Y)
    display = PredictionIntervalDisplay.from_estimator(model, frame, X_train=X1[:5], y_train=Y[:5], color="red")
    np.testing.assert_array_equal(display.train_points_.get_offsets(), np.column_stack([X1[:5, 0], Y[:5]]))
    assert display.points_ is None
    assert display.ax_.get_xlabel() == "height"
    assert display.line_.get_color() == "red"
    assert display.plot(name="other").line_.get_label() == "other"

    days = np.datetime64("2024-01-01") + np.arange(40)[::-1]
    display = PredictionIntervalDisplay.from_predictions(None, MEAN, STD, x=days)
    assert list(display.line_.get_xdata(orig=True)) == sorted(days)
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((Y, MEAN, STD), {"confidence": (0.5, 1.0)}, r"confidence=\(0.5, 1.0\) must be between 0 and 1"),
        ((Y, MEAN, STD), {"confidence": 0}, "confidence=0 must be"),
        ((Y, MEAN, -STD), {}, "y_std has negative values"),
        ((Y, MEAN, STD[:3]), {}, "y_std has 3 rows, but y_mean has 40"),
        ((Y[:3], MEAN, STD), {}, "y_true has 3 rows, but y_mean has 40"),
        ((Y, MEAN * np.nan, STD), {}, "Input y_mean contains NaN"),
        ((Y, X3, STD), {}, r"y_mean has shape \(40, 3\), but a display shows one target"),
        ((Y, MEAN, STD), {"x": X3}, r"x has shape \(40, 3\); it must be one feature of 40 rows"),
        ((None, MEAN, STD), {}, "y_true=None and x=None"),
        ((Y, MEAN, STD), {"x": X1, "x_train": X1}, "need x_train and y_train"),
        ((Y, MEAN, STD), {"x_train": X1, "y_train": Y}, "drawn beside one feature"),
        ((Y, MEAN, STD), {"x": X1, "x_train": X1[:3], "y_train": Y}, "x_train has shape"),
    ],
)
def test_bad_predictions_are_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        PredictionIntervalDisplay.from_predictions(*arguments, **options)
    assert not plt.get_fignums()


@pytest.mark.parametrize("display", [PredictionIntervalDisplay, CalibrationDisplay])
def test_bad_estimators_are_refused(display):
    with pytest.raises(NotFittedError):
        display.from_estimator(BayesianRidge(), X3, Y)
    for without in (LinearRegression(), make_pipeline(StandardScaler(), LinearRegression())):
        with pytest.raises(TypeError, match=r"has no predict\(X, return_std=True\)"):
            display.from_estimator(without.fit(X3, Y), X3, Y)
    with pytest.raises(ValueError, match="features"):
        display.from_estimator(BayesianRidge().fit(X3, Y), X1, Y)


def test_several_features_need_the_truth():
    with pytest.raises(ValueError, match=r"X has 3 features.* give y"):
        PredictionIntervalDisplay.from_estimator(BayesianRidge().fit(X3, Y), X3)


# ------------------------------------------------------------------ calibration


def test_coverage_and_histogram():
    display = CalibrationDisplay.from_predictions(Y, MEAN, STD, n_bins=5, name="mine", color="red")
    nominal, observed = display.line_.get_data()
    for level in (0.1, 0.5, 0.9):
        expected = interval_coverage(Y, MEAN, STD, confidence=level)
        np.testing.assert_allclose(observed[np.isclose(nominal, level)], expected)
    assert (nominal[0], nominal[-1], observed[-1]) == (0, 1, 1)

    density, edges, _ = display.histogram_.get_data()
    expected, _ = np.histogram(norm.cdf(Y, MEAN, STD), edges, density=True)
    np.testing.assert_allclose(density, expected)
    assert len(edges) == 6
    assert display.histogram_.get_edgecolor() == (1, 0, 0, 1)


def test_grey_is_binomial():
    display = CalibrationDisplay.from_predictions(Y, MEAN, STD)
    left, right = display.axes_
    for level in (0.1, 0.5, 0.99):
        np.testing.assert_allclose(band_at(left.collections[0], level), np.array(binom.interval(0.95, 40, level)) / 40)
    (band,) = (patch for patch in right.patches if patch is not display.histogram_)
    expected = np.array(binom.interval(0.95, 40, 0.1)) / 4
    extent = band.get_window_extent().transformed(right.transData.inverted())
    np.testing.assert_allclose([extent.y0, extent.y1], expected)


def test_by_chance_means_95_percent_of_data_sets():
    rng, low_high = np.random.default_rng(0), chance_interval(200, 0.7)
    inside = [low_high[0] <= np.mean(rng.uniform(size=200) < 0.7) <= low_high[1] for _ in range(2000)]
    assert 0.94 < np.mean(inside) < 0.97
    for certain in (0.0, 1.0):
        assert chance_interval(10, certain) == (certain, certain)


@pytest.mark.parametrize("kind", ["coverage", "pit"])
def test_one_kind_on_given_axes(kind):
    _, ax = plt.subplots()
    display = CalibrationDisplay.from_predictions(Y, MEAN, STD, kind=kind, ax=ax)
    assert list(display.axes_) == [ax]
    assert (display.line_ is None) == (kind == "pit")
    assert (display.histogram_ is None) == (kind == "coverage")


def test_calibration_of_any_estimator_and_of_two(estimator):
    estimator.fit(X3, Y)
    first = CalibrationDisplay.from_estimator(estimator, X3, Y)
    left, right = first.axes_
    n_artists = len(left.collections), len(left.lines), len(left.texts), len(right.lines), len(right.patches)
    second = CalibrationDisplay.from_estimator(estimator, X3, Y, ax=first.axes_, name="second")
    assert list(second.axes_) == [left, right]
    assert second.line_.get_color() != first.line_.get_color()
    # Only curves are added: grey, diagonal and remarks are there already.
    now = len(left.collections), len(left.lines), len(left.texts), len(right.lines), len(right.patches)
    assert np.subtract(now, n_artists).tolist() == [0, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((Y, MEAN, STD), {"kind": "histogram"}, "kind='histogram' must be one of 'coverage', 'pit', 'both'"),
        ((Y, MEAN, 0 * STD), {}, "y_std has values that are not positive"),
        ((Y, MEAN, STD[:3]), {}, "y_std has 3 rows, but y_true has 40"),
        ((X3, X3, X3), {}, r"y_true has shape \(40, 3\), but a display shows one target"),
    ],
)
def test_bad_calibrations_are_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        CalibrationDisplay.from_predictions(*arguments, **options)
    assert not plt.get_fignums()


def test_axes_are_counted():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="ax has 1 axes, but 2 are drawn on"):
        CalibrationDisplay.from_predictions(Y, MEAN, STD, ax=ax)


# ------------------------------------------------------------------ streams


@pytest.fixture(scope="module")
def table():
    return prequential(CMANPRegressor(make_model()), split_batches(X3, Y, batch_size=9))


@pytest.mark.parametrize("score", ["rmse", "nll", "crps"])
def test_stream_shows_the_table(table, score):
    display = StreamDisplay.from_table(table, score=score, name="mine", color="red")
    for line, column in zip(display.batch_lines_, [score, "coverage"], strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.column_stack([table["n_seen"], table[column]]))
    np.testing.assert_array_equal(display.lines_[2].get_ydata(), table["state_nbytes"])
    rows_kept = 8 * (X3.shape[1] + 2) * table["n_rows"][1:]  # with target and weight, as they are the first
    np.testing.assert_array_equal(np.diff(table["state_nbytes"]), rows_kept)
    assert all(line.get_color() == "red" for line in display.lines_)
    if score != "rmse":
        expected = np.average(table[score], weights=table["n_rows"])
        np.testing.assert_allclose(display.lines_[0].get_ydata()[-1], expected)


def test_strong_lines_are_of_all_rows_so_far():
    model = Ignorant()
    display = StreamDisplay.from_estimator(model, split_batches(X3, Y, batch_size=9), confidence=0.8)
    scored = Y[9:]
    rmse, coverage = (line.get_ydata() for line in display.lines_[:2])
    np.testing.assert_allclose(rmse[-1], root_mean_squared_error(scored, np.zeros(31)))
    np.testing.assert_allclose(rmse[1], root_mean_squared_error(scored[:18], np.zeros(18)))
    np.testing.assert_allclose(coverage[-1], interval_coverage(scored, np.zeros(31), np.ones(31), confidence=0.8))
    band = display.axes_[1].collections[0]
    np.testing.assert_allclose(band_at(band, 27), np.array(binom.interval(0.95, 27, 0.8)) / 27)


class Ignorant(BayesianRidge):
    """Predicts 0 ± 1, whatever it learns."""

    def partial_fit(self, X, y):
        return self.fit(X, y)

    def predict(self, X, return_std=False):
        return (np.zeros(len(X)), np.ones(len(X))) if return_std else np.zeros(len(X))


def test_streams_without_std_and_two_on_the_same_axes(table):
    first = StreamDisplay.from_table(pd.DataFrame(table))
    n_bands = len(first.axes_[1].collections)
    model = SGDRegressor()
    second = StreamDisplay.from_estimator(model, split_batches(X3, Y, batch_size=9), ax=first.axes_)
    assert list(second.axes_) == list(first.axes_)
    assert second.name == "SGDRegressor"
    assert model.n_features_in_ == 3
    assert np.isnan(second.lines_[1].get_ydata()).all()
    assert len(first.axes_[1].collections) == n_bands
    assert [text.get_text() for text in first.axes_[0].get_legend().get_texts()] == ["SGDRegressor"]
    first.figure_.canvas.draw()


def test_bad_tables_are_refused(table):
    with pytest.raises(ValueError, match="table has no 'coverage'; give what"):
        StreamDisplay.from_table({name: column for name, column in table.items() if name != "coverage"})
    with pytest.raises(ValueError, match="table has no row: the first batch"):
        StreamDisplay.from_table({name: column[:0] for name, column in table.items()})
    with pytest.raises(ValueError, match="score='mae' must be one of 'rmse', 'nll', 'crps'"):
        StreamDisplay.from_table(table, score="mae")
    with pytest.raises(ValueError, match=r"confidence=90 must be between 0 and 1"):
        StreamDisplay.from_table(table, confidence=90)
    with pytest.raises(ValueError, match="ax has 1 axes, but 3 are drawn on"):
        StreamDisplay.from_table(table, ax=plt.subplots()[1])
    with pytest.raises(TypeError, match="has no partial_fit"):
        StreamDisplay.from_estimator(BayesianRidge(), split_batches(X3, Y))


def test_breaks_show():
    table = {
        name: np.linspace(1, 2, 5) for name in ("n_rows", "rmse", "coverage", "state_nbytes", "change", "weight of a")
    }
    table |= {"n_seen": 100 * np.arange(1, 6), "breaks_at": np.array([0, 0, 250, 250, 430])}
    change = StreamDisplay.from_table(table).axes_[4]
    assert [line.get_xdata()[0] for line in change.lines[1:]] == [250, 430]
    assert len(change.get_legend().texts) == 1
    table["breaks_at"] = np.zeros(5)
    assert len(StreamDisplay.from_table(table).axes_[4].lines) == 1


def test_experts_and_change_of_a_mixture():
    n = 6
    table = {name: np.linspace(1, 2, n) for name in ("n_seen", "n_rows", "rmse", "coverage", "state_nbytes", "change")}
    table |= {f"weight of expert {i}": np.full(n, 1 / 12) for i in range(12)}
    display = StreamDisplay.from_table(table)
    assert display.axes_.shape == (5,)
    weights, change = display.axes_[3:]
    assert [text.get_text() for text in weights.get_legend().get_texts()] == [f"expert {i}" for i in range(12)]
    top = max(share.get_paths()[0].vertices[:, 1].max() for share in weights.collections)
    assert top == pytest.approx(1)
    np.testing.assert_array_equal(change.lines[0].get_ydata(), table["change"])
