import math

import numpy as np
import torch
from conftest import make_model
from torch import nn
from torch.distributions import MultivariateNormal, Normal

from skcmanp.tasks import FunctionTasks, RandomLinear, TaskBatch
from skcmanp.training import (
    EVALUATION_STEP,
    evaluate,
    joint_log_likelihood,
    log_likelihood,
    predict_jointly,
    task_generator,
)


def fresh():
    return make_model(dim_x=2), FunctionTasks([RandomLinear()], dim_x=2, n_context=(1, 20), n_target=8)


class Independent(nn.Module):
    """A joint Gaussian over flattened targets that is independent, for comparison."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, y, x_target):
        d = self.model(x, y, x_target)
        return MultivariateNormal(d.mean.flatten(1), scale_tril=torch.diag_embed(d.stddev.flatten(1)))


def test_evaluation_is_fixed():
    model, tasks = fresh()
    a, b = evaluate(model, tasks, 3, 4), evaluate(model, tasks, 3, 4)
    assert a == b
    assert 0 <= a["coverage_90"] <= 1
    assert a["standard_error"] > 0
    assert math.isnan(evaluate(model, tasks, 1, 4)["standard_error"])


class Ideal(nn.Module):
    """The distribution that `Shifted` targets have, its standard deviation multiplied by a factor."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x, y, x_target):
        return Normal(x_target[..., :1], 0.5 * self.factor)


class Shifted:
    """Targets are a feature and noise."""

    def sample(self, batch_size, generator):
        x = torch.randn(batch_size, 200, 2, generator=generator)
        y = x[..., :1] + 0.5 * torch.randn(batch_size, 200, 1, generator=generator)
        return TaskBatch(x[:, :100], y[:, :100], x[:, 100:], y[:, 100:])


def test_the_histogram_is_flat_for_calibrated_predictions_alone():
    flat, wide, narrow = (np.array(evaluate(Ideal(factor), Shifted(), 4, 32)["pit"]) for factor in (1.0, 2.0, 0.5))
    for histogram in (flat, wide, narrow):
        assert math.isclose(histogram.sum(), 1)
    np.testing.assert_allclose(flat, 0.1, atol=0.01)
    assert wide[0] < 0.03 < 0.15 < wide[4]
    assert narrow[0] > 0.2 > 0.08 > narrow[4]


def test_log_likelihood_sums_dimensions_and_averages_targets():
    torch.manual_seed(0)
    model = make_model(dim_x=2, dim_y=2)
    x, y, x_target, y_target = (torch.randn(4, n, 2) for n in (5, 5, 7, 7))
    distribution = model(x, y, x_target)
    likelihood = log_likelihood(distribution, y_target)
    assert likelihood.shape == (4,)
    torch.testing.assert_close(likelihood, distribution.log_prob(y_target).sum(-1).mean(-1))
    torch.testing.assert_close(log_likelihood(Independent(model)(x, y, x_target), y_target), likelihood)


def test_joint_distributions_are_evaluated_alike():
    model, tasks = fresh()
    diagonal, joint = evaluate(model, tasks, 2, 4), evaluate(Independent(model), tasks, 2, 4)
    assert joint["coverage_90"] == diagonal["coverage_90"]
    assert math.isclose(joint["log_likelihood"], diagonal["log_likelihood"], abs_tol=1e-5)


def test_joint_and_marginal_predictions_agree():
    model = make_model(dim_y=2, memory_features=16, joint_rank=2)
    x, y, x_target, y_target = (torch.randn(3, n, d) for n, d in ((5, 3), (5, 2), (4, 3), (4, 2)))
    marginals, joint = predict_jointly(model, x, y, x_target)
    alone = model(x, y, x_target)
    torch.testing.assert_close(marginals.mean, alone.mean)
    torch.testing.assert_close(marginals.stddev, alone.stddev)
    diagonal = MultivariateNormal(joint.loc, torch.diag_embed(joint.variance))
    torch.testing.assert_close(joint_log_likelihood(diagonal, y_target), log_likelihood(alone, y_target).double())
    one = MultivariateNormal(joint.loc[2, 1], joint.covariance_matrix[2, 1]).log_prob(y_target[2, :, 1].double())
    other = MultivariateNormal(joint.loc[2, 0], joint.covariance_matrix[2, 0]).log_prob(y_target[2, :, 0].double())
    torch.testing.assert_close(joint_log_likelihood(joint, y_target)[2], (one + other) / 4)


def test_steps_draw_different_tasks():
    steps = [*range(-20, 20), *range(EVALUATION_STEP, EVALUATION_STEP + 20)]
    assert len({torch.rand(1, generator=task_generator(step)).item() for step in steps}) == len(steps)
