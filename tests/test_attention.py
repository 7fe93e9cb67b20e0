import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skcmanp.nn.attention import FeedForward, MultiHeadAttention, SelfAttention, plain_statistics, read_statistics


def inputs(n_rows, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(2, 4, 5, 8, generator=generator, dtype=dtype)
    k, v = (torch.randn(2, 4, n_rows, 8, generator=generator, dtype=dtype) for _ in range(2))
    log_weight = torch.rand(n_rows, generator=generator, dtype=dtype).log()
    return q, k, v, log_weight


@given(n_rows=st.integers(1, 40), weighted=st.booleans(), seed=st.integers(0, 100))
def test_fused_statistics_are_the_softmax(n_rows, weighted, seed):
    q, k, v, log_weight = inputs(n_rows, torch.float64, seed)
    m, s, o = read_statistics(q, k, v, log_weight if weighted else None)
    z = q @ k.transpose(-1, -2) / 8**0.5
    p = z.exp() * (log_weight.exp() if weighted else 1.0)
    torch.testing.assert_close(s * m.exp(), p.sum(-1), rtol=1e-12, atol=0)
    torch.testing.assert_close(o * m.exp().unsqueeze(-1), p @ v, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_plain_and_fused_agree(dtype):
    q, k, v, log_weight = inputs(1000, dtype)
    fused = read_statistics(q, k, v, log_weight)
    plain = plain_statistics(q, k, v, log_weight.view(1, 1, 1, -1))
    torch.testing.assert_close(fused.o / fused.s.unsqueeze(-1), plain.o / plain.s.unsqueeze(-1))
    torch.testing.assert_close(fused.m + fused.s.log(), plain.m + plain.s.log())


def test_large_logits_do_not_overflow():
    q, k, v, _ = inputs(10, torch.float32)
    for statistics in (read_statistics(100 * q, 100 * k, v), plain_statistics(100 * q, 100 * k, v)):
        assert all(torch.isfinite(part).all() for part in statistics)


@pytest.mark.gpu
def test_cuda_statistics_agree_with_the_cpu():
    q, k, v, log_weight = inputs(500, torch.float64)
    m, s, o = read_statistics(q, k, v, log_weight)
    m_gpu, s_gpu, o_gpu = (part.cpu() for part in read_statistics(*(t.cuda() for t in (q, k, v, log_weight))))
    torch.testing.assert_close(m + s.log(), m_gpu + s_gpu.log())
    torch.testing.assert_close(o / s.unsqueeze(-1), o_gpu / s_gpu.unsqueeze(-1))


def test_attention_layers_are_permutation_equivariant():
    x, memory = torch.randn(2, 7, 16), torch.randn(2, 5, 16)
    permutation = torch.randperm(7)
    cross, self_attention, feedforward = MultiHeadAttention(16, 4), SelfAttention(16, 4), FeedForward(16, 32)
    kv = cross.keys_values(memory)
    with torch.no_grad():
        torch.testing.assert_close(cross(x, kv)[:, permutation], cross(x[:, permutation], kv))
        torch.testing.assert_close(self_attention(x)[:, permutation], self_attention(x[:, permutation]))
        torch.testing.assert_close(feedforward(x)[:, permutation], feedforward(x[:, permutation]))
        shuffled = cross.keys_values(memory[:, torch.randperm(5)])
        torch.testing.assert_close(cross(x, kv), cross(x, shuffled))
