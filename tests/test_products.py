import pytest
import torch

from skcmanp.products import gram, times_lower


def plain(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("sizes", [[40], [40, 17, 33], [1], [3, 40], [40, 3], [0, 20], [20, 20]])
@pytest.mark.parametrize("batch", [(), (1,), (3,)])
def test_sums_of_products_over_blocks_of_rows(sizes, batch):
    blocks = [plain(*batch, n, 25, seed=i) for i, n in enumerate(sizes)]
    whole = torch.cat(blocks, dim=-2)
    before = [block.clone() for block in blocks]
    found = gram(iter(blocks))
    torch.testing.assert_close(found, whole.mT @ whole)
    assert torch.equal(found, found.mT)
    assert all(torch.equal(a, b) for a, b in zip(blocks, before, strict=True))


@pytest.mark.parametrize("n", [0, 1, 16, 17, 300])
@pytest.mark.parametrize("batch", [(), (1,), (3,)])
def test_products_with_a_triangle(n, batch):
    lower = plain(*batch, 25, 25).tril()
    a = plain(*batch, n, 25, seed=1)
    torch.testing.assert_close(times_lower(a.clone(), lower), a @ lower.mT)


@pytest.mark.parametrize("kind", ["float32", "graph", "transposed"])
def test_other_arrays_are_multiplied_as_they_are(kind):
    a, lower = plain(40, 25), plain(25, 25).tril()
    if kind == "float32":
        a, lower = a.float(), lower.float()
    elif kind == "graph":
        a.requires_grad_()
    else:
        a = plain(25, 40).T
    torch.testing.assert_close(gram([a, a]), 2 * a.T @ a)
    torch.testing.assert_close(times_lower(a.clone(), lower), a @ lower.T)
