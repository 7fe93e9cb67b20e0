import numpy as np
import pandas as pd
import pytest
from conftest import assert_same_predictions, make_mixed_table, make_model
from scipy.stats import norm
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.linear_model import SGDRegressor
from sklearn.metrics import root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skcmanp import CMANPRegressor
from skcmanp.metrics import gaussian_crps, gaussian_nll, interval_coverage
from skcmanp.streaming import fit_stream, prequential, read_batches, split_batches


@pytest.mark.parametrize("gamma", [None, 0.8])
def test_prequential_figures_are_those_by_hand(table, model, gamma):
    X, y = table
    weight = 1 + np.arange(60.0) % 3
    result = prequential(CMANPRegressor(model), split_batches(X, y, weight, batch_size=25), gamma=gamma, confidence=0.5)
    by_hand = CMANPRegressor(model).partial_fit(X[:25], y[:25], weight[:25])
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
        assert result["state_nbytes"][i] == by_hand.context_.nbytes
    assert result["n_seen"].tolist() == [25, 50]
    assert result["n_rows"].tolist() == [25, 10]
    assert (result["crps"] > 0).all()
    assert (result["seconds"] > 0).all()
    assert pd.DataFrame(result).columns.tolist() == [
        *("n_seen", "n_rows", "rmse", "nll", "crps", "coverage", "seconds", "state_nbytes")
    ]


@pytest.mark.parametrize("batch_size", [1, 7, 20])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("wrap", [None, "pipeline", "routing"])
def test_small_batches_are_a_loop_of_predict_and_partial_fit(table, model, batch_size, weighted, wrap):
    """From the very first batch on, alone and behind a scaler that the first batch fits."""
    X, y = table
    weight = 1 + np.arange(60.0) % 3 if weighted else None
    reg = CMANPRegressor(model)
    with config_context(enable_metadata_routing=wrap == "routing"):
        result = prequential(
            reg if wrap is None else make_pipeline(StandardScaler(), reg),
            split_batches(X, y, weight, batch_size=batch_size),
        )
    scaled = X if wrap is None else StandardScaler().fit(X[:batch_size]).transform(X)
    by_hand, expected = CMANPRegressor(model), []
    for rows, target, *w in split_batches(scaled, y, weight, batch_size=batch_size):
        if hasattr(by_hand, "context_"):
            mean, std = by_hand.predict(rows, return_std=True)
            options = {"sample_weight": w[0] if w else None}
            scores = [metric(target, mean, std, **options) for metric in (gaussian_nll, gaussian_crps)]
            coverage = interval_coverage(target, mean, std, confidence=0.9, **options)
            expected.append([root_mean_squared_error(target, mean, **options), *scores, coverage])
        by_hand.partial_fit(rows, target, *w)
    scores = np.column_stack([result[name] for name in ("rmse", "nll", "crps", "coverage")])
    np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-9)
    assert_same_predictions(reg, by_hand, scaled)


def test_a_pipeline_that_is_fitted_is_scored_from_the_first_batch_on(table, model):
    X, y = table
    reg = make_pipeline(StandardScaler(), CMANPRegressor(model)).fit(X[:20], y[:20])
    expected = [root_mean_squared_error(y[20:40], reg.predict(X[20:40]))]
    result = prequential(reg, split_batches(X[20:], y[20:], batch_size=20))
    assert result["n_seen"].tolist() == [0, 20]
    np.testing.assert_allclose(result["rmse"][:1], expected)


@pytest.mark.parametrize("gamma", [None, 1.0])
def test_prequential_learns_as_fit_stream(gamma):
    model, options = make_model(dim_x=5), {"features": ["city", "hour", "level"], "weight": "trust", "batch_size": 20}

    def pipeline():
        columns = make_column_transformer(
            (OneHotEncoder(sparse_output=False), ["city"]), (StandardScaler(), ["hour", "level"])
        )
        return make_pipeline(columns, CMANPRegressor(model))

    frame, reg, same = make_mixed_table(), pipeline(), pipeline()
    result = prequential(reg, read_batches(frame, "y", **options), gamma=gamma)
    fit_stream(same, read_batches(frame, "y", **options))
    assert_same_predictions(reg, same, frame)
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
    by_hand = CMANPRegressor(model).partial_fit(X[:30], Y[:30])
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
        self.calls_ = [*getattr(self, "calls_", []), "partial_fit"]
        return self

    def decay(self, gamma):
        self.calls_.append(f"decay {gamma}")

    def predict(self, X, return_std=False):
        self.calls_.append("predict")
        return (np.zeros(len(X)), np.ones(len(X))) if return_std else np.zeros(len(X))


@pytest.mark.parametrize("nested", [False, True])
def test_order_of_calls(nested):
    last = Recorder()
    reg = make_pipeline(StandardScaler(), make_pipeline(last)) if nested else last
    prequential(reg, split_batches(np.zeros((6, 1)), np.zeros(6), batch_size=2), gamma=0.5)
    assert last.calls_ == ["partial_fit", *["predict", "decay 0.5", "partial_fit"] * 2]
