import numpy as np
import polars as pl
import pytest
from conftest import assert_same_predictions, make_mixed_table, make_model
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import BayesianRidge, SGDRegressor
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

from skcmanp import CMANPRegressor
from skcmanp.streaming import fit_stream, prequential, read_batches, split_batches

FRAME = make_mixed_table()
COLUMNS = ["city", "hour", "level"]


def mixed_pipeline(model):
    columns = ColumnTransformer(
        [("category", OneHotEncoder(sparse_output=False), ["city"]), ("number", StandardScaler(), ["hour", "level"])]
    )
    return make_pipeline(columns, CMANPRegressor(model))


def read(batches, reg):
    """The regressor after a plain loop of partial_fit."""
    for batch in batches:
        reg.partial_fit(*batch)
    return reg


@pytest.fixture(scope="module")
def wide_model():
    return make_model(dim_x=5)


class Recorder(RegressorMixin, BaseEstimator):
    """Writes down what it is given to learn."""

    def fit(self, X, y, sample_weight=None):
        raise AssertionError("fit was called")

    def partial_fit(self, X, y, sample_weight=None):
        self.calls_ = [*getattr(self, "calls_", []), (X, y, sample_weight)]
        return self

    def predict(self, X):
        return np.zeros(len(X))


class Counter(TransformerMixin, BaseEstimator):
    """Centres, and counts how often it is fitted, over all clones."""

    n_fits = 0

    def fit(self, X, y):
        Counter.n_fits += 1
        self.centre_ = np.mean(X, axis=0)
        return self

    def transform(self, X):
        return X - self.centre_


# ---------------------------------------------------------------------- estimators


@pytest.mark.parametrize("batch_size", [1, 7, 60])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_stream_is_a_loop_of_partial_fit(table, model, batch_size, weighted):
    X, y = table
    weight = 1 + np.arange(60.0) % 3 if weighted else None
    batches = list(split_batches(X, y, weight, batch_size=batch_size))
    stream = fit_stream(CMANPRegressor(model), batches)
    assert_same_predictions(stream, read(batches, CMANPRegressor(model)), X)
    assert stream.n_samples_seen_ == 60


def test_the_first_batch_freezes_nothing(model):
    """After a thousand rows it does not matter with how few the stream began."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1020, 3)) * [1, 100, 1e-3]
    y = X[:, 0] + 0.01 * X[:, 1]
    small = fit_stream(CMANPRegressor(model), split_batches(X, y, batch_size=20))
    once = CMANPRegressor(model).fit(X[:1000], y[:1000]).partial_fit(X[1000:], y[1000:])
    assert_same_predictions(small, once, X)


def test_nothing_is_fitted_but_by_partial_fit(table):
    X, y = table
    for reg in (Recorder(), make_pipeline(StandardScaler(), Recorder()), make_pipeline(Recorder())):
        fit_stream(reg, split_batches(X, y, batch_size=25))
        last = reg[-1] if isinstance(reg, Pipeline) else reg
        assert [len(rows) for rows, _, _ in last.calls_] == [25, 25, 10]
        assert all(weight is None for _, _, weight in last.calls_)


@pytest.mark.parametrize(
    "reg", [SGDRegressor(random_state=0), MLPRegressor(random_state=0), MultiOutputRegressor(SGDRegressor())]
)
def test_other_regressors_begin_as_well(reg, table):
    X, y = table
    target = y[:, None] if isinstance(reg, MultiOutputRegressor) else y
    fit_stream(make_pipeline(StandardScaler(), reg), split_batches(X, target, batch_size=20))
    assert np.isfinite(reg.predict(X)).all()


def test_what_is_fitted_goes_on(table, model):
    X, y = table
    first, rest = (X[:20], y[:20]), list(split_batches(X[20:], y[20:], batch_size=10))
    reg = fit_stream(CMANPRegressor(model).fit(*first), rest)
    assert_same_predictions(reg, read(rest, CMANPRegressor(model).fit(*first)), X)
    pipeline = make_pipeline(StandardScaler(), CMANPRegressor(model)).fit(*first)
    mean = pipeline[0].mean_
    fit_stream(pipeline, rest)
    assert pipeline[0].mean_ is mean
    scaled = [(pipeline[0].transform(part), target) for part, target in (first, *rest)]
    expected = make_pipeline(pipeline[0], read(scaled[1:], CMANPRegressor(model).fit(*scaled[0])))
    assert_same_predictions(pipeline, expected, X)


# ---------------------------------------------------------------------- pipelines


@pytest.mark.parametrize("batch_size", [5, 20])
def test_a_pipeline_learns_mixed_columns_from_files(tmp_path, wide_model, batch_size):
    FRAME.to_csv(tmp_path / "table.csv", index=False)
    batches = read_batches(tmp_path / "table.csv", "y", weight="trust", batch_size=batch_size)
    reg = fit_stream(mixed_pipeline(wide_model), batches)
    columns = mixed_pipeline(wide_model)[:-1].fit(FRAME[:batch_size][COLUMNS])
    scaled = split_batches(columns.transform(FRAME[COLUMNS]), FRAME["y"], FRAME["trust"], batch_size=batch_size)
    expected = make_pipeline(columns, read(scaled, CMANPRegressor(wide_model)))
    assert_same_predictions(reg, expected, FRAME[COLUMNS])
    assert reg[-1].n_samples_seen_ == len(FRAME)
    assert reg.feature_names_in_.tolist() == COLUMNS


def test_polars_tables_in_a_pipeline(wide_model):
    reg = fit_stream(
        mixed_pipeline(wide_model), read_batches(pl.from_pandas(FRAME), "y", features=COLUMNS, batch_size=20)
    )
    same = read_batches(FRAME, "y", features=COLUMNS, batch_size=20)
    assert_same_predictions(reg, fit_stream(mixed_pipeline(wide_model), same), FRAME)


@pytest.mark.parametrize(
    "steps",
    [
        [],
        ["passthrough"],
        ["passthrough", StandardScaler()],
        [StandardScaler(), "passthrough"],
        [StandardScaler(), None, StandardScaler()],
        [SelectKBest(f_regression, k=2)],
    ],
    ids=["none", "passthrough", "after passthrough", "before passthrough", "with None", "needs y"],
)
@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_all_kinds_of_steps(table, steps, routing, nested):
    """The last step is given what the steps before it make of the batches; these are fitted to the first one."""
    X, y = table
    batches = list(split_batches(X, y, np.arange(60.0), batch_size=20))
    expected = X
    for step in steps:
        if step not in (None, "passthrough"):
            expected = step.fit(expected[:20], y[:20]).transform(expected)
    reg = Pipeline([*((str(i), step) for i, step in enumerate(steps)), ("last", Recorder())])
    if nested:
        reg = make_pipeline("passthrough", reg)
    with config_context(enable_metadata_routing=routing):
        fit_stream(reg, batches)
        assert reg.predict(X).shape == (60,)
    last = reg[-1][-1] if nested else reg[-1]
    for given, whole in zip(zip(*last.calls_, strict=True), (expected, y, np.arange(60.0)), strict=True):
        np.testing.assert_allclose(np.concatenate(given), whole, rtol=1e-12)


def test_transformers_that_need_y_are_fitted_as_by_the_pipeline():
    """`TargetEncoder.fit_transform` is not ``fit().transform()``: it encodes rows without their own targets."""
    X, y = FRAME[["city"]], FRAME["y"]
    # With as many folds as rows the order that rows are split in does not matter.
    encoder = TargetEncoder(cv=50)
    reg = fit_stream(make_pipeline(encoder, Recorder()), [(X[:50], y[:50]), (X[50:], y[50:])])
    first, second = (rows for rows, _, _ in reg[-1].calls_)
    np.testing.assert_array_equal(first, TargetEncoder(cv=50).fit_transform(X[:50], y[:50]))
    np.testing.assert_array_equal(second, encoder.transform(X[50:]))
    assert np.abs(first - encoder.transform(X[:50])).max() > 1e-3


def test_a_cache_of_transformers_is_used(table, tmp_path):
    """As by `Pipeline.fit`: clones are fitted, or taken from the cache, and replace the steps."""
    X, y = table
    for n_fits in (2, 0):
        steps = [Counter(), Counter()]
        reg = make_pipeline(*steps, Recorder(), memory=str(tmp_path))
        Counter.n_fits = 0
        fit_stream(reg, split_batches(X, y, batch_size=20))
        assert Counter.n_fits == n_fits
        np.testing.assert_array_equal(reg[-1].calls_[2][0], reg[:-1].transform(X[40:]))
        np.testing.assert_allclose(reg[0].centre_, X[:20].mean(axis=0))
        assert not any(hasattr(step, "centre_") for step in steps)


@pytest.mark.parametrize("memory", [False, True])
def test_frozen_transformers_stay(table, memory, tmp_path):
    X, y = table
    scaler = StandardScaler().fit(100 * X)
    reg = make_pipeline(FrozenEstimator(scaler), Recorder(), memory=str(tmp_path) if memory else None)
    fit_stream(reg, split_batches(X, y, batch_size=20))
    np.testing.assert_array_equal(reg[-1].calls_[0][0], scaler.transform(X[:20]))


def test_steps_that_were_fitted_before_are_fitted_anew(table):
    """As `Pipeline.fit` does, unless they are frozen."""
    X, y = table
    scaler = StandardScaler().fit(100 * X)
    fit_stream(make_pipeline(scaler, Recorder()), split_batches(X, y, batch_size=20))
    np.testing.assert_allclose(scaler.mean_, X[:20].mean(axis=0))


def test_weights_go_to_the_last_step_alone(table, model):
    """With metadata routing and without it, whatever is requested."""
    X, y = table
    batches = list(split_batches(X, y, np.arange(60.0), batch_size=25))
    expected = fit_stream(make_pipeline(StandardScaler(), CMANPRegressor(model)), batches)
    scaler = StandardScaler().fit(X[:25])
    alone = read([(scaler.transform(part), *rest) for part, *rest in batches], CMANPRegressor(model))
    assert_same_predictions(expected, make_pipeline(scaler, alone), X)
    with config_context(enable_metadata_routing=True):
        for scaler, last in (
            (StandardScaler(), CMANPRegressor(model)),
            (
                StandardScaler().set_fit_request(sample_weight=True),
                CMANPRegressor(model).set_partial_fit_request(sample_weight=False),
            ),
        ):
            assert_same_predictions(fit_stream(make_pipeline(scaler, last), batches)[-1], alone, X)


# ---------------------------------------------------------------------- errors


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
@pytest.mark.parametrize(
    "reg",
    [
        BayesianRidge(),
        make_pipeline(StandardScaler(), BayesianRidge()),
        make_pipeline(StandardScaler(), make_pipeline(BayesianRidge())),
    ],
)
def test_estimators_that_cannot_go_on_are_named_before_reading(learn, reg, table):
    with pytest.raises(TypeError, match="BayesianRidge has no partial_fit"):
        learn(reg, split_batches(*table))
    assert not hasattr(reg, "n_features_in_")


def test_a_first_batch_that_is_refused_can_be_given_again(table, model):
    X, y = table
    reg = make_pipeline(StandardScaler(), CMANPRegressor(model))
    with pytest.raises(ValueError, match="NaN"):
        fit_stream(reg, [(X, np.full(60, np.nan))])
    fit_stream(reg, [(X[:20], y[:20]), (X[20:], y[20:])])
    np.testing.assert_allclose(reg[0].mean_, X[:20].mean(axis=0))


def test_progress_is_shown_on_demand(table, model, capsys):
    fit_stream(CMANPRegressor(model), split_batches(*table, batch_size=25))
    assert capsys.readouterr().err == ""
    fit_stream(CMANPRegressor(model), split_batches(*table, batch_size=25), progress=True)
    assert "60row" in capsys.readouterr().err
