"""Tables as people have them, from end to end: columns of all kinds, of which some are missing."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from conftest import assert_same_predictions
from scipy.sparse import csr_array, csr_matrix

from skcmanp import CMANPRegressor, ContextState
from skcmanp.adaptation.categories import Categories
from skcmanp.adaptation.trees import Trees

CITIES = np.array(["Oslo", "Rome", "Lima", "Kyiv", "Pune"])


def houses(n=260, seed=0, wide=36):
    """Prices, by everything that a table may hold, 43 columns by default; some values are missing."""
    rng = np.random.default_rng(seed)
    city, size = rng.integers(0, 5, n), rng.gamma(4, 25, n)
    day = rng.integers(0, 2000, n)
    X = pd.DataFrame(rng.normal(size=(n, wide)), columns=[f"n{j}" for j in range(wide)])
    X["city"] = CITIES[city]
    X["size"] = np.where(rng.uniform(size=n) < 0.1, np.nan, size)
    X["sold"] = pd.Timestamp("2019-01-01") + pd.to_timedelta(day, unit="D")
    X["kind"] = pd.Categorical.from_codes(rng.integers(0, 3, n), ["flat", "house", "hut"])
    X["garden"] = rng.uniform(size=n) < 0.5
    X["rooms"] = pd.Series(rng.integers(1, 6, n), dtype="Int64")
    X["street"] = rng.integers(0, 90, n).astype(str)
    for name, share in (("city", 0.05), ("sold", 0.1), ("kind", 0.3), ("rooms", 0.1)):
        X.loc[rng.uniform(size=n) < share, name] = None
    y = np.array([3.0, 2.0, 0.0, -1.0, 1.0])[city] + size / 50 + day / 500 + X["n0"] + 0.3 * rng.normal(size=n)
    return X, np.exp(y.to_numpy() / 3)


N_FIRST = 220


@pytest.fixture(scope="module")
def fitted():
    X, y = houses()
    return CMANPRegressor().fit(X[:N_FIRST], y[:N_FIRST])


def test_columns_of_all_kinds_are_learned(fitted):
    X, y = houses(500, seed=1)
    mean, std = fitted.predict(X, return_std=True)
    assert np.square(mean - y).mean() < 0.6 * y.var()
    low, high = fitted.predict(X, interval=0.9).T
    assert 0.8 < ((low < y) & (y < high)).mean() < 0.99
    assert fitted.n_features_in_ == 43
    assert fitted.feature_names_in_[-1] == "street"
    assert [kind.name for kind in fitted.context_.kinds[-7:]] == [
        *("CATEGORY", "NUMBER", "DATE", "CATEGORY", "NUMBER", "NUMBER", "CATEGORY")
    ]
    assert len({*map(type, fitted.context_.adaptation.inputs.pieces())} & {Categories, Trees}) >= 1
    assert np.isfinite(std).all()


def test_densities_are_those_of_the_predictions(fitted):
    X, y = houses(12, seed=2)
    assert fitted.log_prob(X, y).shape == (12,)
    one = X[:1]
    grid = np.sort(np.r_[fitted.predict(one, quantiles=np.linspace(1e-4, 1 - 1e-4, 600))[0]])
    density = np.exp(fitted.log_prob(pd.concat([one] * len(grid)), grid))
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=0.02)
    assert np.isfinite(fitted.log_prob(X, y, joint=True))


def test_draws_have_the_moments_of_the_predictions(fitted):
    X = houses(6, seed=2)[0]
    mean, std = fitted.predict(X, return_std=True)
    drawn = fitted.sample_y(X, 2000, random_state=0)
    assert drawn.shape == (6, 2000)
    np.testing.assert_allclose(drawn.mean(1), mean, atol=0.15 * std.max())
    np.testing.assert_allclose(drawn.std(1), std, rtol=0.2)
    joint_mean, covariance = fitted.predict(X, return_cov=True)
    np.testing.assert_allclose(joint_mean, mean, rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(covariance.diagonal()), std, rtol=1e-6)


def test_the_order_of_rows_does_not_matter(fitted):
    X, y = houses()
    order = np.random.default_rng(0).permutation(N_FIRST)
    again = CMANPRegressor(chunk_size=50).fit(X.iloc[order], y[order])
    assert_same_predictions(again, fitted, X)


def test_chunks_merging_and_forgetting_are_exact(fitted):
    X, y = houses()
    rest = slice(N_FIRST, None)
    whole = copy.deepcopy(fitted).partial_fit(X[rest], y[rest])
    pieces, empty = copy.deepcopy(fitted), copy.deepcopy(fitted).decay(0)
    for start in range(N_FIRST, 260, 7):
        pieces.partial_fit(X[start : start + 7], y[start : start + 7])
    assert_same_predictions(pieces, whole, X)
    merged = copy.deepcopy(empty).partial_fit(X[rest], y[rest]).merge(fitted)
    assert_same_predictions(merged, whole, X)
    reread = copy.deepcopy(empty).partial_fit(X[:N_FIRST], y[:N_FIRST])
    assert_same_predictions(reread, fitted, X)
    assert_same_predictions(pieces.forget(X[rest], y[rest]), fitted, X, rtol=1e-6)


def test_weights_are_repetitions(fitted):
    X, y = houses()
    weight = np.random.default_rng(0).integers(0, 3, 260)
    again = np.repeat(np.arange(260), weight)
    empty = copy.deepcopy(fitted).decay(0)
    weighted = copy.deepcopy(empty).partial_fit(X, y, weight)
    assert_same_predictions(weighted, empty.partial_fit(X.iloc[again], y[again]), X)


def test_pickles_and_bytes_predict_the_same(fitted):
    X, _ = houses(30, seed=3)
    expected = fitted.predict(X, return_std=True)
    state = ContextState.from_bytes(fitted.context_.to_bytes())
    for reg in (pickle.loads(pickle.dumps(fitted)), CMANPRegressor().merge(state)):
        np.testing.assert_array_equal(reg.predict(X, return_std=True), expected)
    assert state.kinds == fitted.context_.kinds


def test_rows_alone_and_in_company_are_predicted_alike(fitted):
    X, _ = houses(30, seed=3)
    mean = fitted.predict(X)
    for i in (0, 7, 29):
        np.testing.assert_allclose(fitted.predict(X[i : i + 1])[0], mean[i], rtol=1e-9)


@pytest.mark.parametrize("chunk", [1, 13, 60])
def test_a_stream_means_the_same_in_any_chunks(chunk):
    """From the first row on; what columns are is known only as their values come."""
    X, y = houses(60, wide=2)
    X.loc[:40, "sold"] = pd.NaT
    X.loc[:20, ["city", "size", "n0"]] = None
    reg = CMANPRegressor()
    for start in range(0, 60, chunk):
        reg.partial_fit(X[start : start + chunk], y[start : start + chunk])
    assert_same_predictions(reg, CMANPRegressor().partial_fit(X, y), X)


def test_what_was_never_there_is_less_certain(fitted):
    X, _ = houses(60, seed=3)
    X["city"] = "Rome"
    X.loc[X["size"].isna(), "size"] = 100.0
    low, high = np.log(fitted.predict(X, quantiles=[0.1, 0.9])).T
    std = high - low
    for column, value in (("city", "Atlantis"), ("n0", np.nan)):
        low, high = fitted.predict(X.assign(**{column: value}), quantiles=[0.1, 0.9]).T
        wider = np.log(high) - np.log(low)
        assert np.median(wider / std) > 1.03, column
        assert np.isfinite(wider).all()
    gone = X.astype(object)
    gone[:] = None
    assert np.isfinite(fitted.predict(gone, return_std=True)).all()


def test_new_levels_are_learned_from(fitted):
    X, y = houses(40, seed=3)
    X["city"], X["n1"] = "Atlantis", np.nan
    reg = copy.deepcopy(fitted).partial_fit(X, y)
    assert reg.n_samples_seen_ == N_FIRST + 40
    assert np.isfinite(reg.predict(X)).all()


def test_columns_must_be_what_they_were(fitted):
    X, y = houses(20, seed=3)
    before = fitted.predict(X)
    for change in ({"n0": "a"}, {"sold": 3.0}, {"city": pd.Timestamp("2020-01-01")}):
        with pytest.raises(ValueError, match=r"X has a column .* of kind .*, which was of kind"):
            fitted.predict(X.assign(**change))
        with pytest.raises(ValueError, match="which was of kind"):
            fitted.partial_fit(X.assign(**change), y)
    with pytest.raises(ValueError, match="contains infinity, in column 'n3'"):
        fitted.partial_fit(X.assign(n3=np.inf), y)
    with pytest.raises(TypeError, match="column 'city' that holds a list"):
        fitted.partial_fit(X.assign(city=[["Rome"]] * 20), y)
    np.testing.assert_array_equal(fitted.predict(X), before)


# ------------------------------------------------------------------ categories by name, number or mask


def coded(n=120):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=n), "code": rng.integers(0, 12, n), "b": rng.normal(size=n)})
    effect = rng.normal(size=12)
    return X, 3 * effect[X["code"]] + X["a"].to_numpy() + 0.1 * rng.normal(size=n)


@pytest.mark.parametrize("chosen", [["code"], [1], [-2], [False, True, False]])
def test_categories_may_be_chosen(chosen):
    X, y = coded()
    expected = CMANPRegressor().fit(X.astype({"code": "category"}), y)
    reg = CMANPRegressor(categorical_features=chosen).fit(X, y)
    assert_same_predictions(reg, expected, X)
    assert [kind.name for kind in reg.context_.kinds] == ["NUMBER", "CATEGORY", "NUMBER"]
    if chosen == [1]:
        array = CMANPRegressor(categorical_features=chosen).fit(X.to_numpy(), y)
        np.testing.assert_allclose(array.predict(X.to_numpy()), reg.predict(X), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("chosen", [["codes"], [3], [True, False], 1.5, "code", [[1]]])
def test_categories_that_are_no_columns_are_refused(chosen):
    X, y = coded(20)
    with pytest.raises(ValueError, match="categorical_features"):
        CMANPRegressor(categorical_features=chosen).fit(X, y)


def test_none_are_chosen():
    X, y = coded(40)
    for chosen in (None, "from_dtype", []):
        kinds = CMANPRegressor(categorical_features=chosen).fit(X, y).context_.kinds
        assert {kind.name for kind in kinds} == {"NUMBER"}


# ------------------------------------------------------------------ sparse, wide, nothing but one kind


@pytest.mark.parametrize("sparse", [csr_matrix, csr_array, lambda X: csr_matrix(X).tocoo()])
def test_sparse_rows_are_as_dense_ones(sparse):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 50)) * (rng.uniform(size=(80, 50)) < 0.2)
    y = X[:, 0] + X[:, 1] + 0.1 * rng.normal(size=80)
    dense, reg = CMANPRegressor().fit(X, y), CMANPRegressor().fit(sparse(X), y)
    np.testing.assert_array_equal(reg.predict(sparse(X)), dense.predict(X))
    reg.partial_fit(sparse(X[:9]), y[:9]).forget(sparse(X[:9]), y[:9])
    assert_same_predictions(reg, dense, X, rtol=1e-6)
    assert np.isfinite(reg.log_prob(sparse(X), y)).all()
    np.testing.assert_array_equal(
        CMANPRegressor().partial_fit(sparse(X), y).predict(X), CMANPRegressor().partial_fit(X, y).predict(X)
    )


def test_more_columns_than_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 300))
    y = X[:, :30].sum(1) + 0.1 * rng.normal(size=100)
    reg = CMANPRegressor().fit(X[:80], y[:80])
    mean, std = reg.predict(X[80:], return_std=True)
    assert np.square((y[80:] - mean) / std).mean() < 2.5
    assert_same_predictions(copy.deepcopy(reg).decay(0).partial_fit(X[:80][::-1], y[:80][::-1]), reg, X)


def test_rows_that_are_all_but_the_same_and_one_that_is_not():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": 1e-6 * rng.normal(size=250), "b": ["x"] * 250})
    y = 1e-6 * rng.normal(size=250)
    X.loc[7, "a"], y[7] = 1.0, 1.0
    mean, std = CMANPRegressor().fit(X, y).predict(X, return_std=True)
    assert np.isfinite(mean).all()
    assert (std > 0).all()


def test_a_wide_stream_begins_with_any_number_of_rows():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(9, 60)), rng.normal(size=9)
    reg = CMANPRegressor()
    for i in range(9):
        reg.partial_fit(X[i : i + 1], y[i : i + 1])
        assert np.isfinite(reg.predict(X)).all()
    assert_same_predictions(reg, CMANPRegressor().partial_fit(X, y), X)


@pytest.mark.parametrize(
    "column",
    [
        np.array(["a", "b", "c", "d"] * 10),
        pd.date_range("2020-01-01", periods=40, freq="36h"),
        np.where(np.arange(40) % 3 == 0, np.nan, np.arange(40.0)),
        np.full(40, np.nan),
        [f"name {i}" for i in range(40)],
        np.array([True, False] * 20),
    ],
)
def test_a_column_of_any_kind_is_enough(column):
    X, y = pd.DataFrame({"only": column}), np.random.default_rng(0).normal(size=40)
    reg = CMANPRegressor().fit(X, y)
    mean, std = reg.predict(X, return_std=True)
    assert np.isfinite(mean).all()
    assert (std > 0.3).all()
    assert np.abs(mean - y.mean()).max() < 3
    stream = CMANPRegressor().partial_fit(X[:25], y[:25]).partial_fit(X[25:], y[25:])
    assert_same_predictions(stream, CMANPRegressor().partial_fit(X, y), X)
