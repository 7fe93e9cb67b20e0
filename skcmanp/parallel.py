"""Reading many rows: chunk by chunk, and shard by shard through joblib."""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray

from skcmanp.adaptation import Adaptation
from skcmanp.adaptation.columns import row_chunks
from skcmanp.adaptation.rows import own_order
from skcmanp.checkpoints import Checkpoint, get_network
from skcmanp.progress import progress_bar
from skcmanp.state.summary import Summary

Array = NDArray[np.float64]

# Rounding errors of sums grow with the weights of rows, and what rows that weigh more leave open depends on them: from
# here on it could show in which order rows come.
HEAVY = 10.0


class Reader(NamedTuple):
    """Everything that reading needs besides rows; small to send to a worker."""

    checkpoint: Checkpoint
    device: torch.device
    dtype: torch.dtype
    adaptation: Adaptation
    chunk_size: int

    def read(
        self,
        X: NDArray,
        y: NDArray,
        weight: Array | None,
        progress: bool = False,
        order: NDArray[np.intp] | None = None,
    ) -> Summary:
        """Read rows chunk by chunk, (n, d) and (n, t), in the order of these numbers, or as they come."""
        network = get_network(self.checkpoint, self.device, self.dtype, self.adaptation)
        total: Summary | None = None
        with progress_bar(total=len(y), unit="row", show=progress) as bar:
            for x_chunk, y_chunk, w_chunk in row_chunks(X, y, weight, self.chunk_size, order):
                targets = self.adaptation.scale_y(y_chunk)
                chunk = network.read(self.adaptation.scale_x(x_chunk, targets), targets, self.adaptation, w_chunk)
                total = chunk if total is None else total.combine(chunk)
                bar.update(len(x_chunk))
        # A shard may have rows of weight zero alone.
        return network.empty_summary(y.shape[1]) if total is None else total

    def read_parallel(
        self, X: NDArray, y: NDArray, weight: Array | None, n_jobs: int | None, progress: bool = False
    ) -> Summary:
        """Read rows in shards, one per job of joblib's active backend, and merge them.

        Shards are never smaller than a chunk, and are merged in order, so the
        result does not depend on who finishes first. Heavy rows are read in an
        order of their own.
        """
        order = own_order(X, y, weight) if weight is not None and len(y) > 1 and weight.max() > HEAVY else None
        n_shards = min(effective_n_jobs(n_jobs), -(-len(y) // self.chunk_size))
        if n_shards <= 1:
            return self.read(X, y, weight, progress, order)
        edges = np.linspace(0, len(y), n_shards + 1).astype(int)
        shards = [slice(a, b) if order is None else order[a:b] for a, b in pairwise(edges)]
        readings = _parallel(n_jobs)(
            delayed(self.read)(X[rows], y[rows], None if weight is None else weight[rows]) for rows in shards
        )
        bar = progress_bar(readings, total=n_shards, unit="shard", show=progress)
        return functools.reduce(Summary.combine, bar)


def _parallel(n_jobs: int | None) -> Parallel:
    """One that gives results as they come, where the active backend can: not all of other libraries do."""
    try:
        return Parallel(n_jobs=n_jobs, return_as="generator")
    except ValueError:
        return Parallel(n_jobs=n_jobs)
