"""A fitted estimator outside of Python's pickles: types that skops has to trust, and a module for `torch.export`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
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
        If rows pass through more than scales: categories, dates, predictions of
        trees or of a ridge regression, warped targets.

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
    return _PredictorModule(estimator.checkpoint_, estimator.context_)


class _PredictorModule(nn.Module):
    """Scales rows, queries the network, and scales back."""

    used: Tensor
    inputs_centre: Tensor
    inputs_scale: Tensor
    targets_centre: Tensor
    targets_scale: Tensor

    def __init__(self, checkpoint: Checkpoint, state: ContextState) -> None:
        super().__init__()
        _check_plain(state.adaptation)
        network = get_network(checkpoint, torch.device("cpu"), torch.float64, state.adaptation)
        self.model, memory, self.count = network.serving(state)
        self.memory = _owned(memory)
        inputs, targets = state.adaptation.inputs, state.adaptation.targets
        encoding, selection = inputs.encoding, inputs.selection
        self.register_buffer("used", torch.tensor(selection.used))
        self.register_buffer(
            "inputs_centre", torch.tensor(np.stack([encoding.centre[selection.used], selection.centre]))
        )
        self.register_buffer("inputs_scale", torch.tensor(np.stack([encoding.scale[selection.used], selection.scale])))
        self.register_buffer("targets_centre", torch.tensor(targets.centre))
        self.register_buffer("targets_scale", torch.tensor(targets.scale))

    @torch.no_grad()
    def forward(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of rows, (n, c) -> (n, t), (n, t)."""
        x = ((X[:, self.used] - self.inputs_centre[0]) / self.inputs_scale[0]).clamp(-LARGEST, LARGEST)
        x = (x - self.inputs_centre[1]) / self.inputs_scale[1]
        found = self.model.query(x.unsqueeze(0), self.memory, self.count)
        mean, std = (values.transpose(0, 1).flatten(1).double() for values in (found.mean, found.stddev))
        return mean * self.targets_scale + self.targets_centre, std * self.targets_scale


def _check_plain(adaptation: Adaptation) -> None:
    """Raise ValueError if rows pass through more than scales, which is all that the module does to them."""
    inputs = adaptation.inputs
    more = {
        "columns that are no numbers": bool((inputs.encoding.kinds > Kind.NUMBER).any()),
        "what trees predict": inputs.trees is not None,
        "what a ridge regression predicts": inputs.ridge is not None,
        "warped targets": adaptation.targets.is_warped,
    }
    if found := [name for name, is_there in more.items() if is_there]:
        raise ValueError(
            f"This estimator has {' and '.join(found)}, which are not torch's; keep it as a pickle or with skops "
            "(TRUSTED_TYPES), or declare x_bounds and y_bounds, so that nothing of the kind is fitted."
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
