import json
import math
import shutil
import zlib

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import make_model

from skcmanp import CMANP, checkpoints, load_checkpoint, save_checkpoint, shipped_checkpoints
from skcmanp.checkpoints import (
    _FORMAT,
    WEIGHTS,
    checkpoint_bytes,
    get_network,
    loaded_networks,
    resolve_checkpoint,
)
from skcmanp.frames import Kind
from skcmanp.seal import check_seal, seal, unsealed

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
    deep = {_FORMAT: unsealed("[" * 100_000)}
    foreign = [safetensors.torch.save({"a": torch.ones(3)}, metadata=metadata) for metadata in (None, {"a": "b"}, deep)]
    for damaged in (b"", data[:100], data[:-1], b"\xff" * 64, *foreign, seal(foreign[-1], _FORMAT)):
        with pytest.raises(ValueError, match=r"is damaged, or was not written by skcmanp.save_checkpoint"):
            load_checkpoint(damaged)


def test_a_flipped_bit_anywhere_is_noticed(model):
    data, rng = bytearray(checkpoint_bytes(model)), np.random.default_rng(0)
    header = 8 + int.from_bytes(data[:8], "little")
    for position in [*range(0, header, 7), *rng.integers(len(data), size=50)]:
        bit = 1 << int(rng.integers(8))
        data[position] ^= bit
        with pytest.raises(ValueError, match="damaged"):
            load_checkpoint(bytes(data))
        data[position] ^= bit


def test_checkpoints_of_the_format_before_load(model):
    header = check_seal(checkpoint_bytes(model, {"name": "a"}), _FORMAT)
    data = safetensors.torch.save(model.state_dict(), {"skcmanp.checkpoint.2": "00000000" + header})
    loaded, card = load_checkpoint(data.replace(b"00000000", b"%08x" % zlib.crc32(data), 1))
    assert card == {"name": "a"}
    assert all(torch.equal(weight, loaded.state_dict()[name]) for name, weight in model.state_dict().items())
    with pytest.raises(ValueError, match="checksum"):
        load_checkpoint(data)


def forged(model, card=None, weights=None, **config):
    """A checkpoint with another card, configuration or weights, and the checksum of what it is then."""
    text = json.dumps({"config": {**model.config.to_dict(), **config}, "card": card or {}})
    return seal(safetensors.torch.save({**model.state_dict(), **(weights or {})}, {_FORMAT: unsealed(text)}), _FORMAT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": {"input_latents": torch.ones(5, 15)}}, r"(?s)own configuration.*input_latents"),
        ({"weights": {"another": torch.ones(5)}}, r"(?s)own configuration.*another"),
        ({"weights": {"input_latents": torch.full((5, 16), torch.nan)}}, "input_latents is not finite"),
        (
            {"weights": {"input_latents": torch.ones(5, 16, dtype=torch.int64)}},
            "input_latents is not finite, or not",
        ),
        ({"card": [1]}, "its card is not a table"),
        ({"unknown": 5}, "Unknown CMANPConfig keys"),
        ({"min_std": -5}, r"min_std=-5 must be a number in \(0, 1\)"),
        ({"max_count": "many"}, "max_count='many' must be a number"),
        ({"input_limit": 0}, "input_limit=0 must be a number"),
        ({"count_input": 1}, "count_input=1 must be true or false"),
        ({"memory_kernel": None}, "memory_kernel=None must be a text"),
        ({"fourier_scales": 3}, "fourier_scales=3 must be two numbers"),
        ({"fourier_scales": [1, -1]}, "fourier_scales="),
        ({"dim": 2.0}, "dim=2.0 must be an integer"),
        ({"dim": 2**40}, "dim=1099511627776 must be an integer"),
        ({"dim": 8192}, r"weights in 2 blocks are not those of .*dim=8192"),
        ({"n_blocks": 10**6}, "weights in 2 blocks are not those of"),
        ({"embed_depth": 10**6}, "are not those of"),
        ({"n_input_latents": 10**6}, "are not those of"),
        ({"n_block_latents": 10**6, "fourier_features": 10**6}, "are not those of"),
        ({"memory_features": 8000, "memory_kernel": "matern52"}, "are not those of"),
        ({"memory_features": 10**6, "memory_kernel": "matern52"}, "memory_features"),
        ({"joint_rank": 10**6}, "are not those of"),
        ({"dim_y": 10**6}, "are not those of"),
    ],
)
def test_forged_checkpoints_are_refused_before_anything_large_is_made(model, changes, message, monkeypatch):
    randn = torch.randn

    def small(*shape):
        assert math.prod(shape) < 10**5
        return randn(*shape)

    monkeypatch.setattr(torch, "randn", small)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(forged(model, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fourier_features": 0, "dim_y": 3, "joint_rank": 4},
        {"linear_readout": True, "dim_feedforward": 300},
        {"memory_features": 64, "memory_priors": 2},
        {"memory_features": 640, "memory_kernel": "matern52", "n_blocks": 1, "n_input_latents": 100},
    ],
)
def test_files_are_compared_with_a_number_of_parameters_that_is_not_far_off(changes):
    model = make_model(**changes)
    n_parameters = sum(weight.numel() for weight in model.state_dict().values())
    assert n_parameters / 20 < model.config.fewest_parameters <= n_parameters


def test_checkpoints_from_before_checksums_load(model):
    header = json.dumps({"config": model.config.to_dict(), "card": {"a": 1}})
    loaded, card = load_checkpoint(safetensors.torch.save(model.state_dict(), {"skcmanp.checkpoint.1": header}))
    assert card == {"a": 1}
    assert torch.equal(loaded.input_latents, model.input_latents)


def test_shipped_files_that_are_not_as_shipped_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    shutil.copytree(WEIGHTS, folder)
    damaged = bytearray((folder / "gp-1d.safetensors").read_bytes())
    damaged[-1] ^= 1
    (folder / "gp-1d.safetensors").write_bytes(damaged)
    monkeypatch.setattr(checkpoints, "WEIGHTS", folder)
    for use in (lambda: load_checkpoint(folder / "gp-1d.safetensors"), lambda: resolve_checkpoint("gp-1d", 1)):
        with pytest.raises(ValueError, match="'gp-1d' is not as it was shipped; install skcmanp anew"):
            use()
    assert load_checkpoint(folder / "tabular.safetensors")[1]["name"] == "tabular"


def test_saving_leaves_the_old_file_or_the_new_one(model, tmp_path, monkeypatch):
    save_checkpoint(model, path := tmp_path / "model.safetensors", {"n": 1})

    def full(path, data):
        with open(path, "wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(model, path, {"n": 2})
    assert load_checkpoint(path)[1] == {"n": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


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
