"""The Matern-5/2 kernel of unit variance and length-scale, for arrays of numpy and of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

# Rows whose kernels are computed at once: those of more leave the cache between one operation and the next.
BLOCK_ROWS = 256


def _library(array: Any) -> Any:
    """The module whose functions take this array."""
    return torch if isinstance(array, torch.Tensor) else np


def matern52_of(distance: Any) -> Any:
    """The kernel at distances, of any shape."""
    return _of_scaled(5**0.5 * distance)


def matern52(a: Any, b: Any) -> Any:
    """The kernel between rows, (..., n, d) and (..., m, d) -> (..., n, m)."""
    return _of_scaled(_scaled_distances(a, b))


def matern52_and_slope(a: Any, b: Any) -> tuple[Any, Any]:
    """The same, and its derivative in the squared distance."""
    r = _scaled_distances(a, b)
    decay = _exp(-r)
    slope = r + 1
    slope *= decay
    r *= r
    r *= decay
    r /= 3
    r += slope
    slope *= -5 / 6
    return r, slope


def _scaled_distances(a: Any, b: Any) -> Any:
    """Distances between rows, times the root of five, as one product of matrices."""
    library = _library(a)
    a, b = 5**0.5 * a, 5**0.5 * b
    squares_a, squares_b = (a * a).sum(-1)[..., None], (b * b).sum(-1)[..., None]
    left = library.concatenate([-2 * a, squares_a, library.ones_like(squares_a)], -1)
    right = library.concatenate([b, library.ones_like(squares_b), squares_b], -1)
    squares = left @ right.swapaxes(-1, -2)
    library.clip(squares, 0, None, out=squares)
    return library.sqrt(squares, out=squares)


def _of_scaled(r: Any) -> Any:
    """The kernel at distances times the root of five, which are overwritten."""
    value = r / 3
    value += 1
    value *= r
    value += 1
    r *= -1
    value *= _exp(r)
    return value


def _exp(values: Any) -> Any:
    """The exponential of values that it may overwrite, by torch: numpy's is several times slower without AVX-512."""
    tensor = torch.as_tensor(values)
    torch.exp(tensor, out=tensor)
    return values
