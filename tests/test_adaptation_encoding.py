import datetime

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from skcmanp.adaptation.columns import Columns
from skcmanp.adaptation.encoding import DATE_FEATURES, Encoding
from skcmanp.frames import Kind

ALL = (Kind.NUMBER, Kind.CATEGORY, Kind.DATE, Kind.UNKNOWN)


def mixed(n=200, seed=0):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(5, 3, n), rng.integers(0, 4, n), rng.uniform(0, 1e9, n), np.full(n, np.nan)])
    X[rng.uniform(size=X.shape) < 0.1] = np.nan
    return X


def test_numbers_are_as_columns_scale_them():
    X = mixed()[:, :1]
    found = Encoding.fit(X, None)
    np.testing.assert_array_equal(found(X), Columns.fit("x_bounds", X, None).scaled(X))
    np.testing.assert_allclose(np.nanmean(found(X)), 0, atol=1e-9)
    assert np.isnan(found(X)).sum() == np.isnan(X).sum() > 0


def test_categories_keep_their_identities_and_dates_are_many_numbers():
    X = mixed()
    found = Encoding.fit(X, None, ALL)
    encoded = found(X)
    assert encoded.shape == (200, 3 + DATE_FEATURES)
    assert found.source.tolist() == [0, 1, *[2] * DATE_FEATURES, 3]
    assert found.is_category.tolist() == [False, True, *[False] * (DATE_FEATURES + 1)]
    np.testing.assert_array_equal(encoded[:, 1], X[:, 1])
    missing = np.isnan(X[:, 2])
    assert np.isnan(encoded[missing, 2 : 2 + DATE_FEATURES]).all()
    np.testing.assert_allclose(np.nanstd(encoded[:, 2 : 2 + DATE_FEATURES], axis=0), 1)
    assert np.isnan(encoded[:, -1]).all()


@pytest.mark.parametrize("day", ["1970-01-01", "1969-12-31", "2024-02-29", "1900-03-01", "2100-12-31"])
def test_dates_tell_day_of_year_and_week_and_hour(day):
    date = datetime.datetime.fromisoformat(f"{day}T18:30:00+00:00")
    seconds = np.array([[date.timestamp()], [np.nan]])
    found = Encoding.fit(seconds, None, [Kind.DATE], standardize=False)(seconds)
    days = date.timestamp() / 86_400
    expected = [days, date.timetuple().tm_yday - 1, date.weekday(), 18.5]
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-9)
    assert np.isnan(found[1]).all()


def test_columns_that_are_missing_are_of_no_kind():
    """A chunk that goes on beyond the first rows may know more, which must not show."""
    X = mixed()
    X[:, 2] = np.nan
    known, unknown = (Encoding.fit(X, None, (*ALL[:2], kind, ALL[3])) for kind in (Kind.DATE, Kind.UNKNOWN))
    assert known.equals(unknown)
    X[:5, 2] = 1.0
    weight = np.r_[np.zeros(5), np.ones(195)]
    assert Encoding.fit(X, weight, ALL).equals(Encoding.fit(X[5:], None, ALL))
    assert not Encoding.fit(X, None, ALL).equals(unknown)


def test_sparse_rows_are_as_dense_ones():
    X = mixed()[:, :1].repeat(3, axis=1) * (np.random.default_rng(0).uniform(size=(200, 3)) < 0.2)
    X = np.nan_to_num(X)
    dense, sparse = Encoding.fit(X, None), Encoding.fit(csr_matrix(X), None)
    assert sparse.equals(dense)
    np.testing.assert_array_equal(sparse(csr_matrix(X)), dense(X))


def test_bounds_are_of_numbers():
    X = mixed()
    np.testing.assert_allclose(Encoding.fit(X[:, :1], None, bounds=(0, 12)).centre, 6)
    with pytest.raises(ValueError, match=r"x_bounds=.* 2 columns of categories or dates.*leave x_bounds=None"):
        Encoding.fit(X, None, ALL, bounds=(0, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kinds": np.array([1, 2, 3, 9])}, "kinds"),
        ({"kinds": np.array([1, 2, 3])}, "not of all numbers"),
        ({"scale": np.zeros(3 + DATE_FEATURES)}, "not positive"),
        ({"centre": np.zeros(3)}, "not of shape|not of all numbers"),
    ],
)
def test_what_rows_cannot_have_led_to_is_refused(change, message):
    arrays = Encoding.fit(mixed(), None, ALL).arrays()
    Encoding.from_arrays(arrays).check_possible(0)
    with pytest.raises(ValueError, match=message):
        Encoding.from_arrays({**arrays, **change}).check_possible(0)
