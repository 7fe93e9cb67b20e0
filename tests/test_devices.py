import pytest
import torch

from skcmanp.devices import resolve_device


def test_auto_prefers_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", "mps", "meta"])
def test_unknown_devices_are_named(device):
    with pytest.raises(ValueError, match=f"device='{device}' must be 'auto', 'cpu', 'cuda'"):
        resolve_device(device)


def test_absent_devices_are_counted(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(ValueError, match=r"device='cuda:1': this machine has 1 CUDA devices; use device='auto'"):
        resolve_device("cuda:1")


def test_absent_devices_can_become_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.warns(UserWarning, match="device='cuda:1'.*predicting on the CPU"):
        assert resolve_device("cuda:1", or_cpu=True) == torch.device("cpu")
    assert resolve_device("cuda:0", or_cpu=True) == torch.device("cuda:0")
    with pytest.raises(ValueError, match="must be 'auto'"):
        resolve_device("gpu", or_cpu=True)
