import numpy as np
import torch
from sklearn.linear_model import LinearRegression

from skcmanp.adaptation import Basis
from skcmanp.adaptation.trend import PRIOR_CONSTANT, Trend


def test_functions_are_lines_with_the_prior_of_their_slopes():
    x = np.random.default_rng(0).normal(size=(30, 3))
    trend = Trend(np.array([0.5, 2.0, 0.0]))
    psi = trend.of_rows(x)
    assert psi.shape == (30, trend.n_features) == (30, 4)
    expected = x @ np.diag([0.25, 4.0, 0.0]) @ x.T + PRIOR_CONSTANT**2
    np.testing.assert_allclose(psi @ psi.T, expected)


def test_nothing_of_a_line_is_missed_however_far():
    x = torch.randn(2, 5, 2)
    trend = Trend(np.array([0.5, 2.0])).to("cpu")
    psi, missed = trend(1e5 * x)
    assert psi.dtype == torch.float64
    torch.testing.assert_close(psi[..., :2], 1e5 * x.double() * torch.tensor([0.5, 2.0]))
    assert missed == 0
    assert trend.missed_covariance(x) == 0


def test_a_row_beyond_all_bounds_leaves_the_others_their_digits():
    """A sentinel value, say: sums of squares of its features have digits of those of ordinary rows."""
    trend = Trend(np.array([0.5])).to("cpu")
    far, near = trend(torch.tensor([[[1e30]]]))[0], trend(torch.tensor([[[1.0]]]))[0]
    assert far[..., 0].item() > 1e4
    assert (far.square().sum() + near.square().sum() - far.square().sum()).item() > 0.9 * near.square().sum().item()


def test_a_batch_of_rows_shares_the_slopes():
    x = torch.randn(4, 5, 2)
    trend = Trend(np.array([0.5, 2.0])).to("cpu")
    for i in range(4):
        torch.testing.assert_close(trend(x)[0][i], trend(x[i])[0])


def test_the_memory_extrapolates_lines():
    """Bayesian regression on the trend's features is ridge regression, and goes on as lines do."""
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(1, 200, 2)))
    y = 3 * x[..., 0] - x[..., 1] + 0.5 + 0.1 * torch.tensor(rng.normal(size=(1, 200)))
    trend = Trend(np.array([0.3, 0.3])).to("cpu")
    basis = Basis((trend,), None, torch.tensor([1e3]).double(), torch.ones(1).double(), 3, 2)
    psi = basis.features(x)[0][0]
    weights = torch.linalg.solve(psi.mT @ psi + torch.eye(3) * 1e-4, psi.mT @ y[0])
    far = torch.tensor([[[50.0, -20.0]]])
    line = LinearRegression().fit(x[0].numpy(), y[0].numpy()).predict(far[0].numpy())
    np.testing.assert_allclose((basis.features(far)[0][0] @ weights).numpy(), line, rtol=1e-3)
