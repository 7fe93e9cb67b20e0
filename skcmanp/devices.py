"""Where networks run: names of devices and dtypes to torch's objects."""

from __future__ import annotations

import os
import warnings

import torch

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}

# A fork has none of its parent's threads, and would wait for them forever at the first product that is shared out. So
# that servers may load a model before they fork, and joblib may fork, a child computes with one thread.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def resolve_device(device: str, *, or_cpu: bool = False) -> torch.device:
    """The torch device that a `device` parameter means; "auto" prefers CUDA.

    With `or_cpu`, an absent CUDA device is replaced by the CPU, with a warning:
    a model fitted on a GPU must predict on a machine without one.

    Raises
    ------
    ValueError
        If it is no such name, or the machine has no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device={device!r} must be 'auto', 'cpu', 'cuda' or 'cuda:<index>'.") from error
    if resolved.type not in ("cpu", "cuda"):
        raise ValueError(f"device={device!r} must be 'auto', 'cpu', 'cuda' or 'cuda:<index>'.")
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        absent = f"device={device!r}: this machine has {torch.cuda.device_count()} CUDA devices"
        if not or_cpu:
            raise ValueError(f"{absent}; use device='auto' or device='cpu'.")
        warnings.warn(f"{absent}; predicting on the CPU.", stacklevel=2)
        return torch.device("cpu")
    return resolved
