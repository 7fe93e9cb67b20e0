"""What is remembered of rows: statistics of fixed size that add up, and the state that holds them."""

from skcmanp.state.context import ContextState
from skcmanp.state.softmax import RunningSoftmax
from skcmanp.state.summary import Summary
from skcmanp.state.sums import RunningSums

__all__ = ["ContextState", "RunningSoftmax", "RunningSums", "Summary"]
