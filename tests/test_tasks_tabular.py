import torch

from skcmanp.tasks.tabular import RandomLinear, RandomMLP


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_linear_functions_are_linear():
    prior = RandomLinear()
    a, b = torch.randn(4, 9, 5), torch.randn(4, 9, 5)
    torch.testing.assert_close(prior(a + 2 * b, generator()), prior(a, generator()) + 2 * prior(b, generator()))


def test_networks_are_of_both_activations_and_not_linear():
    x = torch.randn(64, 200, 3)
    far = RandomMLP()(1e4 * x, generator())
    size = far.abs().amax(1)
    assert 5 < (size > 1e3).sum() < 60  # ReLU grows without bound, tanh saturates
    f = RandomMLP()(x, generator())
    design = torch.cat([x, torch.ones(64, 200, 1)], -1)
    residual = f.unsqueeze(-1) - design @ torch.linalg.lstsq(design, f.unsqueeze(-1)).solution
    assert (residual.std((1, 2)) / f.std(1)).median() > 0.1
