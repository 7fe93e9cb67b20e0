"""Regressors inside others: scored, streamed and reached as if alone, with and without metadata routing."""

import numpy as np
import pytest
from conftest import make_model
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import StackingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import BayesianRidge, Ridge
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcmanp import CMANPRegressor
from skcmanp.inspection import CalibrationDisplay
from skcmanp.metrics import coverage_scorer, neg_nll_scorer, supports_std
from skcmanp.streaming import fit_stream, prequential, split_batches
from skcmanp.wrappers import unwrap


def wrapped(kind, reg):
    """Fit one of these."""
    search = GridSearchCV(reg, {"chunk_size": [50, 100]}, cv=2, scoring=neg_nll_scorer)
    stack = StackingRegressor([("ridge", Ridge())], reg, cv=2, passthrough=True)
    return {
        "alone": reg,
        "pipeline": make_pipeline(StandardScaler(), reg),
        "pipeline of one": make_pipeline(reg),
        "search": search,
        "pipeline of a search": make_pipeline(StandardScaler(), search),
        "search of a pipeline": GridSearchCV(
            make_pipeline(StandardScaler(), reg), {"cmanpregressor__chunk_size": [50]}, cv=2, scoring=neg_nll_scorer
        ),
        "stack": stack,
        "stack in a pipeline": make_pipeline(StandardScaler(), stack),
    }[kind]


KINDS = ["alone", "pipeline", "pipeline of one", "search", "pipeline of a search", "search of a pipeline", "stack"]
KINDS += ["stack in a pipeline"]


@pytest.fixture(scope="module")
def small():
    return make_model(dim_x=4, memory_features=12)


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_wraps_a_regressor_is_no_obstacle(kind, routing, table, small):
    X, y = table
    with config_context(enable_metadata_routing=routing):
        outer = wrapped(kind, CMANPRegressor(small))
        assert supports_std(outer)
        outer.fit(X, y)
        assert supports_std(outer)
        for estimator in (outer, FrozenEstimator(outer)):
            reg, rows = unwrap(estimator, X)
            assert isinstance(reg, CMANPRegressor)
            np.testing.assert_allclose(reg.predict(rows), outer.predict(X), rtol=1e-12)
            assert neg_nll_scorer(estimator, X, y) == neg_nll_scorer(reg, rows, y)
        assert CalibrationDisplay.from_estimator(outer, X, y).pit.shape == y.shape
        scores = prequential(outer, split_batches(X[:20], y[:20], batch_size=10))
    assert reg.n_samples_seen_ == 80
    assert np.isfinite(scores["nll"]).all()


@pytest.mark.parametrize("routing", [False, True])
def test_cross_validation_of_anything_has_scores(routing, table, small):
    X, y = table
    with config_context(enable_metadata_routing=routing):
        for kind in ("pipeline", "search of a pipeline", "stack"):
            outer = wrapped(kind, CMANPRegressor(small))
            scoring = {"nll": neg_nll_scorer, "coverage": coverage_scorer}
            result = cross_validate(outer, X, y, scoring=scoring, cv=2, error_score="raise")
            assert np.isfinite(result["test_nll"]).all()


def test_searches_of_all_kinds_are_seen_through(table):
    X, y = table
    search = HalvingGridSearchCV(BayesianRidge(), {"alpha_1": [1e-6, 1.0]}, cv=2, scoring=neg_nll_scorer)
    assert np.isfinite(neg_nll_scorer(search.fit(X, y), X, y))


def test_without_std_or_fit_it_is_said(table, model):
    X, y = table
    assert not supports_std(StackingRegressor([("ridge", Ridge())]))
    for last in ("passthrough", None, StandardScaler()):
        assert not supports_std(make_pipeline(StandardScaler(), last))
        assert not supports_std(make_pipeline(Ridge(), last))
        assert not supports_std(make_pipeline(last))
    assert supports_std(make_pipeline(Ridge(), BayesianRidge()))  # which cannot be fitted
    search = GridSearchCV(CMANPRegressor(model), {"chunk_size": [50]}, cv=2)
    with pytest.raises(NotFittedError, match="GridSearchCV learns batches once it is fitted; call its fit"):
        fit_stream(search, split_batches(X, y))
    with pytest.raises(NotFittedError):
        neg_nll_scorer(clone(search), X, y)
