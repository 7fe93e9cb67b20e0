import torch

from skcmanp.nn.cmab import CMAB


def test_latents_ignore_the_order_of_block_latents():
    torch.manual_seed(0)
    block = CMAB(16, 2, 32, 6).double()
    attended, latents = torch.randn(3, 6, 16).double(), torch.randn(3, 4, 16).double()
    permutation = torch.randperm(6)
    with torch.no_grad():
        expected = block(attended, latents)
        block.block_latents.copy_(block.block_latents[permutation])
        torch.testing.assert_close(block(attended[:, permutation], latents), expected)
    assert expected.shape == (3, 4, 16)


def test_queries_are_split_into_heads():
    block = CMAB(16, 4, 32, 6)
    queries = block.queries()
    assert queries.shape == (4, 6, 4)
    flat = block.query(block.norm_block(block.block_latents))
    torch.testing.assert_close(queries[1, 2], flat[2, 4:8])


def test_every_parameter_gets_a_gradient():
    block = CMAB(16, 2, 32, 6)
    block(torch.randn(3, 6, 16), torch.randn(3, 4, 16)).square().sum().backward()
    reading = {
        "query.weight",
        "query.bias",
        "key_value.weight",
        "key_value.bias",
        "norm_block.weight",
        "norm_block.bias",
    }
    without = {name for name, p in block.named_parameters() if p.grad is None}
    assert without == reading
