"""Values that come from files: types and ranges, by the annotations of what they are for."""

from __future__ import annotations

import dataclasses
import inspect
import numbers
from collections.abc import Callable
from typing import Any

# Larger integers are no sizes, and where numbers with a point are wanted torch cannot take all of them.
_MAX_INTEGER = 2**31 - 1
_KINDS = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "a text"}


def check_fields(instance: Any, ranges: dict[str, str]) -> None:
    """Raise ValueError unless all fields of a dataclass have their type and are within their range.

    Parameters
    ----------
    instance : dataclass
        Of fields of type int, float, bool, str, a pair of floats, or a float or None.
    ranges : dict
        Of fields by name, as intervals: "[0, 1)". Without, an integer is at
        least 1, and a number finite.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from skcmanp.fields import check_fields
    >>> @dataclass
    ... class Options:
    ...     share: float = 0.5
    >>> check_fields(Options(1.5), {"share": "[0, 1)"})
    Traceback (most recent call last):
    ...
    ValueError: share=1.5 must be a number in [0, 1).
    """
    for field in dataclasses.fields(instance):
        check_value(field.name, getattr(instance, field.name), str(field.type), ranges.get(field.name))


def check_arguments(make: Callable[..., Any], arguments: dict[str, Any], ranges: dict[str, str]) -> None:
    """As `check_fields`, of the arguments that are given to a function or class whose parameters are annotated.

    A pair goes from a smaller number to a larger one.
    """
    parameters = inspect.signature(make).parameters
    for name, value in arguments.items():
        if name not in parameters:
            raise ValueError(f"unknown key {name!r}; the known ones are {', '.join(parameters)}.")
        check_value(name, value, str(parameters[name].annotation), ranges.get(name))
        if isinstance(value, tuple | list) and "tuple" in str(parameters[name].annotation) and value[0] > value[1]:
            raise ValueError(f"{name}={_short(value)} must go from a smaller number to a larger one.")


def check_value(name: str, value: Any, kind: str, interval: str | None = None) -> None:
    """Raise ValueError unless a value is of an annotated kind, and its numbers are in an interval."""
    if kind.endswith("| None"):
        if value is None:
            return
        kind = kind.removesuffix("| None").strip()
    pair, kind = kind.startswith("tuple"), kind.removeprefix("tuple[").partition(",")[0]
    if kind not in _KINDS:
        return
    interval = interval or ("[1, inf)" if kind == "int" else "(-inf, inf)")
    values = value if pair and isinstance(value, tuple | list) else (value,)
    if len(values) != 1 + pair or not all(_is(each, kind, interval) for each in values):
        what = f"two {'integers' if kind == 'int' else 'numbers'}" if pair else _KINDS[kind]
        where = f" in {interval}" if kind in ("int", "float") else ""
        too_long = kind == "float" and any(isinstance(each, numbers.Integral) and _is_long(each) for each in values)
        hint = f"; integers are at most {_MAX_INTEGER}: write a larger number with a point" if too_long else ""
        raise ValueError(f"{name}={_short(value)} must be {what}{where}{hint}.")


def _is(value: Any, kind: str, interval: str) -> bool:
    """Whether a value is of a kind and in an interval."""
    if kind in ("bool", "str"):
        return isinstance(value, {"bool": bool, "str": str}[kind])
    if isinstance(value, bool) or not isinstance(value, numbers.Integral if kind == "int" else numbers.Real):
        return False
    try:
        number = float(value)
    except OverflowError:
        return False
    low, high = (float(end) for end in interval[1:-1].split(","))
    is_above = low <= number if interval[0] == "[" else low < number
    is_below = number <= high if interval[-1] == "]" else number < high
    return is_above and is_below and not (isinstance(value, numbers.Integral) and _is_long(value))


def _is_long(value: Any) -> bool:
    return abs(value) > _MAX_INTEGER


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
