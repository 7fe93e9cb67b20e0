"""Fitted estimators outside of pickles."""

import importlib

import numpy as np
import pytest
import torch
from conftest import make_model

from skcmanp import CMANPRegressor
from skcmanp.deployment import TRUSTED_TYPES, predictor_module


@pytest.mark.parametrize("memory_features", [0, 12])
def test_modules_predict_what_estimators_do(table, memory_features):
    X, y = table
    reg = CMANPRegressor(make_model(memory_features=memory_features)).fit(X, np.c_[y, -1e3 * y])
    module = predictor_module(reg)
    for rows in (X, X[:1], 1e200 * X):
        for actual, expected in zip(module(torch.tensor(rows)), reg.predict(rows, return_std=True), strict=True):
            np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-12)


def test_what_is_not_torchs_is_refused(model):
    X = np.random.default_rng(0).uniform(size=(400, 3))
    reg = CMANPRegressor().fit(X, np.exp(4 * X[:, 0]))
    with pytest.raises(ValueError, match=r"has .*warped targets.*, which are not torch's"):
        predictor_module(reg)
    predictor_module(CMANPRegressor(x_bounds=(0, 1), y_bounds=(0, 60)).fit(X, np.exp(4 * X[:, 0])))


def test_trusted_types_are_there_and_enough():
    for name in TRUSTED_TYPES:
        module, _, kind = name.rpartition(".")
        assert isinstance(getattr(importlib.import_module(module), kind), type)
    skops_io = pytest.importorskip("skops.io")
    X = np.random.default_rng(0).uniform(size=(50, 3))
    for reg in (CMANPRegressor(), CMANPRegressor().fit(X, X[:, 0]), CMANPRegressor().partial_fit(X, X[:, 0])):
        assert set(skops_io.get_untrusted_types(data=skops_io.dumps(reg))) <= set(TRUSTED_TYPES)
