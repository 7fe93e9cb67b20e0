"""Fitted estimators outside of pickles."""

import importlib

import numpy as np
import pandas as pd
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


def numbers(n=400, d=3, seed=0):
    return np.random.default_rng(seed).uniform(size=(n, d))


def with_warp():
    X = numbers()
    return X, np.exp(4 * X[:, 0] + 0.3 * numbers(seed=1)[:, 0])


def with_trees():
    X = numbers(1000, 4)
    return X, np.floor(4 * X[:, 0]) * np.floor(3 * X[:, 1]) % 5 + np.floor(5 * X[:, 2]) + 0.01 * X[:, 3]


def with_ridge():
    X = numbers(300, 80)
    return X, X @ np.linspace(-1, 1, 80) + 0.1 * numbers(300, 1, seed=1)[:, 0]


@pytest.mark.parametrize(
    ("data", "has"),
    [
        (with_warp, lambda adaptation: adaptation.targets.is_warped),
        (with_trees, lambda adaptation: adaptation.inputs.trees is not None),
        (with_ridge, lambda adaptation: adaptation.inputs.ridge is not None),
    ],
)
def test_modules_have_all_that_the_first_rows_fixed(data, has):
    X, y = data()
    reg = CMANPRegressor().fit(X, np.column_stack([y, -2 * y]))
    assert has(reg.context_.adaptation)
    rows = np.vstack([X[:40], 3 * X[:5] - 1])
    module, expected = predictor_module(reg), reg.predict(rows, return_std=True)
    for actual, of_estimator in zip(module(torch.tensor(rows)), expected, strict=True):
        np.testing.assert_allclose(actual.numpy(), of_estimator, rtol=1e-9)


def test_programs_take_any_number_of_rows():
    X, y = with_trees()
    reg = CMANPRegressor().fit(X, np.exp(y))
    assert reg.context_.adaptation.targets.is_warped
    assert reg.context_.adaptation.inputs.trees is not None
    shapes = ({0: torch.export.Dim("rows")},)
    arguments = predictor_module(reg), (torch.tensor(X[:40]),)
    program = torch.export.export(*arguments, dynamic_shapes=shapes, strict=False).module()
    for rows in (X[:7], X):
        for actual, expected in zip(program(torch.tensor(rows)), reg.predict(rows, return_std=True), strict=True):
            np.testing.assert_allclose(actual[:, 0].numpy(), expected, rtol=1e-9)


def test_columns_that_are_no_numbers_are_refused():
    X = pd.DataFrame({"x": numbers()[:, 0], "kind": pd.Categorical(np.arange(400) % 3)})
    with pytest.raises(ValueError, match="1 columns of categories or dates, which are not torch's"):
        predictor_module(CMANPRegressor().fit(X, X["x"]))


def test_trusted_types_are_there_and_enough():
    for name in TRUSTED_TYPES:
        module, _, kind = name.rpartition(".")
        assert isinstance(getattr(importlib.import_module(module), kind), type)
    skops_io = pytest.importorskip("skops.io")
    X = np.random.default_rng(0).uniform(size=(50, 3))
    for reg in (CMANPRegressor(), CMANPRegressor().fit(X, X[:, 0]), CMANPRegressor().partial_fit(X, X[:, 0])):
        assert set(skops_io.get_untrusted_types(data=skops_io.dumps(reg))) <= set(TRUSTED_TYPES)
