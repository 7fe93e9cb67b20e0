"""Real streams as features and a target, in order of time.

Features are known before the target of their row: covariates, the calendar, or earlier values.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

Table = tuple[pd.DataFrame, pd.Series]


def hours(time: pd.Series) -> pd.Series:
    """Time of day."""
    return time.dt.hour + time.dt.minute / 60


def calendar(time: pd.Series) -> dict[str, pd.Series]:
    """Hour, weekday and day of the year."""
    return {"hour": hours(time), "weekday": time.dt.day_of_week, "day": time.dt.day_of_year}


def lags(values: pd.Series, *steps: int) -> pd.DataFrame:
    """Values so many rows before; missing in the first rows."""
    return pd.DataFrame({f"lag_{step}": values.shift(step) for step in steps})


def bike(frame: pd.DataFrame) -> Table:
    """Rented bicycles in an hour, from calendar and weather."""
    return frame.drop(columns=["instant", "dteday", "casual", "registered", "cnt"]), frame["cnt"]


def metro(frame: pd.DataFrame) -> Table:
    """Vehicles in an hour, from calendar and weather.

    An hour that the file has several times, for several kinds of weather, counts once. Impossible
    weather (0 K; 10 m of rain) is that of the hour before. The file names a holiday in its first hour.
    """
    holiday = (frame["holiday"] != "None").groupby(frame["date_time"].dt.date).transform("any")
    frame = frame.assign(holiday=holiday).drop_duplicates("date_time")
    time = frame["date_time"]
    features = {
        "temp": frame["temp"].where(frame["temp"] > 0).ffill(),
        "rain_1h": frame["rain_1h"].where(frame["rain_1h"] < 1000).ffill(),
        "snow_1h": frame["snow_1h"],
        "clouds_all": frame["clouds_all"],
        "weather_main": pd.factorize(frame["weather_main"])[0],
        "hour": time.dt.hour,
        "weekday": time.dt.day_of_week,
        "month": time.dt.month,
        "holiday": frame["holiday"],
    }
    return pd.DataFrame(features), frame["traffic_volume"]


def vic_elec(frame: pd.DataFrame) -> Table:
    """Demand for electricity in a half hour, from calendar and temperature."""
    time = pd.to_datetime(frame["Time"], utc=True).dt.tz_convert("Australia/Melbourne")
    features = {
        "temperature": frame["Temperature"],
        "hour": hours(time),
        "weekday": time.dt.day_of_week,
        "day": time.dt.day_of_year,
        "holiday": frame["Holiday"],
    }
    return pd.DataFrame(features), frame["Demand"]


def elec2(frame: pd.DataFrame) -> Table:
    """Demand in New South Wales, from the time of day and the rest of the market a half hour before.

    Not the price: that is flat with rare spikes, and a handful of rows would decide its scores.
    """
    market = frame[["nswprice", "vicprice", "vicdemand", "transfer"]].shift(1)
    return market.assign(period=frame["period"]), frame["nswdemand"]


def nyc_taxi(frame: pd.DataFrame) -> Table:
    """Passengers in a half hour, from calendar and earlier counts."""
    time, value = frame["timestamp"], frame["value"]
    return lags(value, 1, 2, 48, 336).assign(hour=hours(time), weekday=time.dt.day_of_week), value


def co2(frame: pd.DataFrame) -> Table:
    """Concentration in a week, from the month and earlier weeks."""
    frame = frame.dropna()
    return lags(frame["co2"], 1, 2, 52).assign(month=frame["date"].dt.month), frame["co2"]


def sunspots(frame: pd.DataFrame) -> Table:
    """Number in a month, from earlier months."""
    return lags(frame["value"], 1, 2, 3, 12, 132), frame["value"]


def load_hourly(frame: pd.DataFrame) -> Table:
    """Load of a utility in an hour, from calendar, a trend, and the load one, two and seven days before."""
    time, load = frame["Datetime"], frame["load"]
    return lags(load, 24, 48, 168).assign(**calendar(time), trend=np.arange(len(frame)) / 1e3), load


def beijing(frame: pd.DataFrame) -> Table:
    """Logarithm of fine dust in an hour, from weather, calendar, and the dust one hour and a day before."""
    dust = np.log1p(frame["pm2.5"])
    time = pd.to_datetime(frame[["year", "month", "day", "hour"]])
    weather = frame[["DEWP", "TEMP", "PRES", "Iws", "Is", "Ir"]]
    wind = pd.get_dummies(frame["cbwd"])
    return pd.concat([lags(dust.ffill(), 1, 24), weather, wind], axis=1).assign(**calendar(time)), dust


def steel(frame: pd.DataFrame) -> Table:
    """Energy in a quarter of an hour, from calendar, kind of load, and the energy one and two rows and a day before.

    Not from carbon dioxide, reactive power and power factors, which are measured together with it.
    """
    time = pd.to_datetime(frame["date"], format="%d/%m/%Y %H:%M")
    load = pd.get_dummies(frame["Load_Type"])
    energy = frame["Usage_kWh"]
    features = pd.concat([lags(energy, 1, 2, 96), load], axis=1)
    return features.assign(**calendar(time), weekend=frame["WeekStatus"] == "Weekend"), energy


def seoul(frame: pd.DataFrame) -> Table:
    """Rented bicycles in an hour, a day ahead: from weather, calendar, and those one and seven days before."""
    time = pd.to_datetime(frame["Date"], format="%d/%m/%Y") + pd.to_timedelta(frame["Hour"], unit="h")
    bikes = frame["Rented Bike Count"]
    weather = frame.loc[:, "Temperature":"Snowfall"]
    features = pd.concat([lags(bikes, 24, 168), weather], axis=1).assign(**calendar(time))
    return features.assign(holiday=frame["Holiday"] != "No Holiday", open=frame["Functioning Day"] == "Yes"), bikes


def air_italy(frame: pd.DataFrame) -> Table:
    """Carbon monoxide in an hour as the analyser has it, from cheap sensors, weather, calendar, and the day before.

    What the analyser says of other gases is not known before.
    """
    numbers = frame.drop(columns=["Date", "Time"]).where(lambda values: values != -200)
    time = pd.to_datetime(frame["Date"] + " " + frame["Time"], format="%m/%d/%Y %H:%M:%S")
    features = numbers.filter(regex="^PT08|^T$|^RH$|^AH$")
    carbon = numbers["CO(GT)"]
    return pd.concat([features, lags(carbon.ffill(), 1, 24)], axis=1).assign(**calendar(time)), carbon


def chicago(frame: pd.DataFrame) -> Table:
    """Passengers of a station on a day, from calendar, weather, games, and the passengers one and two weeks before.

    Those of other stations are left out.
    """
    time = pd.to_datetime(frame["date"])
    riders = frame["ridership"]
    weather = frame[["temp", "temp_change", "humidity", "pressure", "wind", "percip", "weather_rain", "weather_snow"]]
    games = frame.filter(regex="_Home$")
    features = pd.concat([lags(riders, 7, 14), weather, games], axis=1).assign(**calendar(time)).drop(columns="hour")
    return features.assign(sunday=time.dt.day_of_week == 6, weekend=time.dt.day_of_week >= 5), riders


STREAMS: dict[str, Callable[[pd.DataFrame], Table]] = {
    "bike_sharing_hourly": bike,
    "metro_traffic_i94": metro,
    "vic_elec": vic_elec,
    "elec2": elec2,
    "nab_nyc_taxi": nyc_taxi,
    "co2_mauna_loa_weekly": co2,
    "sunspots_monthly": sunspots,
    "load_hourly": load_hourly,
    "beijing_pollution": beijing,
    "steel_energy": steel,
    "seoul_bikes": seoul,
    "air_quality_italy": air_italy,
    "chicago_ridership": chicago,
}


# Rows after which the same time of day, of the week or of the year comes again, or the same part of a cycle.
PERIODS = {
    "bike_sharing_hourly": 24,
    "metro_traffic_i94": 24,
    "vic_elec": 48,
    "elec2": 48,
    "nab_nyc_taxi": 48,
    "co2_mauna_loa_weekly": 52,
    "sunspots_monthly": 132,
    "load_hourly": 24,
    "beijing_pollution": 24,
    "steel_energy": 96,
    "seoul_bikes": 24,
    "air_quality_italy": 24,
    "chicago_ridership": 7,
}


def columns(folder: Path, name: str) -> list[str]:
    """Names of the features."""
    return list(STREAMS[name](pd.read_parquet(folder / f"{name}.parquet"))[0].columns)


def load(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and target of the rows that have all of them, float64."""
    X, y = STREAMS[name](pd.read_parquet(folder / f"{name}.parquet"))
    known = X.notna().all(axis=1) & y.notna()
    return X[known].to_numpy(np.float64), y[known].to_numpy(np.float64)
