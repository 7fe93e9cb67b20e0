"""How a safetensors file is laid out: a header that says where each array is, and all arrays one after another.

The format's own library copies every array, once when it reads and twice when it
writes, which for a state would take most of the time of either.
"""

from __future__ import annotations

import functools
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# More arrays, and larger ones, no file of this package has. Reading what a forger made up could else take minutes.
_MOST_ARRAYS, _LARGEST_AXIS, _MOST_AXES = 10_000, 2**40, 8
# Longer headers are not kept.
_LONG = 2**16
_ALIGNMENT = 8  # bytes

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def file_of(arrays: dict[str, NDArray[Any]], metadata: dict[str, str]) -> bytes:
    """A safetensors file of arrays of 32 or 64 bits, signed or floating-point.

    Parameters
    ----------
    arrays : dict of str to ndarray
    metadata : dict of str to str
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    body, end = [], 0
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].itemsize):  # so that all are aligned
        stored = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        begin, end = end, end + stored.nbytes
        header[name] = {"dtype": _NAMES[stored.dtype], "shape": array.shape, "data_offsets": [begin, end]}
        body.append(stored.data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join([len(text).to_bytes(8, "little"), text, *body])


def start_of_body(data: bytes) -> int:
    """Where a safetensors file has its arrays, after the header."""
    return 8 + int.from_bytes(data[:8], "little")


def metadata_of(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file.

    Raises
    ------
    ValueError
        If there are none.
    """
    try:
        header = json.loads(data[8 : start_of_body(data)])
        metadata = header.get("__metadata__", {})
    except (AttributeError, RecursionError, ValueError) as error:
        raise ValueError(f"they are not a safetensors file: {error}") from error
    if not isinstance(metadata, dict):
        raise ValueError("they are not a safetensors file: its metadata are no table")
    return metadata


def arrays_in(data: bytes, header: str) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file where they are: they cannot be written to, and each keeps `data` alive.

    Parameters
    ----------
    data : bytes
    header : str
        As the file has it, with or without metadata.

    Raises
    ------
    ValueError
        If an array is not of 32 or 64 bits, signed or floating-point, or does
        not begin where the one before it ends, or if the last does not end where
        the file does.
    """
    places, end = (_places if len(header) <= _LONG else _places.__wrapped__)(header)
    start = start_of_body(data)
    if start + end != len(data):
        raise ValueError(f"{len(data) - start} bytes are not {end}, as many as their arrays have")
    return {name: np.ndarray(shape, dtype, data, start + begin) for name, dtype, shape, begin in places}


@functools.lru_cache(maxsize=16)
def _places(header: str) -> tuple[list[tuple[str, np.dtype[Any], tuple[int, ...], int]], int]:
    """Name, dtype, shape and first byte of every array, and where the last ends; alike for many states."""
    try:
        table = json.loads(header)
        table.pop("__metadata__", None)
        if len(table) > _MOST_ARRAYS:
            raise ValueError(f"{len(table)} arrays")
        found = sorted((told["data_offsets"], name, told["dtype"], told["shape"]) for name, told in table.items())
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"they are not a safetensors file: {error!r}") from error
    places, end = [], 0
    for offsets, name, dtype, shape in found:
        is_shape = isinstance(shape, list) and len(shape) <= _MOST_AXES
        is_shape = is_shape and all(type(n) is int and 0 <= n <= _LARGEST_AXIS for n in shape)
        if not (is_shape and isinstance(dtype, str) and dtype in _DTYPES):
            raise ValueError(f"the array {name[:80]!r} is of dtype {str(dtype)[:80]} and shape {str(shape)[:80]}")
        begin, end = end, end + math.prod(shape) * _DTYPES[dtype].itemsize
        if offsets != [begin, end]:
            raise ValueError(f"the array {name[:80]!r} is at {str(offsets)[:80]}, not at {[begin, end]}")
        places.append((name, _DTYPES[dtype], tuple(shape), begin))
    return places, end
