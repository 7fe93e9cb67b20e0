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


STREAMS: dict[str, Callable[[pd.DataFrame], Table]] = {
    "bike_sharing_hourly": bike,
    "metro_traffic_i94": metro,
    "vic_elec": vic_elec,
    "elec2": elec2,
    "nab_nyc_taxi": nyc_taxi,
    "co2_mauna_loa_weekly": co2,
    "sunspots_monthly": sunspots,
}


def load(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and target of the rows that have all of them, float64."""
    X, y = STREAMS[name](pd.read_parquet(folder / f"{name}.parquet"))
    known = X.notna().all(axis=1) & y.notna()
    return X[known].to_numpy(np.float64), y[known].to_numpy(np.float64)
