import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import BayesianRidge, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcmanp import CMANPRegressor
from skcmanp.metrics import (
    GaussianScorer,
    coverage_scorer,
    gaussian_crps,
    gaussian_nll,
    interval_coverage,
    interval_score,
    neg_calibration_error_scorer,
    neg_crps_scorer,
    neg_interval_score_scorer,
    neg_nll_scorer,
    supports_std,
)

SCORERS = [neg_nll_scorer, neg_crps_scorer, neg_interval_score_scorer, neg_calibration_error_scorer, coverage_scorer]
GP = GaussianProcessRegressor(RBF() + WhiteKernel(), optimizer=None, normalize_y=True)


@pytest.mark.parametrize("regressor", [BayesianRidge(), GP])
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_scores_are_the_metrics(table, regressor, in_pipeline):
    X, y = table
    reg = make_pipeline(StandardScaler(), clone(regressor)) if in_pipeline else clone(regressor)
    predicted = reg.fit(X, y).predict(X, return_std=True)
    weight = np.arange(len(X))
    assert neg_nll_scorer(reg, X, y) == pytest.approx(-gaussian_nll(y, *predicted))
    assert neg_crps_scorer(reg, X, y, sample_weight=weight) == pytest.approx(
        -gaussian_crps(y, *predicted, sample_weight=weight)
    )
    assert neg_interval_score_scorer(reg, X, y) == pytest.approx(-interval_score(y, *predicted))
    assert coverage_scorer(reg, X, y) == pytest.approx(interval_coverage(y, *predicted))
    half = GaussianScorer(interval_coverage, greater_is_better=True, confidence=0.5)
    assert half(reg, X, y) == pytest.approx(interval_coverage(y, *predicted, confidence=0.5))


def test_cross_validation_of_the_own_estimator(table, model):
    X, y = table
    reg = make_pipeline(StandardScaler(), CMANPRegressor(model))
    scores = cross_val_score(reg, X, y, scoring=neg_nll_scorer, cv=3)
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    fit = clone(reg).fit(X[20:], y[20:])
    assert scores[0] == pytest.approx(neg_nll_scorer(fit, X[:20], y[:20]))


def test_a_search_finds_the_noise_that_was_there(table):
    X, y = table
    X = StandardScaler().fit_transform(X)
    gp = GaussianProcessRegressor(RBF(2.0), optimizer=None, normalize_y=True)
    scoring = {"nll": neg_nll_scorer, "crps": neg_crps_scorer, "coverage": coverage_scorer}
    search = GridSearchCV(make_pipeline(StandardScaler(), gp), {"gaussianprocessregressor__alpha": [1e-6, 1e-1, 1e2]})
    search.set_params(scoring=scoring, refit="nll", cv=3)
    search = clone(search).fit(X, y)
    assert search.best_params_ == {"gaussianprocessregressor__alpha": 1e-1}
    assert search.cv_results_["mean_test_coverage"].max() <= 1
    # The search itself predicts without std; what it found is scored.
    assert neg_nll_scorer(search, X, y) == neg_nll_scorer(search.best_estimator_, X, y)
    nested = cross_val_score(
        search.set_params(scoring=neg_crps_scorer, refit=True), X, y, scoring=neg_crps_scorer, cv=2
    )
    assert np.isfinite(nested).all()


@pytest.mark.parametrize("scoring", [neg_nll_scorer, {"nll": neg_nll_scorer, "crps": neg_crps_scorer}])
def test_weights_of_a_search_reach_fit(table, scoring):
    X, y = table
    search = GridSearchCV(BayesianRidge(), {"alpha_1": [1e-6, 1.0]}, scoring=scoring, refit=False, cv=3)
    assert np.isfinite(search.fit(X, y, sample_weight=np.ones(len(X))).cv_results_["mean_fit_time"]).all()


def test_weights_are_routed(table):
    X, y = table
    weight = np.arange(1, 61) ** 2
    with config_context(enable_metadata_routing=True):
        reg = BayesianRidge().set_fit_request(sample_weight=False)
        options = {"params": {"sample_weight": weight}, "cv": 2, "return_estimator": True}
        result = cross_validate(reg, X, y, scoring=neg_nll_scorer.set_score_request(sample_weight=True), **options)
        expected = neg_nll_scorer(result["estimator"][0], X[:30], y[:30], sample_weight=weight[:30])
        assert result["test_score"][0] == pytest.approx(expected)
        assert result["test_score"][0] != pytest.approx(neg_nll_scorer(result["estimator"][0], X[:30], y[:30]))
        with pytest.raises(ValueError, match="sample_weight"):
            cross_validate(reg, X, y, scoring=neg_nll_scorer, **options)


@pytest.mark.parametrize("scorer", SCORERS, ids=repr)
def test_scorers_pickle(table, scorer):
    X, y = table
    reg = BayesianRidge().fit(X, y)
    copied = pickle.loads(pickle.dumps(scorer))
    assert copied(reg, X, y) == scorer(reg, X, y)
    assert repr(copied) == repr(scorer)


def test_scorers_say_what_they_are():
    assert repr(GaussianScorer(interval_score, confidence=0.5)) == "GaussianScorer(interval_score, confidence=0.5)"
    assert repr(coverage_scorer) == "GaussianScorer(interval_coverage, greater_is_better=True)"


@pytest.mark.parametrize(
    "regressor",
    [Ridge(), make_pipeline(StandardScaler(), Ridge()), TransformedTargetRegressor(BayesianRidge())],
    ids=lambda regressor: type(regressor).__name__,
)
def test_estimators_without_std_are_named(table, regressor):
    assert not supports_std(regressor)
    with pytest.raises(TypeError, match=r"has no predict\(X, return_std=True\), which GaussianScorer\(gaussian_nll\)"):
        neg_nll_scorer(clone(regressor).fit(*table), *table)


def test_pipelines_in_pipelines_support_std():
    assert supports_std(make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), BayesianRidge())))
    assert supports_std(CMANPRegressor())
