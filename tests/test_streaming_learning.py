import numpy as np
import polars as pl
import pytest
from conftest import assert_same_predictions, make_mixed_table, make_model
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skcmanp import CMANPRegressor
from skcmanp.streaming import fit_stream, prequential, read_batches, split_batches

FRAME = make_mixed_table()
N = len(FRAME)


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
