"""Dataclasses, nested, as named arrays and text, and back: what a stream's memory is as bytes."""

from __future__ import annotations

import types
import typing
from dataclasses import Field, fields, is_dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skcmanp.state.context import ContextState

Arrays = dict[str, NDArray]

# Metadata of a field that is made of the others: bytes hold its default.
REMADE = {"remade": True}


def to_arrays(piece: Any, name: str, arrays: Arrays) -> Any:
    """What JSON holds of a piece; its arrays are added to `arrays`, under names that begin with `name`."""
    if isinstance(piece, np.ndarray):
        arrays[name] = np.ascontiguousarray(piece)
        return piece.dtype.name
    if isinstance(piece, ContextState):
        arrays[name] = np.frombuffer(piece.to_bytes(), dtype=np.uint8)
        return "bytes"
    if isinstance(piece, tuple):
        return [to_arrays(part, f"{name}.{i}", arrays) for i, part in enumerate(piece)]
    if is_dataclass(piece):
        kept = (field.name for field in fields(piece) if not _is_remade(field))
        return {field: to_arrays(getattr(piece, field), f"{name}.{field}", arrays) for field in kept}
    return piece


def from_arrays(kind: Any, told: Any, name: str, arrays: Arrays) -> Any:
    """The piece of a type, such as a dataclass, of which `to_arrays` told this.

    Raises
    ------
    ValueError
        If that is no piece of this type.
    """
    origin, of, make = typing.get_origin(kind), typing.get_args(kind), kind
    if origin is tuple:
        _require(isinstance(told, list) and of[1:] == (...,), name)
        return tuple(from_arrays(of[0], part, f"{name}.{i}", arrays) for i, part in enumerate(told))
    if origin in (types.UnionType, typing.Union):
        (kind,) = (option for option in of if option is not types.NoneType)
        return None if told is None else from_arrays(kind, told, name, arrays)
    if kind is ContextState:
        return ContextState.from_bytes(arrays[name].data)
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        kept = [field.name for field in fields(kind) if not _is_remade(field)]
        _require(isinstance(told, dict) and list(told) == kept, name)
        return make(**{field: from_arrays(hints[field], told[field], f"{name}.{field}", arrays) for field in kept})
    if not isinstance(kind, type):  # an array, in whatever way numpy says so
        _require(arrays[name].dtype.name == told, name)
        return arrays[name]
    if issubclass(kind, IntEnum):
        return make(told)
    _require(type(told) in ((int, float) if kind is float else (kind,)), name)
    return make(told)


def _is_remade(field: Field) -> bool:
    return field.metadata == REMADE


def _require(is_so: bool, name: str) -> None:
    if not is_so:
        raise ValueError(f"{name} is missing, or of another type")
