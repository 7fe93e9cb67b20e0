"""A meta-trained network in use: numpy in, numpy out, no autograd."""

from __future__ import annotations

import functools
import weakref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skcmanp.context import ContextState, RunningSoftmax
from skcmanp.nn.model import CMANP, Memory

Array = NDArray[np.float64]

# Rows in one call of the attention kernel: keys and values of more leave the cache.
READ_ROWS = 1024
QUERY_ROWS = 2048


class Network:
    """A frozen `CMANP` on one device in one dtype.

    Parameters
    ----------
    model : CMANP
        Taken over: moved, cast and set to evaluation.
    device : torch.device
    dtype : torch.dtype
    """

    def __init__(self, model: CMANP, device: torch.device, dtype: torch.dtype) -> None:
        self.config = model.config
        self.device = device
        self.dtype = dtype
        self._model = model.to(device=device, dtype=dtype).eval().requires_grad_(False)
        with torch.inference_mode():
            self._projection = self._model.row_projection()
        # Latents belong to a state, which is immutable: they live as long as it
        # does, and the estimator that holds it is not touched by predicting.
        self._memories: weakref.WeakKeyDictionary[ContextState, Memory] = weakref.WeakKeyDictionary()

    def empty_statistics(self, n_outputs: int) -> RunningSoftmax:
        """Statistics of no rows for `n_outputs` targets."""
        return RunningSoftmax.empty((n_outputs // self.config.dim_y, *self.config.statistics_shape))

    def read(self, x: Array, y: Array, weight: Array | None = None) -> RunningSoftmax:
        """Statistics of scaled rows, accumulated in float64.

        Parameters
        ----------
        x : ndarray (n, d), d at most the network's `dim_x`
        y : ndarray (n, t), t a multiple of the network's `dim_y`
        weight : ndarray (n,), positive, optional
        """
        if not len(x):
            return self.empty_statistics(y.shape[1])
        blocks = (slice(start, start + READ_ROWS) for start in range(0, len(x), READ_ROWS))
        parts = (self._read_block(x[rows], y[rows], None if weight is None else weight[rows]) for rows in blocks)
        return functools.reduce(RunningSoftmax.combine, parts)

    @torch.inference_mode()
    def _read_block(self, x: Array, y: Array, weight: Array | None) -> RunningSoftmax:
        targets = self._tensor(y).unflatten(1, (-1, self.config.dim_y)).transpose(0, 1)  # (t, n, dy)
        features = self._padded(x).expand(len(targets), -1, -1)  # (t, n, dx)
        log_weight = None if weight is None else self._tensor(np.log(weight))
        m, s, o = self._model.read(features, targets, self._projection, log_weight)
        return RunningSoftmax(_numpy(m), _numpy(s), _numpy(o), peak=_numpy(s).copy())

    @torch.inference_mode()
    def predict(self, state: ContextState, x: Array) -> tuple[Array, Array]:
        """Predictive mean and standard deviation of scaled rows, (m, d) -> (m, t), (m, t)."""
        memory = self._memories.get(state)
        if memory is None:
            attended = self._tensor(state.softmax.output())
            memory = self._memories[state] = self._model.latents_memory(attended, self._count(state))
        n_readings = len(memory.keys_values[0].k)
        means, stds = [], []
        for start in range(0, len(x), QUERY_ROWS):
            queries = self._padded(x[start : start + QUERY_ROWS]).expand(n_readings, -1, -1)  # (t, m, dx)
            distribution = self._model.query(queries, memory, self._count(state))
            means.append(_numpy(distribution.mean.transpose(0, 1).flatten(1)))  # (m, t)
            stds.append(_numpy(distribution.stddev.transpose(0, 1).flatten(1)))
        return np.concatenate(means), np.concatenate(stds)

    def _count(self, state: ContextState) -> Tensor:
        return torch.full((len(state.softmax.m),), state.weight, device=self.device, dtype=self.dtype)

    def _tensor(self, array: Array) -> Tensor:
        return torch.tensor(array, dtype=self.dtype, device=self.device)

    def _padded(self, x: Array) -> Tensor:
        """Features of the network's width, absent ones zero, (n, d) -> (1, n, dx)."""
        return torch.nn.functional.pad(self._tensor(x), (0, self.config.dim_x - x.shape[1])).unsqueeze(0)


def _numpy(tensor: Tensor) -> Array:
    return tensor.to(device="cpu", dtype=torch.float64).numpy()
