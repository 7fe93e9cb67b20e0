"""What is remembered of rows.

- `softmax`, `sums`: statistics of attention and of the conjugate memory, which add up over rows.
- `summary`: both, and how many rows they are of.
- `context`: the state of an estimator, which also knows what table the rows are of, and its bytes.
"""

from skcmanp.state.context import ContextState

__all__ = ["ContextState"]
