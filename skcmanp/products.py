"""Products of matrices that need little more than half the work: symmetric ones, and those with a triangle.

torch has none of BLAS's routines for them, and those of SciPy keep all other
threads waiting. Here the columns are in groups, and of every group only that is
computed which is not known to be zero, or equal to something else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

# Of columns: more save more work, and have smaller products, which are slower.
_GROUPS = 6

# For so few rows, more calls cost more than what they save.
_FEW_ROWS = 16


def gram(blocks: Iterable[Tensor]) -> Tensor:
    """The sum of products a^T a over blocks of rows, (..., n, F) each -> (..., F, F)."""
    whole, upper = None, None
    for a in blocks:
        if _is_plain(a):
            rows = a.view(a.shape[-2:])
            if upper is None:
                upper = rows.new_zeros(rows.shape[1], rows.shape[1])
            for columns in _groups(rows.shape[1]):
                right = slice(columns.start, None)
                upper[columns, right].addmm_(rows[:, columns].T, rows[:, right])
        else:
            product = a.mT @ a
            whole = product if whole is None else whole + product
    if upper is None:
        assert whole is not None
        return whole
    both = (upper.triu() + upper.triu(1).T).view(*a.shape[:-2], *upper.shape)
    return both if whole is None else whole + both


def times_lower(a: Tensor, lower: Tensor) -> Tensor:
    """The product a L^T with a lower triangle L, (..., n, p) and (..., p, p) -> (..., n, p)."""
    if not (_is_plain(a) and _is_plain(lower)):
        return a @ lower.mT
    parts = [a[..., : columns.stop] @ lower[..., columns, : columns.stop].mT for columns in _groups(a.shape[-1])]
    return torch.cat(parts, dim=-1)


def _groups(n_columns: int) -> Iterator[slice]:
    edges = [n_columns * k // _GROUPS for k in range(_GROUPS + 1)]
    return (slice(a, b) for a, b in pairwise(edges))


def _is_plain(a: Tensor) -> bool:
    """Whether this is worth while: on the CPU, without a graph, a batch or a program, for rows that are not few."""
    if torch.compiler.is_compiling() or a.requires_grad or a.device.type != "cpu":
        return False
    return math.prod(a.shape[:-2]) == 1 and a.shape[-1] > _GROUPS and a.shape[-2] > _FEW_ROWS
