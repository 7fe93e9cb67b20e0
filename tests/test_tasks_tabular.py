import torch

from skcmanp.tasks.tabular import RandomLinear, RandomMLP, RandomTrees


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_linear_functions_are_linear():
    prior = RandomLinear(p_products=0.0)
    a, b = torch.randn(4, 9, 5), torch.randn(4, 9, 5)
    torch.testing.assert_close(prior(a + 2 * b, generator()), prior(a, generator()) + 2 * prior(b, generator()))


def test_products_are_quadratic():
    prior, x = RandomLinear(p_products=1.0), torch.randn(4, 9, 5)
    once, thrice, linear = prior(x, generator()), prior(3 * x, generator()), RandomLinear(0.0)(x, generator())
    torch.testing.assert_close(thrice - 3 * linear, 9 * (once - linear), rtol=1e-4, atol=1e-3)
    assert ((once - linear).abs().amax(1) > 0.1).all()


def test_networks_are_of_both_activations_and_not_linear():
    x = torch.randn(64, 200, 3)
    far = RandomMLP()(1e4 * x, generator())
    size = far.abs().amax(1)
    assert 5 < (size > 1e3).sum() < 60  # ReLU grows without bound, tanh saturates
    f = RandomMLP()(x, generator())
    design = torch.cat([x, torch.ones(64, 200, 1)], -1)
    residual = f.unsqueeze(-1) - design @ torch.linalg.lstsq(design, f.unsqueeze(-1)).solution
    assert (residual.std((1, 2)) / f.std(1)).median() > 0.1


def test_trees_are_piecewise_constant_with_interactions():
    x = torch.randn(32, 300, 3)
    f = RandomTrees(n_trees=2, depth=3)(x, generator())
    assert max(len(task.unique()) for task in f) <= 64
    assert (f.std(1) > 0.1).float().mean() > 0.9
    # A single tree that asks for two features is not a sum of functions of one.
    one = RandomTrees(n_trees=1, depth=3)(x, generator())
    signs = (x > x.median(1, keepdim=True).values).float()
    additive = torch.cat([signs, torch.ones(32, 300, 1)], -1)
    residual = one.unsqueeze(-1) - additive @ torch.linalg.lstsq(additive, one.unsqueeze(-1)).solution
    assert (residual.std((1, 2)) > 0.1).float().mean() > 0.5
    assert all(len(task.unique()) <= 8 for task in one)


def test_questions_compare_a_feature_with_one_of_its_values():
    """Monotone changes of a feature change neither the questions nor the answers."""
    x = torch.randn(8, 100, 3)
    torch.testing.assert_close(RandomTrees()(x, generator()), RandomTrees()((3 * x).exp(), generator()))
