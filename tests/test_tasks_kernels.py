import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, ExpSineSquared, Matern

from skcmanp.tasks.kernels import NAMES, Factor, draw_kernel, parse

SKLEARN = {
    "rbf": lambda length, period: RBF(length),
    "matern12": lambda length, period: Matern(length, nu=0.5),
    "matern32": lambda length, period: Matern(length, nu=1.5),
    "matern52": lambda length, period: Matern(length, nu=2.5),
    "periodic": lambda length, period: ExpSineSquared(length, period),
}


def rows(dim_x):
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, dim_x)), rng.normal(size=(5, dim_x))


def batched(value):
    return torch.full((1, 1, 1), value, dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dim_x", [1, 3])
def test_factors_are_scikit_learns(name, dim_x):
    if name == "periodic" and dim_x > 1:
        pytest.skip("scikit-learn's periodic kernel takes distances, ours differences by feature")
    a, b = rows(dim_x)
    factor = Factor(name, batched(0.7), batched(1.3))
    actual = factor(torch.tensor(a).unsqueeze(0), torch.tensor(b).unsqueeze(0))[0]
    np.testing.assert_allclose(actual, SKLEARN[name](0.7, 1.3)(a, b), rtol=1e-10)


def test_sums_and_products_are_scikit_learns():
    a, b = rows(1)
    kernel = draw_kernel(
        "rbf * periodic + matern12", 2, (0.3, 2.0), (0.5, 1.0), (0.5, 2.0), torch.Generator().manual_seed(0)
    )
    x1, x2 = (torch.tensor(x).expand(2, -1, -1) for x in (a, b))
    actual = kernel(x1, x2)
    for i in range(2):
        terms = []
        for factors, scale in zip(kernel.terms, kernel.scales, strict=True):
            term = ConstantKernel(scale[i].item() ** 2)
            for factor in factors:
                term = term * SKLEARN[factor.name](factor.lengthscale[i].item(), factor.period[i].item())
            terms.append(term)
        np.testing.assert_allclose(actual[i], (terms[0] + terms[1])(a, b), rtol=1e-10)


def test_every_factor_and_term_draws_its_own_hyperparameters():
    kernel = draw_kernel("rbf * rbf + rbf", 4, (0.1, 0.6), (0.1, 1.0), (1.0, 1.0), torch.Generator().manual_seed(0))
    lengthscales = [factor.lengthscale for factors in kernel.terms for factor in factors]
    assert len(lengthscales) == 3
    assert len({tuple(value.flatten().tolist()) for value in (*lengthscales, *kernel.scales)}) == 5
    assert all((value >= 0.1).all() and (value <= 0.6).all() for value in lengthscales)


@pytest.mark.parametrize("expression", ["rbff", "rbf +", "rbf * matern", ""])
def test_unknown_kernels_are_named(expression):
    with pytest.raises(ValueError, match=r"Unknown kernel .* the known ones are rbf, matern12"):
        parse(expression)
