import numpy as np
import pandas as pd
import pytest
from conftest import assert_same_predictions, make_mixed_table, make_model
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import SGDRegressor
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
