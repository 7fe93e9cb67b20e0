"""What all parts of an adaptation have in common: frozen arrays, and what they make of rows."""

from __future__ import annotations

import dataclasses
import functools
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
    shapes: ClassVar[dict[str, str]] = {}  # of the arrays, as "d m"; a letter is one number everywhere, d of features
    positive: ClassVar[tuple[str, ...]] = ()  # arrays whose values are
    largest: ClassVar[float] = 1e100  # absolute value that rows in units of their scales may lead to

    def arrays(self) -> dict[str, Any]:
        """Everything as named arrays."""
        return {name: getattr(self, name) for name in _names(type(self))}  # type: ignore[arg-type]

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> Self:
        """What `arrays` gave."""
        return cls(**arrays)

    def __getstate__(self) -> dict[str, Any]:
        """What pickles hold: arrays, and nothing that is made of them."""
        return self.arrays()

    def equals(self, other: Frozen) -> bool:
        """Whether both are exactly alike."""
        if type(self) is not type(other):
            return False
        theirs = other.arrays()
        return all(np.array_equal(array, theirs[name]) for name, array in self.arrays().items())

    def check_possible(self, n_columns: int) -> None:
        """Raise ValueError unless rows of so many features could have led to this: shapes, finite values and signs.

        Subclasses check beside what else their arrays have to be.
        """
        sizes = {"d": n_columns}
        for name, array in self.arrays().items():
            if name in self.shapes:
                axes = _axes(self.shapes[name])
                pairs = zip(axes, array.shape, strict=False)
                expected = [size or sizes.setdefault(axis, n) for (axis, size), n in pairs]
                if len(axes) != array.ndim or tuple(expected) != array.shape:
                    shape = self.shapes[name].replace(" ", ", ")
                    raise ValueError(f"{self.name}.{name} is not of shape ({shape}), d={n_columns}, but {array.shape}.")
            self._require(name, _is_within(array, self.largest), "finite, or is far too large")
        for name in self.positive:
            self._require(name, getattr(self, name).min(initial=np.inf) > 0, "positive")

    def _require(self, name: str, is_so: Any, what: str) -> None:
        if not is_so:
            raise ValueError(f"{self.name}.{name} is not {what}.")

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

    def check_possible(self, n_columns: int) -> None:
        """Raise ValueError unless rows of so many features could have led to this."""
        super().check_possible(n_columns)
        if not self.shapes:  # then it says nothing of its arrays, but it has to take a row
            features, _ = self.to("cpu")(torch.zeros(1, 1, n_columns, dtype=torch.float64))
            if features.shape[-1] != self.n_features or not torch.isfinite(features).all():
                raise ValueError(f"{self.name} makes no {self.n_features} finite features of a row.")

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


@functools.cache
def _names(kind: type) -> tuple[str, ...]:
    """Of the arrays that an adaptation's part has."""
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def _axes(shape: str) -> tuple[tuple[str, int], ...]:
    """Names of a shape's axes, and their sizes, 0 for letters."""
    return tuple((axis, int(axis) if axis.isdigit() else 0) for axis in shape.split())


def _is_within(array: NDArray, largest: float) -> bool:
    """Whether no absolute value is larger, nor NaN; no integer is."""
    return array.dtype.kind == "i" or bool(-largest <= array.min(initial=0) and array.max(initial=0) <= largest)
