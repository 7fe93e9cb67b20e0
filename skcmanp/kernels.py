"""The Matern-5/2 kernel of unit variance and length-scale, for arrays of numpy and of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def _library(array: Any) -> Any:
    """The module whose functions take this array."""
    return torch if isinstance(array, torch.Tensor) else np


def matern52_of(distance: Any) -> Any:
    """The kernel at distances, of any shape."""
    r = 5**0.5 * distance
    return (1 + r + r * r / 3) * _library(r).exp(-r)


def matern52(a: Any, b: Any) -> Any:
    """The kernel between rows, (..., n, d) and (..., m, d) -> (..., n, m)."""
    return matern52_and_slope(a, b)[0]


def matern52_and_slope(a: Any, b: Any) -> tuple[Any, Any]:
    """The same, and its derivative in the squared distance."""
    library = _library(a)
    squares = (a * a).sum(-1)[..., :, None] + (b * b).sum(-1)[..., None, :] - 2 * a @ b.swapaxes(-1, -2)
    r = library.sqrt(5 * library.clip(squares, 0, None))
    decay = library.exp(-r)
    linear = decay * (1 + r)
    return linear + r * r * decay / 3, -5 / 6 * linear
