"""A meta-trained network in use: numpy in, numpy out, no autograd."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skcmanp.adaptation import Adaptation, Basis
from skcmanp.nn.conjugate import Sums
from skcmanp.nn.covariances import Covariances
from skcmanp.nn.model import CMANP
from skcmanp.nn.steps import Memory
from skcmanp.replay import Replayed
from skcmanp.state.context import ContextState
from skcmanp.state.softmax import RunningSoftmax
from skcmanp.state.summary import Summary
from skcmanp.state.sums import RunningSums
from skcmanp.threads import blocks_of, in_threads, one_thread

Array = NDArray[np.float64]
Found = TypeVar("Found")

# Rows that are read and predicted at once: what the network computes of more leaves the cache.
BLOCK_ROWS = 1024

# Rows by which the memory's covariances are updated, until they are found anew: what each adds to the cost of a
# prediction grows with those before. And how many rows are predicted from updated ones at most, for the same reason.
UPDATED_ROWS = 96
FEW_QUERIES = 32


class _Rows(NamedTuple):
    """Few rows that were read, as the conjugate memory sees them."""

    features: Tensor  # times the roots of their weights, (1, n, F)
    weight: Tensor  # their sum, (1,)


class _Before(NamedTuple):
    """What is known of a state from one before, and what was read since."""

    covariances: Covariances
    rows: tuple[_Rows, ...]


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
        if self._model.memory is not None:
            self._model.memory.double()  # its sums must be exact enough to be solved, and to be subtracted
        with torch.inference_mode():
            self._projection = self._model.row_projection()
        # On few latents, or one row, calling modules takes longer than what they do.
        for name, n_rows in (("latents", None), ("decode", 1), ("read_rows", 1)):
            setattr(self._model, name, Replayed(getattr(self._model, name), n_rows))
        # Latents belong to a state, which is immutable: they live as long as it
        # does, and the estimator that holds it is not touched by predicting.
        self._memories: weakref.WeakKeyDictionary[ContextState, Memory] = weakref.WeakKeyDictionary()
        self._bases: weakref.WeakKeyDictionary[Adaptation, Basis] = weakref.WeakKeyDictionary()
        self._rows: weakref.WeakKeyDictionary[Summary, _Rows] = weakref.WeakKeyDictionary()
        self._before: weakref.WeakKeyDictionary[ContextState, _Before] = weakref.WeakKeyDictionary()

    def empty_summary(self, n_outputs: int) -> Summary:
        """The summary of no rows for `n_outputs` targets."""
        n_readings, dim_y = n_outputs // self.config.dim_y, self.config.dim_y
        softmax = RunningSoftmax.empty((n_readings, *self.config.statistics_shape))
        return Summary(softmax, RunningSums.empty((n_readings, self.config.memory_features, dim_y)))

    def check_state(self, state: ContextState) -> None:
        """Raise ValueError unless a state is one that this network could have read."""
        readings, left_over = divmod(state.n_outputs, self.config.dim_y)
        shapes, expected = (
            {name: array.shape for name, array in summary.arrays().items()}
            for summary in (state.summary, self.empty_summary(state.n_outputs))
        )
        n_features = sum(part.n_features for part in state.adaptation.parts)
        if left_over or not readings or shapes != expected or n_features > self.config.adapted_features:
            raise ValueError("The context is not of this network: its statistics or features have other shapes.")

    def basis(self, adaptation: Adaptation) -> Basis | None:
        """What makes the conjugate memory's features, unless these are learned."""
        if not self.config.adapted_features:
            return None
        basis = self._bases.get(adaptation)
        if basis is None:
            with torch.inference_mode():
                basis = adaptation.basis(self.config.memory_features, self.device)
            self._bases[adaptation] = basis
        return basis

    def read(self, x: Array, y: Array, adaptation: Adaptation, weight: Array | None = None) -> Summary:
        """Statistics of scaled rows, accumulated in float64.

        Parameters
        ----------
        x : ndarray (n, d), d at most the network's `dim_x`
        y : ndarray (n, t), t a multiple of the network's `dim_y`
        adaptation : Adaptation
            For its features; the rows are scaled already.
        weight : ndarray (n,), positive, optional
        """
        if not len(x):
            return self.empty_summary(y.shape[1])
        basis = self.basis(adaptation)

        def read(rows: slice) -> Summary:
            return self._read(x[rows], y[rows], basis, None if weight is None else weight[rows])

        return functools.reduce(Summary.combine, self._by_block(read, len(x)))

    @torch.inference_mode()
    def _read(self, x: Array, y: Array, basis: Basis | None, weight: Array | None) -> Summary:
        rows, targets = self._tensor(x).unsqueeze(0), self._tensor(y)  # (1, n, d), (n, t)
        targets = targets.unflatten(1, (-1, self.config.dim_y)).transpose(0, 1)  # (t, n, dy)
        log_weight = None if weight is None else torch.tensor(np.log(weight), device=self.device)
        (m, s, o), sums, few = self._model.read(rows, targets, self._projection, basis, log_weight)
        softmax = RunningSoftmax(_numpy(m), _numpy(s), _numpy(o), peak=_numpy(s).copy())
        n_features, dim_y = self.config.memory_features, self.config.dim_y
        if few is not None:
            psi, y_and_squares = np.split(_numpy(few[0]), [n_features], axis=1)
            running = RunningSums.of_rows(psi, y_and_squares, dim_y)
        elif sums is not None:
            running = RunningSums.pack(_numpy(sums.a[0]), _numpy(sums.b), _numpy(sums.c), _numpy(sums.d))
        else:
            running = RunningSums.empty((len(targets), 0, dim_y))
        summary = Summary(softmax, running, float(len(x) if weight is None else weight.sum()), len(x))
        if basis is not None and few is not None:
            features = few[..., :n_features]
            self._rows[summary] = _Rows(features, basis.read_weight(features.square().sum(-2)))
        return summary

    def follow(self, before: ContextState, after: ContextState, read: Summary) -> None:
        """Note that `after` has read what `before` has, and the rows of `read`.

        If they are few, predictions from `after` then cost little more than those from `before`.
        """
        rows, known = self._rows.get(read), self._before.get(before)
        if rows is None or known is None:
            return
        since = (*known.rows, rows)
        if known.covariances.n_rows + sum(some.features.shape[1] for some in since) <= UPDATED_ROWS:
            self._before[after] = _Before(known.covariances, since)

    def predict(self, state: ContextState, x: Array) -> tuple[Array, Array]:
        """Predictive mean and standard deviation of scaled rows, (m, d) -> (m, t), (m, t)."""
        memory, count = self._memory(state, exactly=len(x) > FEW_QUERIES), self._count(state)

        @torch.inference_mode()
        def predict(rows: slice) -> tuple[Array, Array]:
            distribution = self._model.query(self._tensor(x[rows]).unsqueeze(0), memory, count)
            return _by_row(distribution.mean), _by_row(distribution.stddev)

        blocks = self._by_block(predict, len(x))
        mean, std = (np.concatenate(part) for part in zip(*blocks, strict=True))
        self._check_finite(mean, std)
        return mean, std

    @torch.inference_mode()
    def predict_joint(self, state: ContextState, x: Array) -> tuple[Array, Array]:
        """Predictive mean and covariances of scaled rows, (m, d) -> (m, t), (t, m, m)."""
        mean, covariance = self._model.joint(
            self._tensor(x).unsqueeze(0), self._memory(state, exactly=True), self._count(state)
        )
        covariance = (covariance + covariance.mT) / 2  # whose halves differ by rounding
        mean_of_rows, covariances = _by_row(mean), _numpy(covariance.flatten(0, 1))
        self._check_finite(mean_of_rows, covariances)
        return mean_of_rows, covariances

    def _check_finite(self, *predictions: Array) -> None:
        if not all(np.isfinite(values).all() for values in predictions):
            raise ValueError(
                "Predictions are not finite: the context, or X, holds what no rows lead to, or numbers that are too "
                f"large for dtype={str(self.dtype).removeprefix('torch.')!r}."
            )

    def serving(self, state: ContextState) -> tuple[CMANP, Memory, Tensor]:
        """The model, and what its `query` needs of a state beside rows, as ordinary tensors."""
        with torch.no_grad():
            return self._model, self._remember(state, exactly=True), self._count(state)

    def function_share(self, state: ContextState, x: Array) -> Array:
        """Share of the predictive variance of scaled rows that is the function's, not the noise's, (m, d) -> (m, t).

        It is the conjugate memory's; the network corrects both together.

        Raises
        ------
        ValueError
            Without a memory, as networks alone do not tell them apart.
        """
        if self._model.memory is None:
            raise ValueError(
                f"include_noise=False, but checkpoint {state.checkpoint!r} has no conjugate memory, and a network "
                "alone does not tell noise from what it does not know of the function; choose another, such as "
                "'tabular'."
            )
        memory = self._memory(state, exactly=len(x) > FEW_QUERIES)
        conjugate, posterior = self._model.memory, memory.posterior
        assert posterior is not None

        @torch.inference_mode()
        def share(rows: slice) -> Array:
            parts = self._model.remembered(self._tensor(x[rows]).unsqueeze(0), memory)[1]
            return _by_row(conjugate.function_share(parts, posterior))

        return np.concatenate(self._by_block(share, len(x)))

    def _by_block(self, function: Callable[[slice], Found], n_rows: int) -> list[Found]:
        """What a function makes of every block of rows: on a CPU, of as many at a time as torch has threads."""
        blocks = blocks_of(n_rows, BLOCK_ROWS)
        return in_threads(function, blocks, torch.get_num_threads() if self.device.type == "cpu" else 1)

    @torch.inference_mode()
    def _memory(self, state: ContextState, exactly: bool) -> Memory:
        """What queries need of a state; with covariances that were found, not updated, if `exactly`."""
        memory = self._memories.get(state)
        if memory is None or (exactly and memory.posterior is not None and memory.posterior.covariances.n_rows):
            with one_thread():
                memory = self._memories[state] = self._remember(state, exactly)
        return memory

    def _remember(self, state: ContextState, exactly: bool) -> Memory:
        attended, count = self._tensor(state.summary.softmax.output()).to(self.dtype), self._count(state)
        if not self.config.memory_features:
            return self._model.latents_memory(attended, count)
        assert self._model.memory is not None
        basis, running = self.basis(state.adaptation), state.summary.sums
        known = None if exactly else self._before.get(state)
        covariances = None if known is None else known.covariances
        for rows in () if known is None else known.rows:
            covariances = None if covariances is None else covariances.updated(*rows)
        if covariances is None:
            a = self._tensor(running.matrix()[None])
            covariances = self._model.memory.decompose(a, count, basis)
        self._before[state] = _Before(covariances, ())
        moments = Sums(covariances.root[:, 0], *(self._tensor(array) for array in (running.b, running.c, running.d)))
        return self._model.latents_memory(attended, count, moments, basis, covariances)

    def _count(self, state: ContextState) -> Tensor:
        return torch.full((len(state.summary.softmax.m),), state.weight, device=self.device, dtype=self.dtype)

    def _tensor(self, array: Array) -> Tensor:
        return torch.tensor(array, device=self.device)


def _numpy(tensor: Tensor) -> Array:
    return tensor.to(device="cpu", dtype=torch.float64).numpy()


def _by_row(values: Tensor) -> Array:
    """Targets of rows side by side, (B, M, dy) -> (M, B dy)."""
    return _numpy(values.transpose(0, 1).flatten(1))
