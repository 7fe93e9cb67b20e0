"""The page about other tools: every block runs where its package is installed, as with ``tox -e tools``."""

import io
import os

import numpy as np
import pytest
import torch

tools = pytest.importorskip("tools")

# What others warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_the_page_has_blocks():
    assert {"setup", "mapie", "crepes", "skpro", "river", "skopt", "botorch", "skforecast"} < set(tools.blocks())
    assert {"mlflow", "shap", "duckdb", "skops", "torch"} < set(tools.blocks())


@pytest.mark.parametrize("name", sorted(set(tools.blocks()) - {"setup"}))
def test_blocks_of_the_page_run(name):
    if name == "torch" and os.environ.get("TOX_ENV_NAME") != "tools":
        pytest.skip("torch takes long to trace a network")
    pytest.importorskip(name)
    found = tools.run(name)
    if name in ("crepes", "mapie"):
        low, high = np.squeeze(found["intervals"])[:, :2].T
        assert 0.8 < ((low <= found["y_new"]) & (found["y_new"] <= high)).mean() < 0.99
        assert np.ptp(high - low) > 1  # as different as the stds are
    elif name in ("skops", "mlflow"):
        assert (found["again"].predict(found["X_new"]) == found["reg"].predict(found["X_new"])).all()
    elif name == "skpro":
        assert found["quantiles"].shape == (92, 2)
    elif name == "river":
        assert found["error"].get() < 70
        assert found["reg"].n_samples_seen_ in (250, 342)  # a copy may have learned
    elif name == "skopt":
        assert min(found["optimizer"].yi) < -0.6  # of -0.73
    elif name == "botorch":
        assert found["candidate"].shape == (1, 10)
    elif name == "skforecast":
        assert np.abs(found["forecast"] - np.sin(np.arange(400, 412) * np.pi / 12)).max() < 0.4
    elif name == "torch":
        file = io.BytesIO()
        torch.export.save(found["program"], file)
        file.seek(0)
        rows = found["X_new"][:7]
        actual = torch.export.load(file).module()(torch.tensor(rows))
        for values, expected in zip(actual, found["reg"].predict(rows, return_std=True), strict=True):
            np.testing.assert_allclose(values[:, 0].numpy(), expected, rtol=1e-8)
    elif name == "shap":
        assert found["of_mean"].values.shape == found["of_std"].values.shape == (2, 10)
