"""Shared fixtures: small networks and small data."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import settings

from skcmanp import CMANP, CMANPConfig
from skcmanp.adaptation import Adaptation
from skcmanp.adaptation.encoding import Encoding
from skcmanp.adaptation.inputs import Inputs
from skcmanp.adaptation.targets import Targets
from skcmanp.adaptation.warp import Warp
from skcmanp.frames import Kind
from skcmanp.nn.calibration import calibrate

# Examples are the same on every run, and slow ones are no failure: machines are shared.
settings.register_profile("skcmanp", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("skcmanp")


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs CUDA"))


@pytest.fixture(autouse=True)
def global_seeds():
    """Whatever draws without a seed draws the same on every run: a test of statistics passes always or never."""
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


def make_model(seed=0, **changes):
    """An untrained network whose predictions depend on everything that they can depend on."""
    config = {
        "dim_x": 3,
        "dim": 16,
        "n_heads": 2,
        "dim_feedforward": 16,
        "n_blocks": 2,
        "n_block_latents": 6,
        "n_input_latents": 5,
        "embed_depth": 2,
        "fourier_features": 8,
        "count_input": True,
        "input_limit": 4.0,
        **changes,
    }
    torch.manual_seed(seed)
    model = CMANP(CMANPConfig(**config))
    x, y = torch.randn(8, 32, config["dim_x"]), torch.randn(8, 32, config.get("dim_y", 1))
    calibrate(model, [(x, y)])
    return model


@pytest.fixture(scope="session")
def model():
    return make_model()


@pytest.fixture(scope="session")
def table():
    """60 rows of 3 features in units far from standard ones."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) * [1.0, 100.0, 1e-3] + [0.0, 1e3, 5.0]
    y = 50 + 20 * np.sin(X[:, 0]) + 0.1 * X[:, 1] + rng.normal(size=60)
    return X, y


def inputs_of(centre, scale):
    """Numbers, centred and scaled."""
    return Inputs.of_numbers(Encoding(np.full(len(centre), Kind.NUMBER, dtype=np.int64), centre, scale))


def targets_of(centre, scale):
    """Targets that are not bent."""
    return Targets(centre, scale, *Warp.none(len(centre)))


def scaling_of(d, t):
    """That leaves d features and t targets as they are."""
    return Adaptation(inputs_of(np.zeros(d), np.ones(d)), targets_of(np.zeros(t), np.ones(t)))


def make_mixed_table(n=100, seed=0):
    """A category, two numbers, weights, and a target."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "city": rng.choice(["Oslo", "Rome", "Lima"], n),
            "hour": rng.integers(0, 24, n),
            "level": rng.normal(size=n),
            "trust": rng.integers(1, 4, n),
            "y": rng.normal(size=n),
        }
    )


def assert_same_predictions(a, b, X, rtol=1e-9, scale=None):
    """Means and stds agree to `rtol`, relative to the predictive scale."""
    mean_a, std_a = a.predict(X, return_std=True)
    mean_b, std_b = b.predict(X, return_std=True)
    assert np.isfinite(mean_a).all()
    assert np.isfinite(std_a).all()
    assert (std_a > 0).all()
    unit = np.abs(mean_b).max() + std_b.max() if scale is None else scale
    assert np.abs(mean_a - mean_b).max() <= rtol * unit
    assert np.abs(std_a - std_b).max() <= rtol * unit
