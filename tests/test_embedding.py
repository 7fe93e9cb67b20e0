import torch
from hypothesis import given
from hypothesis import strategies as st

from skcmanp.nn.embedding import FourierFeatures, RowEmbedder, bounded, mlp


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_bounded_is_monotone_and_small(a, b):
    low, high = bounded(torch.tensor(sorted((a, b)), dtype=torch.float64), 4.0)
    assert low <= high
    assert max(abs(low), abs(high)) < 80


def test_bounded_is_the_identity_inside():
    x = torch.linspace(-4, 4, 9)
    assert torch.equal(bounded(x, 4.0), x)
    assert torch.equal(bounded(x, None), x)
    assert torch.equal(bounded(-10 * x, 4.0), -bounded(10 * x, 4.0))


def test_bounded_has_a_continuous_slope():
    x = torch.tensor([3.999, 4.001], dtype=torch.float64, requires_grad=True)
    bounded(x, 4.0).sum().backward()
    torch.testing.assert_close(x.grad, torch.ones(2, dtype=torch.float64), rtol=2e-3, atol=0)


def test_fourier_features_keep_x_and_are_optional():
    x = torch.randn(2, 5, 3)
    features = FourierFeatures(3, 8, (0.3, 6.0))
    out = features(x)
    assert out.shape == (2, 5, features.dim_out) == (2, 5, 11)
    assert torch.equal(out[..., :3], x)
    assert out[..., 3:].abs().max() <= 1
    none = FourierFeatures(3, 0, (0.3, 6.0))
    assert none(x) is x
    assert not list(none.parameters())


def test_row_embedder_uses_every_product():
    embed = RowEmbedder(4, 2, 16, 2, products=True)
    assert embed.mlp[0].in_features == 4 + 2 + 8
    assert embed(torch.randn(2, 5, 4), torch.randn(2, 5, 2)).shape == (2, 5, 16)
    plain = RowEmbedder(4, 2, 16, 2, products=False)
    assert plain.mlp[0].in_features == 6
    assert plain.linear is None


def test_mlp_has_the_depth_asked_for():
    layers = [layer for layer in mlp(3, 8, 5, 4) if isinstance(layer, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(3, 8), (8, 8), (8, 8), (8, 5)]
