import numpy as np
import pytest
import torch

from skcmanp.products import gram, times_lower, times_upper


def plain(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("sizes", [[40], [40, 17, 33], [1], [3, 40], [40, 3], [0, 20], [20, 20]])
@pytest.mark.parametrize("batch", [(), (1,), (3,)])
def test_sums_of_products_over_blocks_of_rows(sizes, batch):
    blocks = [plain(*batch, n, 113, seed=i) for i, n in enumerate(sizes)]
    whole = torch.cat(blocks, dim=-2)
    before = [block.clone() for block in blocks]
    found = gram(iter(blocks))
    torch.testing.assert_close(found, whole.mT @ whole)
    assert batch == (3,) or torch.equal(found, found.mT)
    assert all(torch.equal(a, b) for a, b in zip(blocks, before, strict=True))


@pytest.mark.parametrize("n", [0, 1, 16, 17, 300])
@pytest.mark.parametrize("batch", [(), (1,), (3,)])
@pytest.mark.parametrize("n_columns", [25, 48, 113])
def test_products_with_a_triangle(n, batch, n_columns):
    triangle, a = plain(*batch, n_columns, n_columns), plain(*batch, n, n_columns, seed=1)
    lower, upper = triangle.tril(), triangle.triu()
    for function, factor in (
        (times_lower, lower),
        (times_lower, upper.mT),
        (times_upper, upper),
        (times_upper, lower.mT),
    ):
        torch.testing.assert_close(function(a.clone(), factor), a @ factor)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numpy_are_multiplied_alike(order):
    a, triangle = np.asarray(plain(40, 113).numpy(), order=order), plain(113, 113, seed=1).numpy()
    before = a.copy()
    np.testing.assert_allclose(times_lower(a, np.tril(triangle)), a @ np.tril(triangle), rtol=0, atol=1e-12)
    np.testing.assert_allclose(times_upper(a, np.tril(triangle).T), a @ np.tril(triangle).T, rtol=0, atol=1e-12)
    assert np.array_equal(a, before)


@pytest.mark.parametrize("kind", ["float32", "graph", "transposed"])
def test_other_arrays_are_multiplied_as_they_are(kind):
    a, lower = plain(40, 113), plain(113, 113).tril()
    if kind == "float32":
        a, lower = a.float(), lower.float()
    elif kind == "graph":
        a.requires_grad_()
    else:
        a = plain(113, 40).T
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if kind == "float32" else {}
    torch.testing.assert_close(gram([a, a]), 2 * a.T @ a, **tolerance)
    torch.testing.assert_close(times_lower(a.clone(), lower), a @ lower, **tolerance)
