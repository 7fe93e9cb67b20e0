"""Summary: all statistics of rows, and how many they are."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from skcmanp.state.softmax import DOUBLE, RunningSoftmax, smallest_remainder
from skcmanp.state.sums import RunningSums

_MOST_ROWS = 2**53

_SOFTMAX = [f"softmax.{field.name}" for field in fields(RunningSoftmax)]
_SUMS = [f"sums.{field.name}" for field in fields(RunningSums)]


@dataclass(frozen=True, eq=False)
class Summary:
    """All that is remembered of rows; summaries add up.

    Parameters
    ----------
    softmax : RunningSoftmax
    sums : RunningSums
    weight : float
        Sum of the row weights: the effective number of rows.
    n_rows : int
        Number of rows read and not forgotten.
    """

    softmax: RunningSoftmax
    sums: RunningSums
    weight: float = 0.0
    n_rows: int = 0

    def combine(self, other: Summary) -> Summary:
        """The summary of the rows of both."""
        return Summary(
            self.softmax.combine(other.softmax),
            self.sums.combine(other.sums),
            self.weight + other.weight,
            self.n_rows + other.n_rows,
        )

    def subtract(self, other: Summary, eps: float = DOUBLE) -> Summary:
        """The summary as if the rows of `other` had never been read.

        `eps` is the relative precision of the network that read them.

        Raises
        ------
        ValueError
            If more is forgotten than was read, or too little left to be accurate.
        """
        left = self.weight - other.weight
        if left < -1e-9 * self.weight:
            raise ValueError(
                f"Cannot forget {other.n_rows} rows of weight {other.weight:g}: only {self.n_rows} rows of weight "
                f"{self.weight:g} are remembered."
            )
        if left <= 1e-9 * self.weight:
            if not self.softmax.matches(other.softmax, eps):
                raise ValueError(
                    f"Cannot forget these {other.n_rows} rows: they are not the {self.n_rows} that are remembered."
                )
            return self.decay(0.0)
        return Summary(
            self.softmax.subtract(other.softmax, eps),
            self.sums.subtract(other.sums, left, smallest_remainder(DOUBLE)),
            left,
            max(self.n_rows - other.n_rows, 1),  # of rows whose weight is forgotten in part, some is left
        )

    def decay(self, gamma: float) -> Summary:
        """All weights multiplied by `gamma`, from 0 (nothing was read) to 1."""
        if gamma == 0:
            return Summary(RunningSoftmax.empty(self.softmax.o.shape), RunningSums.empty(self.sums.b.shape))
        return replace(self, softmax=self.softmax.decay(gamma), sums=self.sums.decay(gamma), weight=self.weight * gamma)

    def repeat(self, n: int) -> Summary:
        """Each target's statistics `n` times, one after the other: a summary that can go on in `n` ways."""
        softmax = RunningSoftmax(*(np.repeat(array, n, axis=0) for array in vars(self.softmax).values()))
        b, c, d = (np.repeat(array, n, axis=0) for array in (self.sums.b, self.sums.c, self.sums.d))
        return replace(self, softmax=softmax, sums=RunningSums(self.sums.a, b, c, d))

    def check_possible(self) -> None:
        """Raise ValueError unless there could be rows with this summary."""
        self.softmax.check_possible()
        self.sums.check_possible()
        if len(self.softmax.m) != len(self.sums.b):
            raise ValueError("The softmax statistics and the memory's sums are of different numbers of targets.")
        kinds_are_right = isinstance(self.weight, float) and isinstance(self.n_rows, int)
        if not (kinds_are_right and 0 <= self.weight < np.inf and 0 <= self.n_rows <= _MOST_ROWS):
            raise ValueError(f"There are no {str(self.n_rows)[:40]} rows of weight {str(self.weight)[:40]}.")

    def arrays(self) -> dict[str, NDArray]:
        """Everything as named arrays, for serialisation."""
        softmax = {f"softmax.{name}": array for name, array in vars(self.softmax).items()}
        sums = {f"sums.{name}": array for name, array in vars(self.sums).items()}
        counts = {"weight": np.array([self.weight]), "n_rows": np.array([self.n_rows], dtype=np.int64)}
        return {**softmax, **sums, **counts}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray]) -> Summary:
        """What `arrays` gave; of other names, it is a KeyError or ValueError."""
        left = dict(arrays)
        softmax, sums = RunningSoftmax(*map(left.pop, _SOFTMAX)), RunningSums(*map(left.pop, _SUMS))
        summary = cls(softmax, sums, left.pop("weight").item(), left.pop("n_rows").item())
        if left:
            raise ValueError(f"nothing is known of statistics named {', '.join(map(repr, left))}")
        return summary
