import math

import torch
from conftest import make_model
from torch import nn
from torch.distributions import MultivariateNormal

from skcmanp.tasks import FunctionTasks, RandomLinear
from skcmanp.training import EVALUATION_STEP, evaluate, log_likelihood, task_generator


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


def test_steps_draw_different_tasks():
    steps = [*range(-20, 20), *range(EVALUATION_STEP, EVALUATION_STEP + 20)]
    assert len({torch.rand(1, generator=task_generator(step)).item() for step in steps}) == len(steps)
