"""A fitted estimator outside of Python's pickles: types that skops has to trust, and a module for `torch.export`."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skcmanp.adaptation.adaptation import FROZEN, Adaptation
from skcmanp.adaptation.columns import LARGEST
from skcmanp.adaptation.first_rows import FirstRows
from skcmanp.adaptation.inputs import Inputs
from skcmanp.adaptation.ridge import Ridge
from skcmanp.adaptation.targets import NODES, WEIGHTS
from skcmanp.adaptation.trees import DEPTH, N_TREES, Trees
from skcmanp.adaptation.warp import LEAST
from skcmanp.checkpoints import Checkpoint, get_network
from skcmanp.frames import Kind
from skcmanp.regressor import CMANPRegressor
from skcmanp.state.context import ContextState
from skcmanp.state.softmax import RunningSoftmax
from skcmanp.state.summary import Summary
from skcmanp.state.sums import RunningSums

__all__ = ["TRUSTED_TYPES", "predictor_module"]

_TYPES = (
    CMANPRegressor,
    Checkpoint,
    ContextState,
    Summary,
    RunningSoftmax,
    RunningSums,
    FirstRows,
    Adaptation,
    Inputs,
    Kind,
)

# All types of this package that a fitted estimator is made of, for the argument `trusted` of `skops.io.load`.
TRUSTED_TYPES: list[str] = sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in (*_TYPES, *FROZEN))


def predictor_module(estimator: CMANPRegressor) -> nn.Module:
    """What a fitted estimator predicts, as a torch module without numpy or scikit-learn, for `torch.export`.

    Parameters
    ----------
    estimator : CMANPRegressor
        It may go on learning; the module does not.

    Returns
    -------
    torch.nn.Module
        On the CPU in float64. It takes features (n, d), float64, unscaled and
        without missing values, and gives means and standard deviations
        (n, n_outputs) in y's own units.

    Raises
    ------
    ValueError
        If there were columns of categories or dates.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_diabetes
    >>> from skcmanp import CMANPRegressor
    >>> from skcmanp.deployment import predictor_module
    >>> X, y = load_diabetes(return_X_y=True)
    >>> reg = CMANPRegressor().fit(X, y)
    >>> mean, std = predictor_module(reg)(torch.tensor(X[:5]))
    >>> mean.shape
    torch.Size([5, 1])

    To write it to a file that other programs can run, with any number of rows::

        rows = torch.export.Dim("rows")
        module = predictor_module(reg)
        program = torch.export.export(module, (torch.tensor(X[:5]),), dynamic_shapes=({0: rows},), strict=False)
        torch.export.save(program, "model.pt2")
    """
    return _PredictorModule(estimator.checkpoint_, estimator.context_)


class _PredictorModule(nn.Module):
    """Turns columns into features, queries the network, and takes targets back to their own units."""

    encoding: Tensor
    used: Tensor
    selection: Tensor
    targets: Tensor
    warp: Tensor

    def __init__(self, checkpoint: Checkpoint, state: ContextState) -> None:
        super().__init__()
        inputs, targets = state.adaptation.inputs, state.adaptation.targets
        _check_numbers(inputs)
        network = get_network(checkpoint, torch.device("cpu"), torch.float64, state.adaptation)
        self.model, memory, self.count = network.serving(state)
        self.memory = _owned(memory)
        self.ridge = None if inputs.ridge is None else _Ridge(inputs.ridge)
        self.trees = None if inputs.trees is None else _Trees(inputs.trees)
        self.is_warped = targets.is_warped
        selection = inputs.selection
        self.register_buffer("encoding", torch.tensor(np.stack([inputs.encoding.centre, inputs.encoding.scale])))
        self.register_buffer("used", torch.tensor(selection.used))
        self.register_buffer("selection", torch.tensor(np.stack([selection.centre, selection.scale])))
        self.register_buffer("targets", torch.tensor(np.stack([targets.centre, targets.scale])))
        self.register_buffer("warp", torch.tensor(np.stack(targets.warp)))

    @torch.no_grad()
    def forward(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of rows, (n, c) -> (n, t), (n, t)."""
        numbers = ((X - self.encoding[0]) / self.encoding[1]).clamp(-LARGEST, LARGEST)
        predicted = [part(numbers) for part in (self.ridge, self.trees) if part is not None]
        x = (torch.cat([numbers, *predicted], dim=1)[:, self.used] - self.selection[0]) / self.selection[1]  # (n, d)
        found = self.model.query(x.unsqueeze(0), self.memory, self.count)
        mean, std = (values.transpose(0, 1).flatten(1).double() for values in (found.mean, found.stddev))
        mean, std = mean * self.targets[1] + self.targets[0], std * self.targets[1]
        return self._unwarped(mean, std) if self.is_warped else (mean, std)

    def _unwarped(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Moments in the targets' own units, as `Targets.moments` has them."""
        bend, origin, top = self.warp.unsqueeze(-1)  # (t, 1)
        is_bent = bend != 0
        bend = torch.where(is_bent, bend, 1.0)
        warped = mean.unsqueeze(-1) + std.unsqueeze(-1) * torch.from_numpy(NODES)  # (n, t, nodes)
        inside = torch.minimum((bend * warped).clamp(min=math.log(LEAST)), top.log())
        ratio = inside.exp() * (1 + bend * warped - inside)
        values = torch.where(is_bent, origin + (ratio - 1) / bend, warped)
        weights, middle = torch.from_numpy(WEIGHTS), values[..., len(NODES) // 2]
        off = values - middle.unsqueeze(-1)
        shift = off @ weights
        unwarped = middle + shift, ((off - shift.unsqueeze(-1)).square() @ weights).sqrt()
        return torch.where(is_bent[:, 0], unwarped[0], mean), torch.where(is_bent[:, 0], unwarped[1], std)


class _Ridge(nn.Module):
    """What a ridge regression predicts of rows to be predicted, (n, e) -> (n, t)."""

    coefficients: Tensor
    intercept: Tensor

    def __init__(self, ridge: Ridge) -> None:
        super().__init__()
        self.register_buffer("coefficients", torch.tensor(ridge.coefficients.mean(1)))
        self.register_buffer("intercept", torch.tensor(ridge.intercept.mean(1)))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.coefficients.T + self.intercept


class _Trees(nn.Module):
    """What trees predict of rows to be predicted, (n, e) -> (n, t)."""

    feature: Tensor
    threshold: Tensor
    left: Tensor
    value: Tensor
    baseline: Tensor

    def __init__(self, trees: Trees) -> None:
        super().__init__()
        feature, _, left = trees.nodes_as_indices  # no row misses values
        self.register_buffer("feature", torch.tensor(feature))
        self.register_buffer("threshold", torch.tensor(trees.threshold))
        self.register_buffer("left", torch.tensor(left))
        self.register_buffer("value", torch.tensor(trees.value, dtype=torch.float64))
        self.register_buffer("baseline", torch.tensor(trees.baseline))

    def forward(self, x: Tensor) -> Tensor:
        node = torch.arange(self.baseline.numel() * N_TREES).expand(x.shape[0], -1)  # roots come first
        for _ in range(DEPTH):
            node = self.left[node] + (x.gather(1, self.feature[node]) > self.threshold[node])
        sums = self.value[node].unflatten(1, (*self.baseline.shape, N_TREES)).sum(-1)  # (n, t, folds)
        return (self.baseline + sums).mean(-1)


def _check_numbers(inputs: Inputs) -> None:
    """Raise ValueError if there are columns that are no numbers."""
    others = int((inputs.encoding.kinds > Kind.NUMBER).sum())
    if others:
        raise ValueError(
            f"X had {others} columns of categories or dates, which are not torch's; encode them as numbers before fit, "
            "or keep the estimator as a pickle or with skops (TRUSTED_TYPES)."
        )


def _owned(value: Any) -> Any:
    """With tensors that are no views of others, which torch does not write to files."""
    if isinstance(value, Tensor):
        return value.clone(memory_format=torch.contiguous_format)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (field.name for field in dataclasses.fields(value))
        return dataclasses.replace(value, **{name: _owned(getattr(value, name)) for name in fields})
    if hasattr(value, "_fields"):
        return type(value)(*map(_owned, value))
    return type(value)(map(_owned, value)) if isinstance(value, list | tuple) else value
