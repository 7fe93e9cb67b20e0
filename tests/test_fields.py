from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from skcmanp.fields import check_arguments, check_fields


@dataclass
class Options:
    size: int = 4
    rate: float = 0.1
    limit: float | None = None
    is_on: bool = True
    name: str = ""
    pair: tuple[float, float] = (0.0, 1.0)


RANGES = {"rate": "(0, inf]", "limit": "[0, 1)"}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"size": np.int64(3)},
        {"rate": np.float32(0.5)},
        {"rate": math.inf},
        {"rate": 1},
        {"limit": 0},
        {"pair": [2, 1]},
    ],
)
def test_what_is_of_its_type_and_in_range_passes(values):
    check_fields(Options(**values), RANGES)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        *(({"size": value}, r"size=.* must be an integer in \[1, inf\)") for value in (0, 2.0, True, "4", None, 2**31)),
        *(({"rate": value}, r"rate=.* must be a number in \(0, inf\]") for value in (0, math.nan, "1", 10**400, True)),
        ({"rate": 2**70}, r"rate=.* must be a number in \(0, inf\]; integers .* with a point"),
        *(({"limit": value}, "limit=.* must be a number in") for value in (1, -1, math.nan, math.inf, [0.5])),
        *(({"is_on": value}, "is_on=.* must be true or false") for value in (0, 1, None, "true")),
        *(({"name": value}, "name=.* must be a text") for value in (0, None, b"a")),
        *(
            ({"pair": value}, "pair=.* must be two numbers")
            for value in (1, (1,), (1, 2, 3), ("a", "b"), (0, math.inf))
        ),
    ],
)
def test_what_is_not_is_named(values, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check_fields(Options(**values), RANGES)


def test_arguments_are_checked_by_their_annotations():
    def make(n: int, rows: tuple[int, int] = (1, 2), other: object = None) -> None: ...

    check_arguments(make, {"n": 3, "rows": (0, 5), "other": 5}, {"rows": "[0, inf)"})
    for arguments, message in (
        ({"m": 3}, "unknown key 'm'; the known ones are n, rows, other"),
        ({"n": "3"}, "n='3' must be an integer"),
        ({"rows": (2.5, 3)}, "rows=.* must be two integers"),
        ({"rows": (3, 2)}, r"rows=\(3, 2\) must go from a smaller number to a larger one"),
    ):
        with pytest.raises(ValueError, match=message):
            check_arguments(make, arguments, {})
