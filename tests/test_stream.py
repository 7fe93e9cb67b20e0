"""CMANPStreamRegressor: its contract, and streams whose truth is known."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from skcmanp import CMANPStreamRegressor, StreamState
from skcmanp.mixture.experts import NAMES
from skcmanp.streaming import prequential, split_batches


@pytest.fixture(scope="module")
def stream():
    """500 rows of 3 features."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)) * [1.0, 100.0, 1e-3] + [0.0, 1e3, 5.0]
    return X, 50 + 20 * np.sin(X[:, 0]) + 0.1 * X[:, 1] + rng.normal(size=500)


@pytest.fixture(scope="module")
def fitted(model, stream):
    X, y = stream
    return CMANPStreamRegressor(checkpoint=model).fit(X[:400], y[:400])


def test_predictions(fitted, stream):
    X, y = (array[400:] for array in stream)
    mean, std = fitted.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, fitted.predict(X))
    assert mean.shape == std.shape == y.shape
    assert np.sqrt(np.mean((y - mean) ** 2)) < 0.5 * y.std()
    np.testing.assert_allclose(fitted.log_prob(X, y), norm.logpdf(y, mean, std))
    drawn = fitted.sample_y(X, 2000, random_state=0)
    np.testing.assert_allclose(drawn.mean(axis=1), mean, atol=0.2 * std.max())
    np.testing.assert_allclose(drawn.std(axis=1), std, rtol=0.1)
    low, high = fitted.predict_interval(X)
    assert ((low < y) & (y < high)).mean() > 0.8
    narrow = fitted.predict_interval(X, 0.5)
    assert (narrow[1] - narrow[0] < high - low).all()
    for confidence in (1, 0, "0.9", None, [0.5, 0.9], np.nan):
        with pytest.raises(ValueError, match=re.escape(f"confidence={confidence!r} must be between 0 and 1")):
            fitted.predict_interval(X, confidence)


def test_what_a_caller_does_to_predictions_does_not_show(fitted, stream):
    X, y = (array[400:] for array in stream)
    changed, twin = (pickle.loads(pickle.dumps(fitted)) for _ in range(2))
    mean, std = changed.predict(X, return_std=True)
    expected = mean.copy()
    mean += 1000
    std *= 0
    np.testing.assert_array_equal(changed.predict(X), expected)
    np.testing.assert_array_equal(changed.partial_fit(X, y).predict(X), twin.partial_fit(X, y).predict(X))


def test_a_row_is_predicted_whatever_the_others(fitted, stream):
    X = stream[0][400:420]
    together = fitted.predict(X, return_std=True)
    alone = np.array([fitted.predict(x[None], return_std=True) for x in X])[:, :, 0].T
    np.testing.assert_allclose(alone, together, rtol=1e-5)  # of a float32 network


def test_what_is_known_shows(fitted):
    assert fitted.n_samples_seen_ == 400
    assert list(fitted.weights_) == list(NAMES)
    assert sum(fitted.weights_.values()) == pytest.approx(1)
    assert 0 < fitted.n_effective_ <= 400
    assert 0 <= fitted.change_ <= 1
    assert fitted.breaks_at_ == 0
    assert "n_rows=400" in repr(fitted.state_)


@pytest.fixture
def streamed(model):
    """A table, half way: a stream that has been adapted to anew, and has a break behind it."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=2300), "b": rng.choice(list("xyz"), 2300), "c": rng.normal(size=2300)})
    table.loc[rng.random(2300) < 0.1, "c"] = np.nan
    y = table["a"].to_numpy() + 3 * (table["b"] == "y") + 0.1 * rng.normal(size=2300) + 50 * (np.arange(2300) > 1000)
    reg = CMANPStreamRegressor(checkpoint=model)
    for start in range(0, 2150, 150):
        reg.partial_fit(table[start : start + 150], y[start : start + 150])
    assert reg.breaks_at_
    assert reg.state_.experts.adapted is not None
    return reg, table, y


def test_what_one_dtype_predicts_is_not_taken_for_that_of_another(fitted, stream):
    query, state = stream[0][:50], StreamState.from_bytes(fitted.state_.to_bytes())
    found = fitted.predict(query)
    twin, fresh = (CMANPStreamRegressor(fitted.checkpoint, dtype="float64") for _ in range(2))
    exact = fresh.resume(state).predict(query)
    assert (found != exact).any()
    np.testing.assert_array_equal(twin.resume(fitted.state_).predict(query), exact)
    np.testing.assert_array_equal(fitted.predict(query), found)


def test_bytes_go_on_alike(streamed, fitted, stream):
    reg, table, y = streamed
    for one, X, target in ((reg, table[2150:], y[2150:]), (fitted, stream[0][400:], stream[1][400:])):
        data = one.state_.to_bytes()
        assert len(data) < 1.1 * one.state_.nbytes + 20_000
        twin = CMANPStreamRegressor(checkpoint=one.checkpoint).resume(StreamState.from_bytes(memoryview(data)))
        assert twin.state_.to_bytes() == data
        assert list(getattr(twin, "feature_names_in_", [])) == list(getattr(one, "feature_names_in_", []))
        for half in (slice(0, 50), slice(50, None)):
            expected, got = one.predict(X[half], return_std=True), twin.predict(X[half], return_std=True)
            np.testing.assert_array_equal(got, expected)
            one, twin = (pickle.loads(pickle.dumps(reg)).partial_fit(X[half], target[half]) for reg in (one, twin))


def test_bytes_that_are_damaged_or_of_others_are_refused(fitted, stream):
    data = fitted.state_.to_bytes()
    for bad in (data[:-1], data[:200], b"", data + b"0", data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]):
        with pytest.raises(ValueError, match="damaged or not a stream's memory"):
            StreamState.from_bytes(bad)
    context = fitted.state_.experts.reading.state
    with pytest.raises(ValueError, match="damaged or not a stream's memory"):
        StreamState.from_bytes(context.to_bytes())
    other = CMANPStreamRegressor().fit(stream[0][:60], stream[1][:60])
    before = vars(other).copy()
    with pytest.raises(ValueError, match="of checkpoint"):
        other.resume(fitted.state_)
    with pytest.raises(TypeError, match="StreamState, not ContextState"):
        other.resume(context)
    assert vars(other) == before


def test_pickles_go_on_alike(fitted, stream):
    X, y = stream
    copy, other = pickle.loads(pickle.dumps(fitted)), pickle.loads(pickle.dumps(fitted))
    for reg in (copy, other):
        reg.partial_fit(X[400:450], y[400:450])
    np.testing.assert_array_equal(copy.predict(X[450:]), other.predict(X[450:]))
    assert fitted.n_samples_seen_ == 400


def test_fit_is_partial_fit_in_blocks(model, stream, fitted):
    X, y = stream
    reg = CMANPStreamRegressor(checkpoint=model)
    for start in range(0, 400, 100):
        reg.predict(X[start : start + 100]) if start else None
        reg.partial_fit(X[start : start + 100], y[start : start + 100])
    for mine, theirs in zip(reg.predict(X, return_std=True), fitted.predict(X, return_std=True), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_what_experts_forget_does_not_depend_on_chunks(model, stream):
    """Decay is by row: after the same rows, regressions on the features are the same."""
    X, y = stream
    sums = []
    for size in (1, 6, 60):
        reg = CMANPStreamRegressor(checkpoint=model)
        for start in range(0, 60, size):
            reg.partial_fit(X[start : start + size], y[start : start + size])
        experts = reg.state_.experts
        encoded = experts.columns.of_regressions(X)
        sums.append(experts.regressions[0].predict(np.column_stack([encoded, np.full(len(X), 60)])))
    np.testing.assert_allclose(sums[0], sums[2], rtol=1e-6)
    np.testing.assert_allclose(sums[1], sums[2], rtol=1e-6)


def test_errors_leave_the_estimator_as_it_was(fitted, stream):
    X, y = stream
    before = pickle.dumps(fitted)
    for rows, targets in ((np.full((2, 3), np.inf), y[:2]), (X[:2, :2], y[:2]), (X[:2], [1.0, np.inf])):
        with pytest.raises(ValueError, match=r"NaN|features|infinity"):
            fitted.partial_fit(rows, targets)
    assert pickle.dumps(fitted) == before


@pytest.fixture(scope="module")
def table():
    """600 rows of numbers with gaps, text, a category and a date; and targets that depend on all."""
    rng, n = np.random.default_rng(0), 600
    size, city, day = rng.normal(size=n), rng.choice(["Rome", "Oslo", "Lima"], n), np.arange(n)
    y = 2 * size + np.select([city == "Rome", city == "Oslo"], [5.0, -5.0], 0.0) + 3 * (day % 7 > 4)
    X = pd.DataFrame(
        {
            "size": np.where(rng.uniform(size=n) < 0.1, np.nan, size),
            "city": city,
            "kind": pd.Categorical(rng.choice(["a", "b"], n)),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(day, unit="D"),
            "late": np.full(n, np.nan),
        }
    )
    return X, y + 0.3 * rng.normal(size=n)


def test_tables_as_they_are(table):
    X, y = table
    reg = CMANPStreamRegressor(memory_features=96).fit(X[:300], y[:300])
    reg.partial_fit(X[300:500].assign(late=1.0), y[300:500])  # a column that has something in it at last
    mean, std = reg.predict(X[500:].assign(late=2.0), return_std=True)
    known = X["size"][500:].notna().to_numpy()
    assert np.sqrt(np.mean((mean - y[500:])[known] ** 2)) < 0.35 * y.std()
    assert np.isfinite(std).all()
    unseen = X[500:510].assign(city="Quito", late=None)
    assert np.isfinite(reg.predict(unseen)).all()
    pl = pytest.importorskip("polars")
    np.testing.assert_allclose(reg.predict(pl.from_pandas(X[500:510])), reg.predict(X[500:510]), rtol=1e-9)
    before = pickle.dumps(reg)
    for wrong in (X.assign(size="large"), X.drop(columns="city"), X.assign(when=1.0)):
        with pytest.raises(ValueError, match=r"size|features|city|when"):
            reg.partial_fit(wrong[:5], y[:5])
    assert pickle.dumps(reg) == before


def test_numbers_that_are_categories(model):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 6, size=(500, 2)).astype(float)
    y = np.array([3.0, -1, 7, 0, 5, -4])[X[:, 0].astype(int)] + 0.1 * rng.normal(size=500)
    reg = CMANPStreamRegressor(checkpoint=model, categorical_features=[0, 1]).fit(X[:400], y[:400])
    assert np.abs(reg.predict(X[400:]) - y[400:]).mean() < 0.3


def straight_line(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    return X, X[:, 0] + 0.1 * rng.normal(size=n)


@pytest.mark.parametrize("wild", [100.0, -1e6])
def test_a_faulty_reading_is_forgiven(model, wild):
    X, y = straight_line(600)
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:300], y[:300])
    reg.partial_fit(X[300:301], [wild]).partial_fit(X[301:400], y[301:400])
    mean, std = reg.predict(X[400:], return_std=True)
    assert np.sqrt(np.mean((mean - y[400:]) ** 2)) < 0.13
    assert std.mean() < 0.2
    assert reg.breaks_at_ == 0


def learned_on(reg, X, y, size):
    """Means and standard deviations of rows that are predicted and then learned, in chunks."""
    said = []
    for start in range(0, len(y), size):
        rows = slice(start, start + size)
        said.append(reg.predict(X[rows], return_std=True))
        reg.partial_fit(X[rows], y[rows])
    return np.concatenate(said, axis=1)


@pytest.mark.parametrize("value", [1e9, -1e9, 65535.0])
@pytest.mark.parametrize("n_faulty", [1, 5])
def test_a_faulty_feature_is_forgiven(model, value, n_faulty):
    X, y = straight_line(600)
    X[350 : 350 + n_faulty, 0] = value
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:300], y[:300])
    mean, std = learned_on(reg, X[300:400], y[300:400], 100)
    assert np.abs(mean - y[300:400]).max() < 20  # of the rows themselves, too
    mean, std = learned_on(reg, X[400:], y[400:], 100)
    assert np.sqrt(np.mean((mean - y[400:]) ** 2)) < 0.15
    assert std.mean() < 0.4
    assert reg.breaks_at_ == 0


def test_a_feature_may_go_on_in_other_units(model):
    X, y = straight_line(700)
    X[400:] = 1000 * X[400:]
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:300], y[:300])
    mean, _ = learned_on(reg, X[300:], y[300:], 50)
    assert np.sqrt(np.mean((mean[-150:] - y[-150:]) ** 2)) < 0.4


@pytest.mark.parametrize("jump", [6.0, -30.0, 300.0])
@pytest.mark.parametrize("size", [5, 40])
def test_a_level_that_jumps_is_followed_whatever_the_chunks(model, jump, size):
    X, y = straight_line(560)
    y[410:] += jump
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:400], y[:400])
    mean, std = learned_on(reg, X[400:], y[400:], size)
    assert abs(reg.breaks_at_ - 410) <= 2
    errors = (mean - y[400:])[-40:]
    assert np.sqrt(np.mean(errors**2)) < 0.3
    assert np.mean(np.abs(errors) < 1.645 * std[-40:]) > 0.7


@pytest.mark.parametrize("wild", [-9999.0, 1e12, 1e36])
def test_a_faulty_target_hides_no_break(model, wild):
    X, y = straight_line(800)
    y[350], y[550:] = wild, y[550:] + 20
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:300], y[:300])
    _, std = learned_on(reg, X[300:500], y[300:500], 100)
    assert std[100:].mean() < 0.5
    learned_on(reg, X[500:700], y[500:700], 50)
    assert abs(reg.breaks_at_ - 550) <= 2
    assert np.sqrt(np.mean((reg.predict(X[700:]) - y[700:]) ** 2)) < 1


def test_a_faulty_target_in_the_second_chunk_is_forgiven(model):
    X, y = straight_line(600)
    y[150] = -9999
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:100], y[:100])
    mean, _ = learned_on(reg, X[100:], y[100:], 100)
    assert np.sqrt(np.mean((mean[200:] - y[300:]) ** 2)) < 1


@pytest.mark.parametrize("wild", [-9999.0, 1e12])
@pytest.mark.parametrize("at", [[0], [40, 77]])
def test_faulty_targets_among_the_first_are_forgiven(model, wild, at):
    X, y = straight_line(400)
    y[at] = wild
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:100], y[:100])
    mean, std = learned_on(reg, X[100:], y[100:], 50)
    assert np.sqrt(np.mean((mean - y[100:])[100:] ** 2)) < 0.2
    assert std[100:].max() < 0.5


def test_a_faulty_target_after_a_break_is_forgiven(model):
    X, y = straight_line(700)
    y[450:], y[460] = y[450:] + 20, 1e6
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:400], y[:400])
    mean, _ = learned_on(reg, X[400:], y[400:], 20)
    assert np.sqrt(np.mean((mean[150:] - y[550:]) ** 2)) < 1


@pytest.mark.parametrize("far", [20.0, -9999.0])
def test_a_world_may_return(model, far):
    X, y = straight_line(900)
    y[450:600] += far
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:400], y[:400])
    mean, _ = learned_on(reg, X[400:], y[400:], 25)
    assert abs(reg.breaks_at_ - 600) <= 2
    assert np.sqrt(np.mean((mean[350:] - y[750:]) ** 2)) < 1


def test_a_break_within_a_large_chunk_is_found(model):
    X, y = straight_line(3300)
    y[2100:] += 50
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:300], y[:300])
    reg.partial_fit(X[300:3200], y[300:3200])
    assert abs(reg.breaks_at_ - 2100) <= 50
    assert np.sqrt(np.mean((reg.predict(X[3200:]) - y[3200:]) ** 2)) < 1


@pytest.mark.parametrize("size", [1, 6, 30])
@pytest.mark.parametrize("n_constant", [6, 130])
@pytest.mark.parametrize("level", [0.0, 7.0])
def test_targets_may_be_constant_at_first(model, size, n_constant, level):
    X, y = straight_line(n_constant + 30)
    y = level + np.where(np.arange(len(y)) < n_constant, 0.0, y)
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:n_constant], y[:n_constant])
    reg.partial_fit(X[n_constant : n_constant + size], y[n_constant : n_constant + size])
    assert reg.n_samples_seen_ == n_constant + size
    said = learned_on(reg, X[n_constant + size :], y[n_constant + size :], size) if size < 30 else reg.predict(X, True)
    assert np.abs(said[0] - level).max() < 10
    assert said[1].min() > 1e-3
    assert said[1].max() < 20


@pytest.mark.parametrize("seed", [0, 1])
def test_a_date_makes_nothing_certain(seed):
    """Experts that know how certain they are take over from those that do not; and then they are adapted anew."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(seed)
    time = pandas.date_range("2024-01-01", periods=600, freq="h")
    X = pandas.DataFrame({"time": time, "x": rng.normal(size=600)})
    y = 10 + 3 * np.sin(np.pi * np.asarray(time.hour) / 12) + X["x"].to_numpy() + 0.2 * rng.normal(size=600)
    reg = CMANPStreamRegressor().fit(X[:100], y[:100])
    mean, std = learned_on(reg, X[100:], y[100:], 100)
    covered = (np.abs(mean - y[100:]) < 1.645 * std).reshape(5, 100).mean(axis=1)
    assert covered.min() > 0.75


@pytest.mark.parametrize("chunks", [(100, 100), (200,), (300,), (100, 100, 100)])
def test_the_beginning_of_a_stream_is_not_too_sure(model, chunks):
    covered = []
    for seed in range(3):
        X, y = straight_line(600, seed)
        reg, start = CMANPStreamRegressor(checkpoint=model), 0
        for size in chunks:
            reg.partial_fit(X[start : start + size], y[start : start + size])
            start += size
        mean, std = reg.predict(X[400:], return_std=True)
        covered.append(np.abs(mean - y[400:]) < 1.645 * std)
    assert 0.8 < np.mean(covered) < 0.99


def test_targets_that_cannot_be_squared_are_refused(fitted, stream):
    X, _ = stream
    before = pickle.dumps(fitted)
    with pytest.raises(ValueError, match="divide it by a constant"):
        fitted.partial_fit(X[:2], [1e200, 0.0])
    with pytest.raises(ValueError, match="y contains NaN"):
        fitted.partial_fit(X[:2], np.array([None, 1.0], dtype=object))
    assert pickle.dumps(fitted) == before


# ------------------------------------------------------------------ streams whose truth is known

NOISE = 0.5


def truth(kind, n, rng):
    """Features, targets, and the mean and standard deviation that an oracle knows; all change after the first half."""
    X, t = rng.normal(size=(n, 3)), np.arange(n)
    later = t >= n // 2
    mean, std = X @ [2.0, -1.0, 0.0], np.full(n, NOISE)
    if kind == "level climbs":
        X[:, 2] = t / 24  # days: a row's own time has to be a feature
        mean = mean + 1000 * NOISE * t / n
    elif kind == "season returns":
        X[:, 2] = t % 200
        mean = mean + 5 * np.sin(np.pi * X[:, 2] / 100)
    elif kind == "sensor is replaced":
        mean = np.where(later, 40 + 3 * mean, mean)
    elif kind == "feature starts to move":
        X[:, 2] = np.where(later, 5 + X[:, 2], 1.0)
        mean = mean + 3 * np.where(later, X[:, 2], 1.0)
    elif kind == "noise triples":
        std = np.where(later, 3 * NOISE, NOISE)
    return X, rng.normal(mean, std), mean, std


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "excess"),
    [
        ("level climbs", 1.0),
        ("season returns", 1.0),
        ("sensor is replaced", 0.5),
        ("feature starts to move", 0.5),
        ("noise triples", 0.15),
        ("nothing", 0.1),
    ],
)
def test_streams_that_move(model, kind, excess):
    """Excess NLL over an oracle in the last 400 rows, and coverage of all but those that were there at first."""
    n, size = 1200, 100
    X, y, mean, std = truth(kind, n, np.random.default_rng(0))
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:300], y[:300])
    scores = prequential(reg, split_batches(X[300:], y[300:], batch_size=size))
    assert sum(scores[f"weight of {name}"] for name in NAMES) == pytest.approx(1)
    oracle = -norm.logpdf(y[-400:], mean[-400:], std[-400:]).mean()
    assert scores["nll"][-4:].mean() - oracle < excess
    assert scores["coverage"].mean() > 0.75
    assert scores["coverage"][-4:].mean() > 0.85


def test_a_sensor_that_has_died_stops_nothing():
    """Not even at a break, of whose rows none has its value; nor where a stream goes on elsewhere."""
    rng = np.random.default_rng(0)
    X, noise = rng.normal(size=(600, 2)), 0.1 * rng.normal(size=600)
    X[200:, 1] = np.nan
    y = X[:, 0] + noise + np.where(np.arange(600) < 300, 0, 50)
    reg = CMANPStreamRegressor().fit(X[:200], y[:200])
    for start in range(200, 600, 100):
        rows = slice(start, start + 100)
        if start == 500:
            assert reg.breaks_at_
            reg = CMANPStreamRegressor().resume(StreamState.from_bytes(reg.state_.to_bytes()))
            assert np.sqrt(np.mean(np.square(reg.predict(X[rows]) - y[rows]))) < 1
        reg.partial_fit(X[rows], y[rows])


@pytest.mark.parametrize("size", [20, 100])
def test_rare_errors_that_come_again_count(model, size):
    """Rain among dry hours: std is that of all errors, and intervals of 90 % stay those of most."""
    rng = np.random.default_rng(0)
    X, spikes = rng.normal(size=(2000, 2)), np.where(rng.random(2000) < 0.02, 50.0, 0.0)
    y = X @ [1.0, -1.0] + 0.1 * rng.normal(size=2000) + spikes
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:300], y[:300])
    mean, std = learned_on(reg, X[300:], y[300:], size)
    errors = y[300:] - mean
    assert std[-600:].mean() == pytest.approx(errors[-600:].std(), rel=0.4)
    low, high = reg.predict_interval(X[-600:])
    assert np.median(high - low) < 5


WAKING = {
    "large": lambda rng, n: rng.lognormal(8, 2, n),
    "a time": lambda rng, n: 1.7e9 + 60.0 * np.arange(n),
    "a counter": lambda rng, n: 10.0 * np.arange(n),
    "as large as before": lambda rng, n: rng.normal(size=n),
}


@pytest.mark.parametrize("jitter", [0.0, 1e-6])
@pytest.mark.parametrize("kind", WAKING)
def test_a_column_that_begins_to_vary_leads_nobody_astray(kind, jitter):
    """Nothing is known of what it means: it had one value, or all but one, in all rows."""
    rng = np.random.default_rng(0)
    n, wakes = 1700, 1200
    column = 5 + np.where(np.arange(n) < 300, jitter * rng.normal(size=n), 0.0)
    column[wakes:] = WAKING[kind](rng, n - wakes)
    B = rng.normal(size=(n, 2))
    y = B[:, 0] + np.sin(B[:, 1]) + 0.2 * rng.normal(size=n)
    X = np.column_stack([B, column])
    reg = CMANPStreamRegressor().fit(X[:300], y[:300])  # the shipped network, which has learned to correct means
    mean, std = learned_on(reg, X[300:], y[300:], 100)
    errors = (y[300:] - mean)[wakes - 300 :]
    assert np.sqrt(np.mean(errors**2)) < 0.7  # sd of targets is 1.2
    assert std.max() < 2 * np.ptp(y)


@pytest.mark.parametrize("seed", range(3))
def test_rare_targets_among_equal_ones_are_expected(model, seed):
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(1200) < 0.01, 1.0 + rng.poisson(4, 1200), 0.0)
    y[50] = 5.0  # known before
    X = rng.normal(size=(1200, 3))
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:300], y[:300])
    mean, std = learned_on(reg, X[300:], y[300:], 100)
    assert std.min() > 0.02 * y.std()
    assert -norm.logpdf(y[300:], mean, std).mean() < 10


def test_std_falls_again_when_rare_errors_have_ceased(model):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(5000, 2)), 0.2 * rng.normal(size=5000)
    y[:2000] += np.where(rng.random(2000) < 0.02, 30 * rng.exponential(size=2000), 0.0)
    reg = CMANPStreamRegressor(checkpoint=model).fit(X[:300], y[:300])
    _, std = learned_on(reg, X[300:], y[300:], 100)
    assert std[1600] > 2
    assert std[-1] < 0.5
