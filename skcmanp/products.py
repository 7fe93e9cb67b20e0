"""Products of matrices that need little more than half the work: symmetric ones, and those with a triangle.

torch has none of BLAS's routines for them, and those of SciPy keep all other
threads waiting. Here the columns are in groups, and of every group only that is
computed which is not known to be zero, or equal to something else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Columns of a group, a multiple of those that BLAS multiplies at once. Fewer save more work, in products that are
# smaller, and so slower.
_COLUMNS = 48

# For so few rows, more calls cost more than what they save.
_FEW_ROWS = 16


def gram(blocks: Iterable[Tensor]) -> Tensor:
    """The sum of products a^T a over blocks of rows, (..., n, F) each -> (..., F, F)."""
    whole, lower = None, None
    for a in blocks:
        if _is_plain(a):
            rows = a.view(a.shape[-2:])
            if lower is None:
                lower = rows.new_zeros(rows.shape[1], rows.shape[1])
            for columns in _groups(rows.shape[1]):
                left = slice(columns.stop)
                lower[columns, left].addmm_(rows[:, columns].T, rows[:, left])
        else:
            product = a.mT @ a
            whole = product if whole is None else whole + product
    if lower is None:
        assert whole is not None
        return whole
    both = (lower.tril() + lower.tril(-1).T).view(*a.shape[:-2], *lower.shape)
    return both if whole is None else whole + both


def times_upper(a: Any, upper: Any) -> Any:
    """The product with an upper triangle, (..., n, p) and (..., p, p) -> (..., n, p), of numpy or torch."""
    return _times(a, upper, ((slice(columns.stop), columns) for columns in _groups(a.shape[-1])))


def times_lower(a: Any, lower: Any) -> Any:
    """The product with a lower triangle."""
    return _times(a, lower, ((slice(columns.start, None), columns) for columns in _groups(a.shape[-1])))


def _times(a: Any, triangle: Any, parts: Iterable[tuple[slice, slice]]) -> Any:
    """A product with a matrix whose columns have zeros in all but some rows."""
    library = torch if isinstance(a, Tensor) else np
    if library is torch and not (_is_plain(a) and _is_plain(triangle)):
        return a @ triangle
    shape, a, triangle = a.shape, a.reshape(a.shape[-2:]), triangle.reshape(triangle.shape[-2:])
    product = library.empty_like(a)
    for rows, columns in parts:
        library.matmul(a[:, rows], triangle[rows, columns], out=product[:, columns])
    return product.reshape(shape)


def _groups(n_columns: int) -> Iterator[slice]:
    return (slice(start, min(start + _COLUMNS, n_columns)) for start in range(0, n_columns, _COLUMNS))


def _is_plain(a: Tensor) -> bool:
    """Whether this is worth while: on the CPU, without a graph, a batch or a program, for rows that are not few."""
    if torch.compiler.is_compiling() or a.requires_grad or a.device.type != "cpu":
        return False
    return math.prod(a.shape[:-2]) == 1 and a.shape[-1] > _COLUMNS and a.shape[-2] > _FEW_ROWS
