"""River's interface."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import SGDRegressor

from skcmanp import CMANPStreamRegressor
from skcmanp.streaming import to_river

river = pytest.importorskip("river")
pytestmark = pytest.mark.filterwarnings("default")  # of another package


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    return pd.DataFrame(X, columns=["a", "b"]), pd.Series(10 + X[:, 0] + 0.1 * rng.normal(size=60))


def test_rows_one_by_one_and_many(model, rows):
    X, y = rows
    adapter = to_river(CMANPStreamRegressor(checkpoint=model))
    assert isinstance(adapter, river.base.Regressor)
    assert adapter.predict_one({"a": 1.0, "b": 2.0}) == 0.0
    assert (adapter.predict_many(X) == 0).all()
    adapter.learn_many(X[:50], y[:50])
    adapter.learn_one({"b": X["b"][50], "a": X["a"][50], "later": 1.0}, y[50])  # order and further ones do not matter
    mean, std = adapter.estimator.predict(X[51:52].to_numpy(), return_std=True)
    row = X.iloc[51].to_dict()
    assert adapter.predict_one(row) == pytest.approx(mean[0])
    normal = adapter.predict_one(row, with_dist=True)
    assert (normal.mu, normal.sigma) == pytest.approx((mean[0], std[0]))
    low, high = adapter.predict_interval_one(row)
    assert low < mean[0] < high
    assert adapter.predict_many(X[51:53]).index.tolist() == [51, 52]
    assert pickle.loads(pickle.dumps(adapter)).predict_one(row) == adapter.predict_one(row)
    with pytest.raises(KeyError, match="b"):
        adapter.predict_one({"a": 1.0})


def test_rows_with_text_and_gaps(model, rows):
    X, y = rows
    X = X.assign(kind=np.where(np.arange(60) % 3, "x", "y"))
    one, many = (to_river(CMANPStreamRegressor(checkpoint=model)) for _ in range(2))
    assert one.predict_interval_one({"a": 1.0}) == (-np.inf, np.inf)
    with pytest.raises(ValueError, match="NaN"):
        one.learn_one({"other": 1.0}, np.nan)
    one.learn_many(X[:50], y[:50])
    many.learn_many(X[:50], y[:50])
    for i in (50, 51):
        one.learn_one(X.iloc[i].to_dict(), y[i])
        many.learn_many(X[i : i + 1], y[i : i + 1])
    assert (
        one.predict_one({"a": 1.0, "b": None, "kind": "x"})
        == many.predict_many(pd.DataFrame({"a": [1.0], "b": [np.nan], "kind": ["x"]})).item()
    )


def test_river_evaluates_it(rows):
    from river import evaluate, metrics, stream

    X, y = rows
    iterate = getattr(stream, "iter_frame", None) or stream.iter_pandas  # as earlier versions call it
    score = evaluate.progressive_val_score(iterate(X, y), to_river(SGDRegressor(random_state=0)), metrics.RMSE())
    assert 0 < score.get() < y.mean()


def test_what_an_estimator_cannot_do():
    with pytest.raises(TypeError, match="no partial_fit"):
        to_river(object())
    with pytest.raises(TypeError, match="no return_std"):
        to_river(SGDRegressor()).predict_one({"a": 1.0}, with_dist=True)
    with pytest.raises(TypeError, match="no predict_interval"):
        to_river(SGDRegressor()).predict_interval_one({"a": 1.0})


def test_clones_have_learned_nothing(model, rows):
    X, y = rows
    adapter = to_river(CMANPStreamRegressor(checkpoint=model))
    adapter.learn_many(X, y)
    row = X.iloc[0].to_dict()
    assert adapter.clone().predict_one(row) == 0.0
    assert adapter.clone().estimator.checkpoint is model
    assert adapter.clone({"estimator": SGDRegressor(alpha=0.5)}).estimator.alpha == 0.5
    twin = adapter.clone(include_attributes=True)
    assert twin.predict_one(row) == adapter.predict_one(row) != 0
    twin.learn_one(row, 100.0)
    assert adapter.estimator.n_samples_seen_ == len(X) == twin.estimator.n_samples_seen_ - 1


def test_features_that_a_row_lacks_are_named(model, rows):
    X, y = rows
    adapter = to_river(CMANPStreamRegressor(checkpoint=model))
    adapter.learn_many(X, y)
    for use in (adapter.predict_one, lambda x: adapter.learn_one(x, 10.0)):
        with pytest.raises(KeyError, match=r"lacks \['b'\].*give None"):
            use({"a": 1.0})
    adapter.learn_one({"a": 1.0, "b": None}, 10.0)
