"""What all parts of an adaptation have in common: frozen arrays, and what they make of rows."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skcmanp.bounds import are_all, is_within

Array = NDArray[np.float64]
# What is smaller loses digits when it is multiplied: a column of such numbers is constant.
MIN_SCALE = 1e-304

_NO_VALUES = np.empty(0)
Values = Any  # an array as it was fitted, a tensor where it is in use


@dataclasses.dataclass(frozen=True, eq=False)
class Frozen:
    """Arrays that the first rows fix, for good: of numpy, or of torch on a device."""

    name: ClassVar[str]  # in the bytes of a state
    integers: ClassVar[dict[str, type]] = {}  # dtypes of arrays that are not float64
    shapes: ClassVar[dict[str, str]] = {}  # of the arrays, as "d m"; a letter is one number everywhere, d of features
    positive: ClassVar[tuple[str, ...]] = ()  # arrays whose values are
    divisors: ClassVar[tuple[str, ...]] = ()  # arrays whose values are at least MIN_SCALE
    largest: ClassVar[float] = 1e100  # absolute value that rows in units of their scales may lead to

    def arrays(self) -> dict[str, Any]:
        """Everything as named arrays."""
        own = vars(self)
        return {name: own[name] for name in _names(type(self))}  # type: ignore[arg-type]

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
        """Raise ValueError unless rows of so many features could have led to this: shapes, finite values and signs."""
        check_pieces([(self, n_columns)])

    def check_rest(self, n_columns: int) -> None:
        """Raise ValueError unless arrays of the right shapes, with finite values, are what they have to be beside."""

    def require(self, name: str, is_so: Any, what: str) -> None:
        """Raise ValueError unless an array is what it has to be."""
        if not is_so:
            raise ValueError(f"{self.name}.{name} is not {what}.")

    def to(self, device: torch.device | str) -> Self:
        """The same with tensors on a device; copies, as nobody can write to arrays that come from bytes."""
        return type(self)(**{name: torch.tensor(array, device=device) for name, array in self.arrays().items()})


class Part(Frozen):
    """Features of the conjugate memory, whose combinations with standard normal weights are its prior of functions.

    A part is fitted to the first rows, by a class method of its own, and then
    frozen. Features that are not there for all functions leave some of the
    prior's variance out; they say how much, for every row, and that variance
    counts as uncertainty.

    Rows are in units of the features' length-scales, see `Adaptation.scale_x`.
    """

    def check_rest(self, n_columns: int) -> None:
        """Raise ValueError unless a row of so many features has the features that there should be."""
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


def check_pieces(pieces: Iterable[tuple[Frozen, int]]) -> None:
    """Raise ValueError unless rows could have led to these pieces, each of rows of so many features.

    Whether values are finite, and positive, is asked of all at once, which takes
    a fraction of the time, and of each only to name the one that is not.
    """
    known, values, positive = [], [_NO_VALUES], [_NO_VALUES]
    for piece, n_columns in pieces:
        arrays = piece.arrays()
        forms = tuple([(array.shape, array.dtype) for array in arrays.values()])
        if wrong := _wrong_form(type(piece), n_columns, forms):  # type: ignore[arg-type]
            raise ValueError(wrong)
        known.append((piece, n_columns, arrays))
        values += arrays.values()
        positive += [arrays[name] for name in piece.positive + piece.divisors]
    largest = min([piece.largest for piece, _, _ in known])
    if not (is_within(_joined(values), largest) and are_all(_joined(positive) >= MIN_SCALE)):
        for piece, _, arrays in known:
            for name, array in arrays.items():
                piece.require(name, is_within(array, piece.largest), "finite, or is far too large")
            for name in piece.positive:
                piece.require(name, are_all(arrays[name] > 0), "positive")
            for name in piece.divisors:
                is_so = are_all(arrays[name] >= MIN_SCALE)
                piece.require(name, is_so, "positive, or not a number that can be divided by")
    for piece, n_columns, _ in known:
        piece.check_rest(n_columns)


def _joined(arrays: list[NDArray]) -> NDArray:
    """All their values."""
    return np.concatenate(arrays, axis=None)


@functools.cache
def _names(kind: type) -> tuple[str, ...]:
    """Of the arrays that an adaptation's part has."""
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def _axes(shape: str) -> tuple[tuple[str, int], ...]:
    """Names of a shape's axes, and their sizes, 0 for letters."""
    return tuple((axis, int(axis) if axis.isdigit() else 0) for axis in shape.split())


@functools.lru_cache(maxsize=256)
def _wrong_form(
    kind: type[Frozen], n_columns: int, forms: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]
) -> str | None:
    """Which array is not of the shape or dtype that it has to be, if one is not; those of many states are the same."""
    sizes = {"d": n_columns}
    for name, (shape, dtype) in zip(_names(kind), forms, strict=True):  # type: ignore[arg-type]
        if dtype != (wanted := np.dtype(kind.integers.get(name, np.float64))):
            return f"{kind.name}.{name} is not of dtype {wanted}, but {dtype}."
        if name in kind.shapes:
            axes = _axes(kind.shapes[name])
            expected = [size or sizes.setdefault(axis, n) for (axis, size), n in zip(axes, shape, strict=False)]
            if len(axes) != len(shape) or tuple(expected) != shape:
                wanted_shape = kind.shapes[name].replace(" ", ", ")
                return f"{kind.name}.{name} is not of shape ({wanted_shape}), d={n_columns}, but {shape}."
    return None
