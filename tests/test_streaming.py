import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import assert_same_predictions, make_model
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import BayesianRidge, SGDRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skcmanp import CMANPRegressor
from skcmanp.streaming import fit_stream, prequential, read_batches, split_batches

RNG = np.random.default_rng(0)
N = 100
FRAME = pd.DataFrame(
    {
        "city": RNG.choice(["Oslo", "Rome", "Lima"], N),
        "hour": RNG.integers(0, 24, N),
        "level": RNG.normal(size=N),
        "trust": RNG.integers(1, 4, N),
        "y": RNG.normal(size=N),
    }
)


def joined(batches):
    """All batches in one: X as a DataFrame, y and weights as arrays."""
    tables, *arrays = zip(*batches, strict=True)
    return pd.concat(tables, ignore_index=True), *(np.concatenate(parts) for parts in arrays)


def mixed_pipeline(model):
    columns = ColumnTransformer(
        [("category", OneHotEncoder(sparse_output=False), ["city"]), ("number", StandardScaler(), ["hour", "level"])]
    )
    return make_pipeline(columns, CMANPRegressor(model))


@pytest.fixture(scope="module")
def wide_model():
    return make_model(dim_x=5)


@pytest.fixture(params=["csv", "parquet"])
def files(request, tmp_path):
    """The frame in three files, in order, and their pattern."""
    for i, part in enumerate((FRAME[:37], FRAME[37:38], FRAME[38:])):
        if request.param == "csv":
            part.to_csv(tmp_path / f"part_{i}.csv", index=False)
        else:
            part.to_parquet(tmp_path / f"part_{i}.parquet", index=False, row_group_size=7)
    return tmp_path / f"part_*.{request.param}"


# ---------------------------------------------------------------------- batches


@given(n=st.integers(1, 40), batch_size=st.integers(1, 50))
def test_split_batches_are_the_rows_in_order(n, batch_size):
    X, y, weight = np.arange(2 * n).reshape(n, 2), np.arange(n), np.arange(n) + 1
    batches = list(split_batches(X, y, weight, batch_size=batch_size))
    assert [len(b[1]) for b in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert 0 < len(batches[-1][1]) <= batch_size
    for whole, parts in zip((X, y, weight), zip(*batches, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_split_batches_keep_types(tmp_path):
    np.save(tmp_path / "X.npy", np.ones((6, 2)))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert all(isinstance(X, np.memmap) for X, _ in split_batches(mapped, np.ones(6), batch_size=4))
    indexed = FRAME.set_index(np.arange(N)[::-1])
    X, y = next(split_batches(indexed[["hour"]], indexed["y"], batch_size=10))
    pd.testing.assert_frame_equal(X, indexed[["hour"]][:10])
    np.testing.assert_array_equal(y, FRAME["y"][:10])
    X, _ = next(split_batches(pl.from_pandas(FRAME), FRAME["y"], batch_size=10))
    assert isinstance(X, pl.DataFrame)
    assert X.shape == (10, 5)
    assert next(split_batches([[1.0], [2.0]], [1.0, 2.0], batch_size=1)) == ([[1.0]], [1.0])


@pytest.mark.parametrize("batch_size", [1, 10, 36, 1000])
def test_files_are_read_in_order(files, batch_size):
    batches = list(read_batches(files, "y", weight="trust", batch_size=batch_size))
    assert [len(X) for X, *_ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert 0 < len(batches[-1][0]) <= batch_size
    X, y, weight = joined(batches)
    pd.testing.assert_frame_equal(X, FRAME[["city", "hour", "level"]], check_dtype=False)
    np.testing.assert_array_equal(y, FRAME["y"])
    np.testing.assert_array_equal(weight, FRAME["trust"])
    assert X["hour"].dtype == np.float64


def test_columns_are_chosen_and_ordered(files):
    first = files.parent / files.name.replace("*", "0")
    X, y = joined(read_batches([str(first), first], ["level", "y"], features=["trust", "city"]))
    assert X.columns.tolist() == ["trust", "city"]
    np.testing.assert_array_equal(y, np.tile(FRAME.loc[:36, ["level", "y"]], (2, 1)))


@pytest.mark.parametrize("convert", [pd.DataFrame, pl.from_pandas], ids=["pandas", "polars"])
def test_tables_are_read_like_files(convert):
    table = convert(FRAME)
    batches = list(read_batches(table, "y", features=["level", "city"], weight="trust", batch_size=30))
    assert [type(X) for X, *_ in batches] == [type(table)] * 4
    X, y, weight = joined([(X if convert is pd.DataFrame else X.to_pandas(), *rest) for X, *rest in batches])
    pd.testing.assert_frame_equal(X, FRAME[["level", "city"]], check_dtype=False)
    np.testing.assert_array_equal(y, FRAME["y"])
    np.testing.assert_array_equal(weight, FRAME["trust"])


def test_types_are_the_same_in_all_batches(tmp_path):
    """Integers, then fractions and gaps; categories that differ; nothing, then numbers."""
    path = tmp_path / "part_0.parquet"
    first = pd.DataFrame({"a": [1, 2], "b": pd.Categorical(["u", "v"]), "c": [None, None], "y": [1, 2]})
    second = pd.DataFrame({"y": [1.5, 2.5], "c": [1.0, 2.0], "b": pd.Categorical(["w", "v"]), "a": [0.5, None]})
    first.to_parquet(path)
    second.to_parquet(tmp_path / "part_1.parquet")
    X, y = joined(read_batches(tmp_path / "*.parquet", "y", batch_size=3))
    assert X["a"].tolist()[:3] == [1, 2, 0.5]
    assert np.isnan(X["a"][3])
    assert X["b"].tolist() == ["u", "v", "w", "v"]
    np.testing.assert_array_equal(X["c"], [np.nan, np.nan, 1, 2])
    assert y.tolist() == [1, 2, 1.5, 2.5]
    # The same within one CSV file, where the type is guessed from the first megabyte.
    lines = ["a,y", *["1,2"] * 300_000, "0.5,2"]
    (tmp_path / "long.csv").write_text("\n".join(lines))
    *_, (X, _) = read_batches(tmp_path / "long.csv", "y", batch_size=100_000)
    assert X["a"].tolist() == [0.5]


def test_memory_does_not_grow_with_a_row_group(tmp_path):
    """A file that is one row group is never in memory as a whole."""
    path = tmp_path / "one_group.parquet"
    table = pa.table({name: RNG.normal(size=1_000_000) for name in "abcy"})
    pq.write_table(table, path, row_group_size=len(table))
    del table
    start = pa.total_allocated_bytes()
    most = n_rows = 0
    for _, y in read_batches(path, "y", batch_size=1000):
        most = max(most, pa.total_allocated_bytes() - start)
        n_rows += len(y)
    assert n_rows == 1_000_000
    assert most < path.stat().st_size / 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda files: read_batches(files, "z"), ValueError, r"part_0\.\w+ has no column 'z'; it has city, hour"),
        (lambda files: read_batches(files, "y", features=["a", "b"]), ValueError, "has no column 'a', 'b'"),
        (lambda files: read_batches(files, "y", weight="w"), ValueError, "has no column 'w'"),
        (lambda files: read_batches(FRAME, "z"), ValueError, "The table has no column 'z'; it has city"),
        (lambda files: read_batches(files.parent / "no.csv", "y"), FileNotFoundError, r"No file matches .*no\.csv"),
        (lambda files: read_batches([files, "no/*.csv"], "y"), FileNotFoundError, r"No file matches .*no/\*\.csv"),
        (lambda files: read_batches([], "y"), ValueError, "source is an empty list"),
        (lambda files: read_batches(__file__, "y"), ValueError, r"unknown kind; .*\.csv, \.parquet"),
        (lambda files: read_batches(files, "y", batch_size=0), ValueError, "batch_size=0 must be at least 1"),
        (lambda files: split_batches(FRAME, FRAME["y"], batch_size=-1), ValueError, "batch_size=-1"),
        (lambda files: split_batches([[1.0]], [1.0, 2.0]), ValueError, "inconsistent numbers of samples"),
    ],
)
def test_errors_come_before_reading(files, call, error, message):
    with pytest.raises(error, match=message):
        call(files)


def test_a_later_file_without_a_column_is_named_at_once(files):
    table = FRAME.drop(columns="hour")
    path = files.parent / files.name.replace("*", "9")
    table.to_csv(path) if path.suffix == ".csv" else table.to_parquet(path)
    with pytest.raises(ValueError, match=r"part_9\.\w+ has no column 'hour'"):
        read_batches(files, "y")


def test_files_that_cannot_be_read_are_named(tmp_path):
    for name in ("empty.csv", "empty.parquet"):
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            read_batches(tmp_path / name, "y")
    FRAME[["level", "y"]].to_csv(tmp_path / "a.csv", index=False)
    FRAME[["level", "y"]].assign(level="high").to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(ValueError, match=r"b\.csv cannot be read with the columns' types in a\.csv: .*high"):
        list(read_batches([tmp_path / "a.csv", tmp_path / "b.csv"], "y"))
    FRAME[["level", "y"]].to_parquet(tmp_path / "a.parquet")
    FRAME[["level", "y"]].assign(level=pd.Timestamp("2024-01-01")).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"b\.parquet cannot be read with the columns' types in a\.parquet"):
        list(read_batches([tmp_path / "a.parquet", tmp_path / "b.parquet"], "y"))


# ---------------------------------------------------------------------- learning


@pytest.mark.parametrize("batch_size", [1, 7, 60])
def test_chunking_does_not_matter_after_the_first_batch(table, model, batch_size):
    X, y = table
    batches = [(X[:20], y[:20]), *split_batches(X[20:], y[20:], batch_size=batch_size)]
    stream = fit_stream(CMANPRegressor(model), batches)
    once = CMANPRegressor(model).fit(X[:20], y[:20]).partial_fit(X[20:], y[20:])
    assert_same_predictions(stream, once, X)
    assert stream.n_samples_seen_ == 60


def test_a_pipeline_learns_mixed_columns_from_files(files, wide_model):
    reg = fit_stream(mixed_pipeline(wide_model), read_batches(files, "y", weight="trust", batch_size=20))
    first, rest, columns = FRAME[:20], FRAME[20:], ["city", "hour", "level"]
    expected = mixed_pipeline(wide_model)
    expected.fit(first[columns], first["y"], cmanpregressor__sample_weight=first["trust"])
    expected[-1].partial_fit(expected[:-1].transform(rest[columns]), rest["y"], rest["trust"])
    assert_same_predictions(reg, expected, FRAME[columns])
    assert reg[-1].n_samples_seen_ == N
    assert reg.feature_names_in_.tolist() == columns


def test_polars_tables_in_a_pipeline(wide_model):
    batches = read_batches(pl.from_pandas(FRAME), "y", features=["city", "hour", "level"], batch_size=20)
    reg = fit_stream(mixed_pipeline(wide_model), batches)
    same = read_batches(FRAME, "y", features=["city", "hour", "level"], batch_size=20)
    assert_same_predictions(reg, fit_stream(mixed_pipeline(wide_model), same), FRAME)


def test_weights_are_routed(table, model):
    X, y = table
    weight = np.arange(60.0)
    batches = list(split_batches(X, y, weight, batch_size=25))
    expected = fit_stream(make_pipeline(StandardScaler(), CMANPRegressor(model)), batches)
    with config_context(enable_metadata_routing=True):
        last = CMANPRegressor(model).set_fit_request(sample_weight=True)
        routed = fit_stream(make_pipeline(StandardScaler().set_fit_request(sample_weight=False), last), batches)
    assert_same_predictions(routed, expected, X)


def test_what_is_fitted_goes_on(table, model):
    X, y = table
    reg = make_pipeline(StandardScaler(), CMANPRegressor(model)).fit(X[:20], y[:20])
    fit_stream(reg, split_batches(X[20:], y[20:], batch_size=10))
    assert_same_predictions(
        reg, fit_stream(make_pipeline(StandardScaler(), CMANPRegressor(model)), split_batches(X, y, batch_size=20)), X
    )
    alone = fit_stream(make_pipeline(CMANPRegressor(model)), split_batches(X, y, batch_size=20))
    assert_same_predictions(alone, fit_stream(CMANPRegressor(model), split_batches(X, y, batch_size=20)), X)


@pytest.mark.parametrize("learn", [fit_stream, prequential])
@pytest.mark.parametrize(
    ("batches", "error", "message"),
    [
        ([], ValueError, "batches has no batch"),
        (iter([]), ValueError, "batches has no batch"),
        ([np.ones((3, 2))], ValueError, r"\(X, y\) or \(X, y, sample_weight\), not ndarray; split_batches"),
        ([(np.ones((3, 2)),)], ValueError, r"\(X, y\) or \(X, y, sample_weight\), not tuple"),
    ],
)
def test_bad_batches_are_named(learn, batches, error, message):
    with pytest.raises(error, match=message):
        learn(CMANPRegressor(), batches)


@pytest.mark.parametrize("learn", [fit_stream, prequential])
@pytest.mark.parametrize("reg", [BayesianRidge(), make_pipeline(StandardScaler(), BayesianRidge())])
def test_estimators_that_cannot_go_on_are_named_before_reading(learn, reg, table):
    with pytest.raises(TypeError, match="BayesianRidge has no partial_fit"):
        learn(reg, split_batches(*table))
    assert not hasattr(reg, "n_features_in_")


def test_progress_is_shown_on_demand(table, model, capsys):
    fit_stream(CMANPRegressor(model), split_batches(*table, batch_size=25))
    assert capsys.readouterr().err == ""
    fit_stream(CMANPRegressor(model), split_batches(*table, batch_size=25), progress=True)
    assert "60row" in capsys.readouterr().err


# ---------------------------------------------------------------------- prequential


@pytest.mark.parametrize("gamma", [None, 0.8])
def test_prequential_figures_are_those_by_hand(table, model, gamma):
    X, y = table
    weight = 1 + np.arange(60.0) % 3
    result = prequential(CMANPRegressor(model), split_batches(X, y, weight, batch_size=25), gamma=gamma, confidence=0.5)
    by_hand = CMANPRegressor(model).fit(X[:25], y[:25], weight[:25])
    for i, rows in enumerate((slice(25, 50), slice(50, 60))):
        mean, std = by_hand.predict(X[rows], return_std=True)
        w = weight[rows]
        assert result["rmse"][i] == pytest.approx(np.average((y[rows] - mean) ** 2, weights=w) ** 0.5)
        assert result["nll"][i] == pytest.approx(np.average(-norm.logpdf(y[rows], mean, std), weights=w))
        inside = np.abs(y[rows] - mean) < norm.ppf(0.75) * std
        assert result["coverage"][i] == pytest.approx(np.average(inside, weights=w))
        if gamma is not None:
            by_hand.decay(gamma)
        by_hand.partial_fit(X[rows], y[rows], w)
    assert result["n_seen"].tolist() == [25, 50]
    assert result["n_rows"].tolist() == [25, 10]
    assert result["state_nbytes"].tolist() == [by_hand.context_.nbytes] * 2
    assert (result["crps"] > 0).all()
    assert (result["seconds"] > 0).all()
    assert pd.DataFrame(result).columns.tolist() == [
        *("n_seen", "n_rows", "rmse", "nll", "crps", "coverage", "seconds", "state_nbytes")
    ]


def test_prequential_learns_as_fit_stream(files, wide_model):
    reg, same = mixed_pipeline(wide_model), mixed_pipeline(wide_model)
    result = prequential(reg, read_batches(files, "y", features=["city", "hour", "level"], batch_size=20), gamma=1.0)
    fit_stream(same, read_batches(files, "y", features=["city", "hour", "level"], batch_size=20))
    assert_same_predictions(reg, same, FRAME)
    assert len(result["rmse"]) == 4
    assert np.isfinite(result["nll"]).all()


def test_the_first_batch_is_scored_only_by_what_is_fitted(table, model):
    X, y = table
    reg = CMANPRegressor(model)
    assert [len(values) for values in prequential(reg, [(X, y)]).values()] == [0] * 8
    result = prequential(reg, [(X, y)])
    assert result["n_seen"].tolist() == [0]
    assert reg.n_samples_seen_ == 120


def test_several_targets(table, model):
    X, y = table
    Y = np.column_stack([y, -2 * y])
    result = prequential(CMANPRegressor(model), split_batches(X, Y, batch_size=30))
    by_hand = CMANPRegressor(model).fit(X[:30], Y[:30])
    rmse = np.sqrt(np.mean((by_hand.predict(X[30:]) - Y[30:]) ** 2, axis=0))
    assert result["rmse"] == pytest.approx(rmse.mean())


def test_without_std_those_figures_are_nan(table):
    X, y = table
    X = StandardScaler().fit_transform(X)
    result = prequential(SGDRegressor(random_state=0), split_batches(X, y, batch_size=20))
    assert np.isfinite(result["rmse"]).all()
    assert all(np.isnan(result[name]).all() for name in ("nll", "crps", "coverage", "state_nbytes"))
    with pytest.raises(TypeError, match=r"gamma=0\.9, but SGDRegressor has no decay"):
        prequential(SGDRegressor(), split_batches(X, y), gamma=0.9)


class Recorder(RegressorMixin, BaseEstimator):
    """Writes down what it is asked to do."""

    def fit(self, X, y):
        self.calls_ = ["fit"]
        return self

    def partial_fit(self, X, y):
        self.calls_.append("partial_fit")
        return self

    def decay(self, gamma):
        self.calls_.append(f"decay {gamma}")

    def predict(self, X, return_std=False):
        self.calls_.append("predict")
        return (np.zeros(len(X)), np.ones(len(X))) if return_std else np.zeros(len(X))


def test_order_of_calls():
    reg = Recorder()
    prequential(reg, split_batches(np.zeros((6, 1)), np.zeros(6), batch_size=2), gamma=0.5)
    assert reg.calls_ == ["fit", *["predict", "decay 0.5", "partial_fit"] * 2]
