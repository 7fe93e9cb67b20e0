import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skcmanp.frames import Kind, is_frame, read_frame, resolved

DAY = 86_400.0
NAN = np.nan
DAYS = [datetime.datetime(1970, 1, 2, 12), None, datetime.datetime(2000, 1, 1)]
SECONDS = [1.5 * DAY, NAN, 946_684_800.0]


def read(column, categorical=None):
    """One column, and what it is."""
    values, kinds = read_frame(pd.DataFrame({"a": column}), categorical)
    return values[:, 0], kinds[0]


def assert_reads(column, values, kind):
    found, of = read(column)
    np.testing.assert_array_equal(found, values)
    assert found.dtype == np.float64
    assert of is kind


# ------------------------------------------------------------------ what columns may hold


@pytest.mark.parametrize(
    "dtype",
    ["Int64", "UInt8", "Float32", "float32", "object", "int64[pyarrow]", "double[pyarrow]", "Sparse[float64, nan]"],
)
def test_numbers_are_what_they_are_and_missing_ones_nan(dtype):
    missing = NAN if dtype.startswith(("float32", "Sparse")) else None
    assert_reads(pd.Series([3, missing, 5], dtype=dtype), [3, NAN, 5], Kind.NUMBER)


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float16"])
def test_numbers_of_any_width(dtype):
    assert_reads(np.array([3, 0, 5], dtype=dtype), [3, 0, 5], Kind.NUMBER)


@pytest.mark.parametrize("dtype", ["boolean", "object", "bool[pyarrow]"])
def test_truth_values_are_zero_and_one(dtype):
    assert_reads(pd.Series([True, None, False], dtype=dtype), [1, NAN, 0], Kind.NUMBER)
    assert_reads([True, False], [1, 0], Kind.NUMBER)


def test_objects_that_are_numbers_are_numbers():
    assert_reads(pd.Series([decimal.Decimal("1.5"), pd.NA, np.int8(2)], dtype=object), [1.5, NAN, 2], Kind.NUMBER)


@pytest.mark.parametrize("dtype", ["object", "str", "string", "category", "string[pyarrow]"])
def test_text_and_categories_have_identities(dtype):
    values, kind = read(pd.Series(["Oslo", None, "Rome", "Oslo", ""], dtype=dtype))
    assert kind is Kind.CATEGORY
    assert np.isnan(values).tolist() == [False, True, False, False, False]
    assert values[0] == values[3]
    assert len(set(values[[0, 2, 4]])) == 3
    np.testing.assert_array_equal(values, read(["Oslo", None, "Rome", "Oslo", ""])[0])  # whatever the dtype
    np.testing.assert_array_equal(values[2:3], read(["Rome"])[0])  # and the other rows


def test_categories_of_numbers_are_these_numbers():
    values, kind = read(pd.Categorical([3, 10, None, 3], categories=[10, 3, 99]))
    assert kind is Kind.CATEGORY
    np.testing.assert_array_equal(values, [3, 10, NAN, 3])
    np.testing.assert_array_equal(values, read([3, 10, NAN, 3], [True])[0])
    assert read([3, 10, NAN, 3], [True])[1] is Kind.CATEGORY
    assert_reads(pd.Categorical([-0.0, 0.0]), [0, 0], Kind.CATEGORY)
    assert not np.signbit(read(pd.Categorical([-0.0]))[0]).any()


def test_intervals_and_other_values_are_told_apart_by_their_text():
    values, kind = read(pd.cut([1, 2, 8, 9], 2))
    assert kind is Kind.CATEGORY
    assert values[0] == values[1] != values[2] == values[3]
    mixed = read(pd.Series([1, "1", b"1", (1,)], dtype=object))[0]
    assert len(set(mixed)) == 3  # bytes are text


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_dates_are_seconds_of_any_unit_and_zone(unit, zone):
    dates = pd.Series(pd.to_datetime(DAYS)).dt.as_unit(unit)
    if zone is not None:
        dates = dates.dt.tz_localize("UTC").dt.tz_convert(zone)
    assert_reads(dates, SECONDS, Kind.DATE)


def test_arrow_dates_may_be_missing_in_pandas():
    days = pd.array([None, datetime.date(1970, 1, 3)], dtype="date32[pyarrow]")
    values, kinds = read_frame(pd.DataFrame({"when": days}))
    assert kinds == (Kind.DATE,)
    np.testing.assert_array_equal(values[:, 0], [np.nan, 2 * 86400.0])


def test_dates_of_other_types():
    assert_reads(pd.Series(DAYS, dtype=object), SECONDS, Kind.DATE)
    assert_reads(pd.Series(pd.to_datetime(DAYS).to_period("h")), SECONDS, Kind.DATE)
    assert_reads(pd.Series(pd.to_datetime(DAYS), dtype="timestamp[us][pyarrow]"), SECONDS, Kind.DATE)
    assert_reads([datetime.date(1970, 1, 3), None], [2 * DAY, NAN], Kind.DATE)
    zone = datetime.timezone(datetime.timedelta(hours=2))
    assert_reads([datetime.datetime(1970, 1, 1, 3, tzinfo=zone)], [3600], Kind.DATE)


def test_spans_of_time_are_seconds():
    span = datetime.timedelta(minutes=2)
    assert_reads(pd.to_timedelta([span, None]), [120, NAN], Kind.NUMBER)
    assert_reads(pd.Series([span, None], dtype=object), [120, NAN], Kind.NUMBER)
    assert_reads(pd.Series([span, None], dtype="duration[ms][pyarrow]"), [120, NAN], Kind.NUMBER)
    assert_reads([datetime.time(1, 0, 1, 500_000), None], [3601.5, NAN], Kind.NUMBER)


@pytest.mark.parametrize("missing", [None, NAN, pd.NA, pd.NaT])
def test_nothing_is_known_of_columns_that_are_missing(missing):
    assert_reads(pd.Series([missing] * 2, dtype=object), [NAN, NAN], Kind.UNKNOWN)


@pytest.mark.parametrize("dtype", ["category", "datetime64[ns]", "Int64", "str"])
def test_of_any_dtype(dtype):
    assert_reads(pd.Series([None, None], dtype=dtype), [NAN, NAN], Kind.UNKNOWN)


# ------------------------------------------------------------------ tables of other libraries

WHO = ["Ann", None, "Bo"]
MIXED = {"n": [1.5, None, 3.0], "who": WHO, "when": DAYS, "flag": [True, None, False]}


def test_all_libraries_mean_the_same():
    expected = read_frame(pd.DataFrame(MIXED))
    assert [kind.name for kind in expected.kinds] == ["NUMBER", "CATEGORY", "DATE", "NUMBER"]
    arrow = pa.table(MIXED)
    encoded = arrow.set_column(1, "who", arrow["who"].dictionary_encode())
    frames = [
        pl.DataFrame(MIXED),
        pl.DataFrame(MIXED).with_columns(pl.col("who").cast(pl.Categorical)),
        arrow,
        encoded,
        arrow.to_batches()[0],
        arrow.to_pandas(types_mapper=pd.ArrowDtype),
        np.array(list(zip(*MIXED.values(), strict=True)), dtype=object),
    ]
    for frame in frames:
        assert is_frame(frame)
        values, kinds = read_frame(frame)
        np.testing.assert_array_equal(values, expected.values)
        assert kinds == expected.kinds


def test_further_types_of_polars_and_arrow():
    dates = {"d": [datetime.date(1970, 1, 3), None], "t": [datetime.time(1), None], "s": [datetime.timedelta(1), None]}
    expected = [[2 * DAY, 3600, DAY], [NAN] * 3]
    for frame in (pl.DataFrame(dates), pa.table(dates), pd.DataFrame(dates, dtype=object)):
        values, kinds = read_frame(frame)
        np.testing.assert_array_equal(values, expected)
        assert kinds == (Kind.DATE, Kind.NUMBER, Kind.NUMBER)
    enum = pl.DataFrame({"e": pl.Series(["b", "a"], dtype=pl.Enum(["a", "b"]))})
    np.testing.assert_array_equal(read_frame(enum).values[:, 0], read(["b", "a"])[0])
    price = pa.table({"p": pa.array([decimal.Decimal("1.25"), None])})
    np.testing.assert_array_equal(read_frame(price).values, [[1.25], [NAN]])


@pytest.mark.parametrize("dtype", ["U", "S", "datetime64[D]", "timedelta64[h]"])
def test_arrays_of_other_things_than_numbers_are_tables(dtype):
    X = np.array([[0], [1]]).astype(dtype)
    assert is_frame(X)
    values, (kind,) = read_frame(X)
    unit = {"U": None, "S": None, "datetime64[D]": DAY, "timedelta64[h]": 3600.0}[dtype]
    if unit is None:
        np.testing.assert_array_equal(values[:, 0], read(["0", "1"])[0])
    else:
        np.testing.assert_array_equal(values[:, 0], [0, unit])
    assert kind is {"U": Kind.CATEGORY, "S": Kind.CATEGORY, "datetime64[D]": Kind.DATE}.get(dtype, Kind.NUMBER)


def test_plain_numbers_are_no_tables():
    assert not is_frame(np.ones((3, 2)))
    assert not is_frame([[1.0]])
    assert not is_frame(pd.Series([1.0]))


def test_columns_of_one_name_are_all_read():
    frame = pd.DataFrame([[1, "a", 2]], columns=["x", "x", "x"])
    values, kinds = read_frame(frame)
    assert values[0, [0, 2]].tolist() == [1, 2]
    assert kinds == (Kind.NUMBER, Kind.CATEGORY, Kind.NUMBER)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        ([[1, 2], [3]], TypeError, "column 'a' that holds a list.*leave the column out"),
        ([{"foo": 1}, 3], TypeError, "column 'a' that holds a dict.*must be a string"),
        ([1.0, np.inf], ValueError, "contains infinity, in column 'a'.*as NaN"),
        (pd.Series([1.0, np.inf], dtype=object), ValueError, "contains infinity, in column 'a'"),
        (pd.Series([10**400], dtype=object), TypeError, "column 'a' that holds"),
    ],
)
def test_what_is_no_column_is_named(column, error, message):
    with pytest.raises(error, match=message):
        read(column)


def test_lists_of_other_libraries_are_named():
    for frame in (pl.DataFrame({"a": [[1, 2], [3]]}), pa.table({"a": [[1, 2], [3]]})):
        with pytest.raises(TypeError, match="column 'a'"):
            read_frame(frame)


def test_further_rows_may_say_more_but_not_other_things():
    number, category, date, unknown = Kind.NUMBER, Kind.CATEGORY, Kind.DATE, Kind.UNKNOWN
    assert resolved("abc", (unknown, date, category), (date, unknown, number)) == (date, date, category)
    for before, now in ((number, category), (number, date), (date, number), (category, date)):
        with pytest.raises(ValueError, match=r"column 'b' of kind .*, which was of kind .* `categorical_features`"):
            resolved("ab", (number, before), (number, now))
