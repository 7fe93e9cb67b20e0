"""Products of matrices that need half the work: symmetric ones, and those with a triangle.

BLAS has routines for them, which torch does not call. They are used on the CPU,
for float64 without a graph, a batch or a program; elsewhere the product is a plain one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from scipy.linalg import blas
from torch import Tensor

# For so few rows, what calling BLAS costs beside the product is more than what it saves.
_FEW_ROWS = 16


def gram(blocks: Iterable[Tensor]) -> Tensor:
    """The sum of products a^T a over blocks of rows, (..., n, F) each -> (..., F, F)."""
    whole, upper = None, None  # the latter as BLAS stores it, column by column
    for a in blocks:
        if _is_plain(a) and a.shape[-2] > _FEW_ROWS:
            rows, begun = a.view(a.shape[-2:]).numpy().T, upper is not None
            upper = blas.dsyrk(1.0, rows, beta=float(begun), c=upper, overwrite_c=True)
        else:
            product = a.mT @ a
            whole = product if whole is None else whole + product
    if upper is None:
        assert whole is not None
        return whole
    lower = torch.from_numpy(upper.T)
    both = lower.add_(lower.tril(-1).T).view(*a.shape[:-2], *lower.shape)
    return both if whole is None else whole + both


def times_lower(a: Tensor, lower: Tensor) -> Tensor:
    """The product a L^T with a lower triangle L, (..., n, p) and (..., p, p) -> (..., n, p); `a` may be overwritten."""
    if not (_is_plain(a) and _is_plain(lower) and a.shape[-2] > _FEW_ROWS):
        return a @ lower.mT
    rows, triangle = a.view(a.shape[-2:]).numpy().T, lower.view(lower.shape[-2:]).numpy().T
    product = blas.dtrmm(1.0, triangle, rows, lower=False, trans_a=True, overwrite_b=True)
    return torch.from_numpy(product.T).view(a.shape)


def _is_plain(a: Tensor) -> bool:
    """Whether BLAS can be called on an array without copying it."""
    if torch.compiler.is_compiling():
        return False
    one = math.prod(a.shape[:-2]) == 1 and min(a.shape[-2:]) > 0 and a.is_contiguous()
    return one and a.device.type == "cpu" and a.dtype == torch.float64 and not a.requires_grad
