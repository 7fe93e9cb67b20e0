"""A fitted estimator outside of Python's pickles: types that skops has to trust, and a module for `torch.export`."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from skcmanp.adaptation.adaptation import FROZEN, Adaptation
from skcmanp.adaptation.columns import LARGEST
from skcmanp.adaptation.first_rows import FirstRows
from skcmanp.adaptation.inputs import Inputs
from skcmanp.checkpoints import Checkpoint, get_network
from skcmanp.frames import Kind
from skcmanp.regressor import CMANPRegressor
from skcmanp.state.context import ContextState
from skcmanp.state.softmax import RunningSoftmax
from skcmanp.state.summary import Summary
from skcmanp.state.sums import RunningSums

__all__ = ["TRUSTED_TYPES", "predictor_module"]

_STATE = (Checkpoint, ContextState, Summary, RunningSoftmax, RunningSums, FirstRows, Adaptation, Inputs, Kind)
_TYPES = (CMANPRegressor, *_STATE)

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
        On the CPU in float64. It takes features (n, d), float64 and unscaled,
        and gives means and standard deviations (n, n_outputs) in y's own units.

    Raises
    ------
    ValueError
        If the estimator has more to do than that: with categories or dates,
        trees, or a warp of the targets. With ``adapt=False`` it never has, of numbers.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_diabetes
    >>> from skcmanp import CMANPRegressor
    >>> from skcmanp.deployment import predictor_module
    >>> X, y = load_diabetes(return_X_y=True)
    >>> reg = CMANPRegressor(adapt=False).fit(X, y)
    >>> mean, std = predictor_module(reg)(torch.tensor(X[:5]))
    >>> mean.shape
    torch.Size([5, 1])

    To write it to a file that other programs can run, with any number of rows::

        rows = torch.export.Dim("rows")
        module = predictor_module(reg)
        program = torch.export.export(module, (torch.tensor(X[:5]),), dynamic_shapes=({0: rows},), strict=False)
        torch.export.save(program, "model.pt2")
    """
    inputs, targets = estimator.context_.adaptation.inputs, estimator.context_.adaptation.targets
    beside = [piece.name for piece in (inputs.categories, inputs.trees, inputs.ridge) if piece is not None]
    beside += ["dates"] * (Kind.DATE in inputs.encoding.kinds) + ["warped targets"] * targets.is_warped
    if beside:
        raise ValueError(
            f"The estimator reads rows with {', '.join(beside)}, which no torch module can do; fit it to numbers, with "
            "adapt=False, or call its own predict."
        )
    return _PredictorModule(estimator.checkpoint_, estimator.context_)


class _PredictorModule(nn.Module):
    """Scales rows, queries the network, and scales back."""

    centre: Tensor
    scale: Tensor
    used: Tensor
    targets_centre: Tensor
    targets_scale: Tensor

    def __init__(self, checkpoint: Checkpoint, state: ContextState) -> None:
        super().__init__()
        network = get_network(checkpoint, torch.device("cpu"), torch.float64)
        self.model, memory, self.count = network.serving(state)
        self.memory = _owned(memory)
        inputs, targets = state.adaptation.inputs, state.adaptation.targets
        encoding, selection = inputs.encoding, inputs.selection
        self.register_buffer("used", torch.tensor(selection.used))
        scale = encoding.scale[selection.used]
        self.register_buffer("centre", torch.tensor(encoding.centre[selection.used] + scale * selection.centre))
        self.register_buffer("scale", torch.tensor(scale * selection.scale))
        self.register_buffer("targets_centre", torch.tensor(targets.centre))
        self.register_buffer("targets_scale", torch.tensor(targets.scale))

    @torch.no_grad()
    def forward(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of rows, (n, d) -> (n, t), (n, t)."""
        x = ((X[:, self.used] - self.centre) / self.scale).clamp(-LARGEST, LARGEST)
        found = self.model.query(x.unsqueeze(0), self.memory, self.count)
        mean, std = (values.transpose(0, 1).flatten(1).double() for values in (found.mean, found.stddev))
        return mean * self.targets_scale + self.targets_centre, std * self.targets_scale


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
