import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import make_model

from skcmanp import CMANP, load_checkpoint, save_checkpoint, shipped_checkpoints
from skcmanp.checkpoints import (
    WEIGHTS,
    checkpoint_bytes,
    get_network,
    loaded_networks,
    resolve_checkpoint,
)
from skcmanp.frames import Kind

KINDS = (Kind.NUMBER,) * 3
CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_round_trip(model, tmp_path, dtype):
    path = tmp_path / "model.safetensors"
    save_checkpoint(model, path, {"made": "by hand"}, dtype)
    loaded, card = load_checkpoint(path)
    assert card == {"made": "by hand"}
    assert loaded.config == model.config
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight.to(dtype).float())


def test_suffix_is_checked(model, tmp_path):
    with pytest.raises(ValueError, match=r"must end in '\.safetensors'"):
        save_checkpoint(model, tmp_path / "model.pt")


def test_absent_damaged_and_foreign_files(model, tmp_path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "absent.safetensors")
    data = checkpoint_bytes(model)
    for damaged in (b"", data[:100], data[:-1], b"\xff" * 64):
        with pytest.raises(ValueError, match="damaged or not a safetensors file"):
            load_checkpoint(damaged)
    with pytest.raises(ValueError, match="was not written by skcmanp"):
        load_checkpoint(safetensors.torch.save({"a": torch.ones(3)}))


def test_weights_must_fit_the_configuration(model, tmp_path):
    save_checkpoint(model, path := tmp_path / "model.safetensors")
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    weights = {name: w for name, w in model.state_dict().items() if name != "input_latents"}
    with pytest.raises(ValueError, match=r"(?s)does not match its own configuration.*input_latents"):
        load_checkpoint(safetensors.torch.save(weights, metadata=metadata))


def test_shipped_checkpoints_have_small_files_and_cards():
    shipped = shipped_checkpoints()
    assert sorted(shipped) == ["field-2d", "gp-1d", "image-gray", "tabular"]
    for name, path in shipped.items():
        assert path.stat().st_size < 10_000_000
        card = load_checkpoint(path)[1]
        text = (WEIGHTS / f"{name}.md").read_text()
        assert card["name"] == name
        for key in ("recipe", "commit", "steps", "device", "hours", "evaluation", "licence"):
            assert card[key]
        assert abs(card["float16_loss"]) < 1e-3
        assert f"{card['evaluation']['log_likelihood']:.3f}" in text
        assert card["commit"] in text


def test_auto_picks_by_number_of_features():
    assert resolve_checkpoint("auto", [Kind.NUMBER]).name == "gp-1d"
    assert resolve_checkpoint("auto", [Kind.NUMBER, Kind.NUMBER]).name == "tabular"
    assert resolve_checkpoint("auto", [Kind.CATEGORY]).name == "tabular"
    assert resolve_checkpoint("tabular", [Kind.NUMBER]).name == "tabular"


def test_equal_weights_have_equal_fingerprints(tmp_path):
    a, b, c = (resolve_checkpoint(make_model(seed=seed), KINDS) for seed in (0, 0, 1))
    assert a.fingerprint == b.fingerprint != c.fingerprint
    save_checkpoint(make_model(), path := tmp_path / "a.safetensors", {})
    assert resolve_checkpoint(path, KINDS).fingerprint == a.fingerprint
    assert resolve_checkpoint(str(path), KINDS).payload == a.payload
    assert "payload" not in repr(a)


def test_a_memory_of_another_size_is_another_checkpoint():
    own, larger = (resolve_checkpoint("tabular", KINDS, memory_features=n) for n in (448, 600))
    assert own == resolve_checkpoint("tabular", KINDS)
    assert own.identity == own.fingerprint == larger.fingerprint
    assert larger.identity == f"{own.fingerprint}-600"
    assert larger.load().config.memory_features == 600
    assert get_network(larger, CPU, torch.float64) is not get_network(own, CPU, torch.float64)


def test_networks_are_cached_by_weights_device_and_dtype():
    checkpoint = resolve_checkpoint(make_model(seed=11), KINDS)
    network = get_network(checkpoint, CPU, torch.float64)
    before = loaded_networks()
    assert get_network(resolve_checkpoint(make_model(seed=11), KINDS), CPU, torch.float64) is network
    assert loaded_networks() == before
    assert get_network(checkpoint, CPU, torch.float32) is not network
    assert loaded_networks() == before + 1


def test_using_a_network_leaves_the_users_model_alone():
    model = make_model(seed=12)
    weights = {name: w.clone() for name, w in model.state_dict().items()}
    get_network(resolve_checkpoint(model, KINDS), CPU, torch.float64)
    assert model.training
    assert all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    assert all(torch.equal(w, weights[name]) for name, w in model.state_dict().items())
    assert isinstance(model, CMANP)
    assert np.isfinite([w.sum().item() for w in weights.values()]).all()


def test_repr_tells_name_and_fingerprint_but_not_the_weights(model):
    custom = resolve_checkpoint(model, KINDS)
    assert repr(custom) == f"Checkpoint(fingerprint='{custom.fingerprint[:12]}...', name='custom')"
