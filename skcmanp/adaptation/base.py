"""What all parts of an adaptation have in common: frozen arrays, and what they make of rows."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Values = Any  # an array as it was fitted, a tensor where it is in use


@dataclasses.dataclass(frozen=True, eq=False)
class Frozen:
    """Arrays that the first rows fix, for good: of numpy, or of torch on a device."""

    name: ClassVar[str]  # in the bytes of a state
    integers: ClassVar[dict[str, type]] = {}  # dtypes of arrays that are not float64

    def arrays(self) -> dict[str, Any]:
        """Everything as named arrays."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> Self:
        """What `arrays` gave."""
        return cls(**arrays)

    def equals(self, other: Frozen) -> bool:
        """Whether both are exactly alike."""
        if type(self) is not type(other):
            return False
        theirs = other.arrays()
        return all(np.array_equal(array, theirs[name]) for name, array in self.arrays().items())

    def to(self, device: torch.device | str) -> Self:
        """The same with tensors on a device."""
        return type(self)(**{name: torch.as_tensor(array, device=device) for name, array in self.arrays().items()})


class Part(Frozen):
    """Features of the conjugate memory, whose combinations with standard normal weights are its prior of functions.

    A part is fitted to the first rows, by a class method of its own, and then
    frozen. Features that are not there for all functions leave some of the
    prior's variance out; they say how much, for every row, and that variance
    counts as uncertainty.

    Rows are in units of the features' length-scales, see `Adaptation.scale_x`.
    """

    @property
    def n_features(self) -> int:
        """Number of features."""
        raise NotImplementedError

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | float]:
        """Features of rows, and the variance that these miss, (B or 1, N, d) -> (B, N, f) and (B, N), float64."""
        raise NotImplementedError

    def missed_covariance(self, x: Tensor) -> Tensor | float:
        """Covariance between rows of what the features miss, (B or 1, N, d) -> (B, N, N), but for its diagonal."""
        return 0.0

    def of_rows(self, x: Array) -> Array:
        """Features of an array of rows, (n, d) -> (n, f)."""
        return self.to("cpu")(torch.from_numpy(np.ascontiguousarray(x)).unsqueeze(0))[0].squeeze(0).numpy()
