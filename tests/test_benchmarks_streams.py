"""The benchmarks on streams run at a small size, and their features do not know the target."""

import sys

import _report
import _streams
import growth
import numpy as np
import pandas as pd
import pytest
import streams

N_ROWS = 500
TARGETS = {
    "bike_sharing_hourly": ["casual", "registered", "cnt"],
    "metro_traffic_i94": ["traffic_volume"],
    "vic_elec": ["Demand"],
    "elec2": ["nswdemand", "class"],
    "nab_nyc_taxi": ["value"],
    "co2_mauna_loa_weekly": ["co2"],
    "sunspots_monthly": ["value"],
    "load_hourly": ["load"],
    "beijing_pollution": ["pm2.5"],
    "steel_energy": ["Usage_kWh"],
    "seoul_bikes": ["Rented Bike Count"],
    "air_quality_italy": ["CO(GT)"],
    "chicago_ridership": ["ridership"],
}


def make_frame(name):
    """Random values in the columns that the file has."""
    rng = np.random.default_rng(0)
    times = pd.Series(pd.date_range("2012-01-01 00:00", periods=N_ROWS, freq="1h"))
    numbers = {
        "bike_sharing_hourly": ["instant", "dteday", "season", "hr", "temp", "casual", "registered", "cnt"],
        "metro_traffic_i94": ["temp", "rain_1h", "snow_1h", "clouds_all", "traffic_volume"],
        "vic_elec": ["Demand", "Temperature"],
        "elec2": ["period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer", "class"],
        "nab_nyc_taxi": ["value"],
        "co2_mauna_loa_weekly": ["co2"],
        "sunspots_monthly": ["time", "value"],
        "load_hourly": ["load"],
        "beijing_pollution": ["pm2.5", "DEWP", "TEMP", "PRES", "Iws", "Is", "Ir"],
        "steel_energy": ["Usage_kWh"],
        "seoul_bikes": ["Rented Bike Count", "Temperature", "Humidity", "Snowfall"],
        "air_quality_italy": ["CO(GT)", "PT08.S1(CO)", "C6H6(GT)", "T", "RH", "AH"],
        "chicago_ridership": [
            *("ridership", "temp", "temp_change", "humidity", "pressure", "wind", "percip"),
            *("weather_rain", "weather_snow", "Cubs_Home", "Cubs_Away", "Austin"),
        ],
    }
    frame = pd.DataFrame(rng.uniform(1, 2, size=(N_ROWS, len(numbers[name]))), columns=numbers[name])
    if name == "metro_traffic_i94":
        holiday = np.where(np.arange(N_ROWS) == 48, "New Years Day", "None")
        weather = rng.choice(["Clear", "Rain"], N_ROWS)
        frame = frame.assign(date_time=times, holiday=holiday, weather_main=weather)
        frame.loc[5, ["temp", "rain_1h"]] = [0.0, 9831.0]
        frame = pd.concat([frame, frame.tail(1)], ignore_index=True)
    if name == "beijing_pollution":
        parts = {part: getattr(times.dt, part) for part in ("year", "month", "day", "hour")}
        frame = frame.assign(**parts, cbwd=rng.choice(["NW", "SE"], N_ROWS))
    if name == "steel_energy":
        week = np.where(times.dt.day_of_week < 5, "Weekday", "Weekend")
        frame = frame.assign(date=times.dt.strftime("%d/%m/%Y %H:%M"), WeekStatus=week, Load_Type="Light_Load")
    if name == "seoul_bikes":
        frame = frame.assign(Date=times.dt.strftime("%d/%m/%Y"), Hour=times.dt.hour)
        frame = frame.assign(**{"Holiday": "No Holiday", "Functioning Day": "Yes"})
    if name == "air_quality_italy":
        frame = frame.assign(Date=times.dt.strftime("%m/%d/%Y"), Time=times.dt.strftime("%H:%M:%S"))
        frame.loc[5, "CO(GT)"] = -200.0
    times_of = {
        "vic_elec": "Time",
        "nab_nyc_taxi": "timestamp",
        "co2_mauna_loa_weekly": "date",
        "load_hourly": "Datetime",
        "chicago_ridership": "date",
    }
    if name in times_of:
        frame[times_of[name]] = times
    if name == "vic_elec":
        frame["Holiday"] = np.arange(N_ROWS) < 48
    if name == "co2_mauna_loa_weekly":
        frame.loc[3, "co2"] = np.nan
    return frame


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the generated streams are; results go there, too."""
    for module in (_report, streams, growth):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    for name in _streams.STREAMS:
        make_frame(name).to_parquet(tmp_path / f"{name}.parquet")
    return tmp_path


@pytest.mark.parametrize("name", _streams.STREAMS)
def test_features_are_known_before_the_target(name):
    frame = make_frame(name)
    later = frame.copy()
    later.loc[300:, TARGETS[name]] += 1
    (X, y), (X_later, y_later) = (_streams.STREAMS[name](f) for f in (frame, later))
    pd.testing.assert_frame_equal(X.loc[:300], X_later.loc[:300])
    assert (y.loc[300:] != y_later.loc[300:]).all()
    assert set(_streams.PERIODS) == set(_streams.STREAMS)
    assert not set(TARGETS[name]) & set(X.columns)


def test_impossible_weather_repeated_hours_and_the_holiday(folder):
    X, y = _streams.load(folder, "metro_traffic_i94")
    assert X.shape == (N_ROWS, 9)
    assert y.shape == (N_ROWS,)
    np.testing.assert_array_equal(X[5, :2], X[4, :2])
    np.testing.assert_array_equal(np.flatnonzero(X[:, -1]), np.arange(48, 72))


class Constant:
    """Predicts the mean of what it learned, and notes what that was."""

    def __init__(self, std):
        self.seen, self.std = [], std

    def partial_fit(self, X, y):
        self.seen += list(y)

    def predict(self, X):
        mean = np.full(len(X), np.mean(self.seen))
        return mean, None if self.std is None else np.full(len(X), self.std)


def test_every_row_is_predicted_from_the_chunks_before_it():
    y = np.random.default_rng(0).normal(size=95)
    model = Constant(2.0)
    scores = streams.prequential(model, y[:, None], y, first=20, chunk=10)
    error = np.concatenate([y[i : i + 10] - y[:i].mean() for i in range(20, 95, 10)])
    np.testing.assert_allclose(scores.squared, error**2)
    np.testing.assert_allclose(scores.nll, error**2 / 8 + np.log(2) + 0.5 * np.log(2 * np.pi))
    assert model.seen == list(y)
    assert streams.total(scores, 10)["nll"] == pytest.approx(scores.nll.mean())
    curve = streams.running(scores, 20, 10)
    assert [curve[0]["rows_seen"], curve[-1]["rows_seen"]] == [30, 95]
    assert curve[-1]["rmse"] == streams.total(scores, 10)["rmse"]


def test_a_model_without_std_gets_that_of_its_errors():
    y = np.random.default_rng(0).normal(scale=3.0, size=3000)
    own, none = (streams.prequential(Constant(std), y[:, None], y, 200, 100) for std in (3.0, None))
    assert none.nll.mean() == pytest.approx(own.nll.mean(), abs=0.01)
    assert none.covered.mean() == pytest.approx(0.9, abs=0.02)


def test_streams(folder, monkeypatch):
    models = [name for name in streams.MODELS if not name.startswith(("river", "lightgbm", "cmanp stream"))]
    command = ["streams.py", "--streams", str(folder), "--files", "bike_sharing_hourly", "vic_elec"]
    monkeypatch.setattr(sys, "argv", [*command, "--first", "60", "--chunk", "40", "--rows", "200", "--models", *models])
    streams.main()
    table = pd.read_csv(folder / "streams.csv")
    assert list(table["model"]) == models * 2
    assert (table["rows"] == 140).all()
    assert np.isfinite(table[["rmse", "nll", "nll_se"]]).all(axis=None)
    curve = pd.read_csv(folder / "streams_curve.csv")
    assert set(curve["rows_seen"]) >= {100, 200}
    assert (folder / "streams.png").exists()


@pytest.mark.parametrize("name", [name for name in streams.MODELS if name.startswith(("river", "lightgbm"))])
@pytest.mark.filterwarnings("default")  # of another package
def test_other_packages(name):
    pytest.importorskip(name.split()[0].rstrip(","))
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(600, 2))
    y = 1e3 + 50 * X[:, 0]
    model = streams.MODELS[name](streams.Stream(["a", "b"], 24))
    scores = streams.prequential(model, X, y, 100, 50)
    assert scores.squared[-100:].mean() ** 0.5 < 0.5 * y.std()


@pytest.mark.slow
def test_growth(folder, monkeypatch):
    options = "--sizes 10 320 --seeds 2 --large-seeds 1 --test 50 --gp-rows 10"
    monkeypatch.setattr(sys, "argv", ["growth.py", "--streams", str(folder), *options.split()])
    growth.main()
    table = pd.read_csv(folder / "growth.csv")
    assert set(table["data"]) == {"friedman1", "metro_traffic_i94"}
    assert (table.groupby("data").size() == 6).all()
    assert np.isfinite(table[["ll", "ll_se", "rmse", "seconds", "bytes"]]).all(axis=None)
    assert (folder / "growth.png").exists()


def test_reading_goes_on_from_what_was_frozen():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), rng.normal(size=60)
    small = [result[2] for result in growth.read((X, y), (X, y), [10, 25, 50], 40, "")]
    reference = growth.CMANPRegressor().fit(X[:40], y[:40]).partial_fit(X[40:50], y[40:50])
    np.testing.assert_allclose(small[-1][:3], growth.score(*reference.predict(X, return_std=True), y))
    assert small[0][-1] <= small[1][-1] <= small[2][-1] == reference.context_.nbytes


def test_earlier_values():
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10.0)
    learned, feature = (streams.PEERS["a period before"](streams.Stream(c, 3)) for c in (["a", "b"], ["a", "lag_3"]))
    for model in (learned, feature):
        model.partial_fit(X, y)
    np.testing.assert_array_equal(learned.predict(X[:5])[0], [7, 8, 9, 7, 8])
    np.testing.assert_array_equal(feature.predict(X[:5])[0], X[:5, 1])
