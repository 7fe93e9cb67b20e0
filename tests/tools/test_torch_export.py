"""A fitted estimator as a program for other runtimes: torch takes its time to trace it."""

import io
import warnings

import numpy as np
import torch
from conftest import make_model

from skcmanp import CMANPRegressor
from skcmanp.deployment import predictor_module


def test_modules_are_exported_with_any_number_of_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    config = {"memory_features": 30, "memory_kernel": "matern52", "relevance": True, "n_blocks": 1}
    reg = CMANPRegressor(make_model(**config)).fit(X, np.sin(X).sum(axis=1))
    rows = torch.export.Dim("rows")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its storage
        example = (torch.tensor(X[:5]),)
        program = torch.export.export(predictor_module(reg), example, dynamic_shapes=({0: rows},), strict=False)
        file = io.BytesIO()
        torch.export.save(program, file)
        file.seek(0)
        module = torch.export.load(file).module()
    for actual, expected in zip(module(torch.tensor(X)), reg.predict(X, return_std=True), strict=True):
        np.testing.assert_allclose(actual[:, 0].numpy(), expected, rtol=1e-8)
