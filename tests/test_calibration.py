import pytest
import torch

from skcmanp import CMANP, CMANPConfig
from skcmanp.nn.attention import MultiHeadAttention, SelfAttention, split_heads
from skcmanp.nn.calibration import calibrate, sharpen


def make():
    torch.manual_seed(0)
    return CMANP(CMANPConfig(dim=16, n_heads=2, n_blocks=2, n_block_latents=8, n_input_latents=4))


def test_attention_outputs_have_unit_variance_across_tasks():
    model, x, y = make(), torch.randn(200, 50, 1), torch.randn(200, 50, 1)
    outs = []
    for block in model.blocks:
        block.out.register_forward_pre_hook(lambda module, args: outs.append(args[0]))

    def spread():
        """How much what the first block hands on differs between tasks."""
        outs.clear()
        with torch.no_grad():
            model(x, y, x)
            return model.blocks[0].out(outs[0]).std(0).mean().item()

    before = spread()
    calibrate(model, [(x, y), (x[:, :3], y[:, :3])])
    after = spread()
    assert before < 0.2
    assert 0.3 < after < 1.0  # the projection's own weights, of variance 1 / (3 D), see unit variance


def test_logits_have_the_spread_asked_for():
    model, x, y = make(), torch.randn(20, 50, 1), torch.randn(20, 50, 1)
    calibrate(model, [(x, y)], logit_std=2.0)
    projection = model.row_projection()
    with torch.no_grad():
        k, _ = model.rows_keys_values(x, y, projection)
        z = projection.queries @ k.transpose(-1, -2) / k.shape[-1] ** 0.5
    torch.testing.assert_close(z.std(-1).mean(), torch.tensor(2.0), rtol=0.01, atol=0)


def test_too_few_rows_change_nothing():
    model, untouched = make(), make()
    calibrate(model, [(torch.randn(4, 7, 1), torch.randn(4, 7, 1))])
    for weight, expected in zip(model.parameters(), untouched.parameters(), strict=True):
        assert torch.equal(weight, expected)


def test_attention_among_latents_has_the_spread_asked_for():
    torch.manual_seed(0)
    cross, self_attention = MultiHeadAttention(64, 4), SelfAttention(64, 4)
    both = torch.nn.ModuleList([cross, self_attention])
    x, memory = torch.randn(1, 100, 64), torch.randn(1, 80, 64)

    def logit_stds():
        with torch.no_grad():
            q = split_heads(cross.query(cross.norm(x)), 4)
            k = cross.keys_values(memory).k
            own_q, own_k, _ = (split_heads(t, 4) for t in self_attention.qkv(self_attention.norm(x)).chunk(3, dim=-1))
            return [(a @ b.transpose(-1, -2) / 4).std().item() for a, b in ((q, k), (own_q, own_k))]

    assert logit_stds() == pytest.approx([1 / 3, 1 / 3], rel=0.15)
    sharpen(both, logit_std=1.5)
    assert logit_stds() == pytest.approx([1.5, 1.5], rel=0.15)
