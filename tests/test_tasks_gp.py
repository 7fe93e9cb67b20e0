import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import RBF, Matern

from skcmanp.tasks.gp import GPTasks, RandomGP, RandomSums, random_relevance


def test_draws_have_the_covariance_of_the_kernels():
    """The prior mixes RBF and Matern-1/2, 3/2, 5/2 and 7/2 kernels of one length-scale."""
    lengthscale = 0.7
    x = np.linspace(0, 2, 9)[:, None]
    prior = RandomGP(lengthscale=(lengthscale, lengthscale), n_features=64)
    batch = torch.tensor(x, dtype=torch.float32).expand(60_000, -1, -1)
    f = prior(batch, torch.Generator().manual_seed(0)).double()
    empirical = (f.T @ f / len(f)).numpy()
    kernels = [RBF(lengthscale)(x)] + [Matern(lengthscale, nu=nu)(x) for nu in (0.5, 1.5, 2.5, 3.5)]
    expected = np.average(kernels, axis=0, weights=[0.4, 0.15, 0.15, 0.15, 0.15])
    np.testing.assert_allclose(empirical, expected, atol=0.025)


def test_relevance_has_unit_mean_square_and_idle_features():
    relevance = random_relevance(5000, 10, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(relevance.square().mean(1), 1, rtol=1e-4)
    idle = (relevance < 0.01).double().mean()
    assert 0.2 < idle < 0.4
    assert (relevance > 0).all()


@pytest.mark.parametrize(("p_pairs", "adds_up"), [(0.0, True), (1.0, False)])
def test_sums_have_no_interactions_but_those_of_pairs(p_pairs, adds_up):
    """Of functions of one feature each, second differences in two features vanish."""
    corners = torch.tensor([[0.0, 0.0], [1.3, 0.0], [0.0, 0.9], [1.3, 0.9]])
    x = corners.expand(200, -1, -1)
    f = RandomSums(p_pairs=p_pairs)(x, torch.Generator().manual_seed(0)).double()
    interaction = f[:, 0] - f[:, 1] - f[:, 2] + f[:, 3]
    assert (f.std(1) > 0.1).double().mean() > 0.95
    assert (interaction.abs().max() < 1e-4 * f.abs().max()) == adds_up


def test_sums_are_finite_where_features_do_not_vary():
    f = RandomSums()(torch.zeros(3, 10, 2), torch.Generator().manual_seed(0))
    assert torch.isfinite(f).all()


def test_gp_tasks_follow_the_papers_protocol():
    tasks = GPTasks()
    sizes = set()
    for seed in range(200):
        batch = tasks.sample(2, torch.Generator().manual_seed(seed))
        n_context, n_target = batch.x.shape[1], batch.x_target.shape[1]
        assert 3 <= n_context <= 46
        assert 3 <= n_target <= 49 - n_context
        assert batch.x.abs().max() <= 2
        assert batch.x.dtype == batch.y.dtype == torch.float32
        sizes.add(n_context)
    assert {3, 46} <= sizes


def test_gp_tasks_have_the_moments_of_their_kernel():
    tasks = GPTasks("rbf", lengthscale=(0.3, 0.3), scale=(0.8, 0.8), noise=(0.1, 0.1), n_context=(0, 0), max_rows=40)
    products, expected = [], []
    for seed in range(300):
        draw = tasks.draw(16, torch.Generator().manual_seed(seed))
        x, y = draw.batch.x_target.double(), draw.batch.y_target.double()
        covariance = draw.kernel(x[:, :2], x[:, :2])
        covariance += draw.noise.square() * torch.eye(2, dtype=torch.float64)
        products.append((y[:, :2] @ y[:, :2].transpose(1, 2)).flatten(1))
        expected.append(covariance.flatten(1))
    products, expected = torch.cat(products), torch.cat(expected)
    np.testing.assert_allclose(products[:, 0].mean(), 0.65, rtol=0.06)
    np.testing.assert_allclose(products.mean(0), expected.mean(0), atol=0.03)
    near = expected[:, 1] > 0.4
    assert 200 < near.sum() < 2000
    np.testing.assert_allclose(products[near, 1].mean(), expected[near, 1].mean(), rtol=0.15)


def test_gp_tasks_are_seeded_and_any_kernel_can_be_drawn():
    for kernel in ("matern12", "periodic", "rbf * periodic + matern32"):
        tasks = GPTasks(kernel, dim_x=2, n_context=(0, 20))
        a, b = (tasks.sample(4, torch.Generator().manual_seed(1)) for _ in range(2))
        assert all(torch.equal(x, y) for x, y in zip(a[:4], b[:4], strict=True))
        assert torch.isfinite(a.y_target).all()


def test_gp_tasks_refuse_what_they_cannot_draw():
    with pytest.raises(ValueError, match="Unknown kernel 'rbff'"):
        GPTasks("rbff")
    with pytest.raises(ValueError, match="max_rows=40 leaves no room"):
        GPTasks(max_rows=40)


def test_cards_say_what_the_tasks_are():
    card = GPTasks("matern12 + rbf", dim_x=2, noise=(0.1, 0.2)).describe()
    assert card["kernel"] == "matern12 + rbf"
    assert card["features"] == "2"
    assert card["noise"] == "0.1 to 0.2"
    assert GPTasks().describe()["noise"] == "0.02"
