import copy
import pickle

import pytest
import torch
from conftest import make_model

from skcmanp import CMANP, CMANPConfig
from skcmanp.adaptation import Basis


def test_papers_configuration_has_its_number_of_parameters():
    config = CMANPConfig()
    assert round(sum(p.numel() for p in CMANP(config).parameters()) / 1e6, 2) == 1.34
    assert config.statistics_shape == (24, 128, 16)
    assert config.fourier_features == 0
    assert not config.count_input


def test_reading_then_querying_is_forward(model):
    x, y, x_target = torch.randn(2, 40, 3), torch.randn(2, 40, 1), torch.randn(2, 7, 3)
    with torch.no_grad():
        expected = model(x, y, x_target)
        (_, s, o), sums, _ = model.read(x, y, model.row_projection())
        count = torch.full((2,), 40.0)
        actual = model.query(x_target, model.latents_memory(o / s.unsqueeze(-1), count, sums), count)
    torch.testing.assert_close(actual.mean, expected.mean)
    torch.testing.assert_close(actual.stddev, expected.stddev)


def test_context_order_does_not_matter(model):
    x, y, x_target = torch.randn(2, 20, 3), torch.randn(2, 20, 1), torch.randn(2, 7, 3)
    permutation = torch.randperm(20)
    with torch.no_grad():
        a, b = model(x, y, x_target), model(x[:, permutation], y[:, permutation], x_target)
    torch.testing.assert_close(a.mean, b.mean)


@pytest.mark.parametrize("count_input", [False, True])
def test_repeating_the_context_shows_only_in_the_count(count_input):
    model = make_model(count_input=count_input)
    x, y, x_target = torch.randn(1, 10, 3), torch.randn(1, 10, 1), torch.randn(1, 7, 3)
    with torch.no_grad():
        once, thrice = model(x, y, x_target), model(x.repeat(1, 3, 1), y.repeat(1, 3, 1), x_target)
    assert torch.allclose(once.mean, thrice.mean, atol=1e-5) is not count_input


def test_count_saturates_at_the_trained_range():
    model = make_model(max_count=100.0)
    with torch.no_grad():
        embedded = model.count_embedding(torch.tensor([99.0, 100.0, 1e9]))
    assert not torch.equal(embedded[0], embedded[1])
    assert torch.equal(embedded[1], embedded[2])


def test_no_context_is_a_prior(model):
    empty_x, empty_y, x_target = torch.zeros(2, 0, 3), torch.zeros(2, 0, 1), torch.randn(2, 7, 3)
    distribution = model(empty_x, empty_y, x_target)
    assert torch.isfinite(distribution.mean).all()
    assert (distribution.stddev > 0).all()


def test_linear_readout_is_a_function_of_the_features():
    """With all else switched off the mean is linear in the features."""
    model = make_model(linear_readout=True, fourier_features=0, input_limit=None)
    with torch.no_grad():
        model.head.linear.weight.zero_()
        model.readout.linear.weight.normal_()
    x, y = torch.randn(2, 20, 3), torch.randn(2, 20, 1)
    a, b = torch.randn(2, 7, 3), torch.randn(2, 7, 3)
    with torch.no_grad():
        f_a, f_b, f_sum, f_0 = (model(x, y, t).mean for t in (a, b, a + b, torch.zeros(2, 7, 3)))
        other = model(x, 2 * y, a).mean
    torch.testing.assert_close(f_a + f_b, f_sum + f_0, rtol=1e-4, atol=1e-5)
    assert (f_a - other).abs().max() > 1e-3


def test_every_parameter_is_trained():
    fresh = make_model(linear_readout=True)
    fresh(torch.randn(2, 20, 3), torch.randn(2, 20, 1), torch.randn(2, 7, 3)).mean.square().sum().backward()
    assert [name for name, p in fresh.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_copies_are_equal_and_separate(copied, dtype):
    model = make_model().to(dtype).eval()
    twin = copied(model)
    assert twin.config == model.config
    assert not twin.training
    for name, weight in model.state_dict().items():
        assert torch.equal(twin.state_dict()[name], weight)
    with torch.no_grad():
        twin.input_latents.add_(1)
    assert not torch.equal(twin.input_latents, model.input_latents)


@pytest.mark.gpu
def test_pickles_of_cuda_models_load_on_the_cpu():
    model = make_model().cuda()
    assert pickle.loads(pickle.dumps(model)).input_latents.device.type == "cpu"
    assert copy.deepcopy(model).input_latents.device.type == "cuda"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dim", 0),
        ("n_heads", 5),
        ("n_blocks", 1.5),
        ("fourier_features", -1),
        ("embed_depth", 1),
        ("dim_x", True),
        ("memory_features", 3),
        ("memory_kernel", "rbf"),
        ("memory_fusion", "add"),
    ],
)
def test_bad_configuration_names_the_key(key, value):
    with pytest.raises(ValueError, match=key):
        CMANPConfig(**{key: value})


def test_configuration_round_trip():
    config = CMANPConfig(dim_x=4, fourier_features=8, input_limit=3.0)
    assert CMANPConfig.from_dict(config.to_dict()) == config
    assert CMANPConfig.from_dict({**config.to_dict(), "fourier_scales": [0.3, 6.0]}) == config
    with pytest.raises(ValueError, match="depht"):
        CMANPConfig.from_dict({"depht": 3})


def test_the_memory_can_be_smaller_in_training():
    model = make_model(memory_features=24, memory_kernel="matern52")
    x, y, x_target = torch.randn(2, 5, 3), torch.randn(2, 5, 1), torch.randn(2, 7, 3)
    small = model.with_memory(14)
    assert small.config.adapted_features == small.memory.log_tau.shape[1] == 14
    assert torch.equal(small.head.linear.weight, model.head.linear.weight)
    with torch.no_grad():
        large, again = model(x, y, x_target, x, torch.ones(2)), small.with_memory(24)(x, y, x_target, x, torch.ones(2))
    torch.testing.assert_close(again.mean, large.mean)
    with pytest.raises(ValueError, match="memory_features=16, memory_kernel='learned'"):
        make_model(memory_features=16).with_memory(14)


@pytest.mark.parametrize("memory", [{"memory_features": 16}, {"memory_features": 14, "memory_kernel": "matern52"}])
def test_a_fresh_network_predicts_what_its_memory_does(memory):
    torch.manual_seed(0)
    model = CMANP(CMANPConfig(dim_x=3, dim=16, n_blocks=1, n_block_latents=4, n_input_latents=4, **memory))
    x, y, x_target = torch.randn(2, 20, 3), torch.randn(2, 20, 1), torch.randn(2, 7, 3)
    with torch.no_grad():
        distribution = model(x, y, x_target, x[:, :9], torch.ones(2))
        basis = Basis.of_points(x[:, :9], torch.ones(2), 14) if "memory_kernel" in memory else None
        posterior = model.memory.posterior(model.memory.read(x, y, basis), torch.full((2,), 20.0), basis)
        start, _ = model.memory.mixture(model.memory.parts(x_target, posterior, basis), posterior)
    torch.testing.assert_close(distribution.mean, start.mean)  # float64, as the memory has it
    torch.testing.assert_close(distribution.stddev, start.stddev + model.config.min_std)
    trained = {name for name, p in model.memory.named_parameters() if p.requires_grad}
    assert bool(trained) is ("memory_kernel" not in memory)


def test_blocks_beside_a_gate_are_a_network_without_memory():
    gated, without = make_model(memory_features=16, memory_fusion="gate"), make_model()
    weights = gated.state_dict()
    without.load_state_dict({name: weights[name] for name in without.state_dict()})
    x, y, x_target = torch.randn(2, 20, 3), torch.randn(2, 20, 1), torch.randn(2, 7, 3)
    with torch.no_grad():
        alone, expected, both = gated.alone(x, y, x_target), without(x, y, x_target), gated(x, y, x_target)
    assert torch.equal(alone.mean, expected.mean)
    assert torch.equal(alone.stddev, expected.stddev)
    assert (both.mean - alone.mean).abs().max() > 0.01
