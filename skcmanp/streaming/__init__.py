"""Data larger than memory, and data that keep arriving: read in batches, learn from them, score each first.

A batch is ``(X, y)`` or ``(X, y, sample_weight)``. `split_batches` makes batches
of arrays and tables, `read_batches` of tables and files (`files.TableFiles`); any
other iterable of batches will do. `fit_stream` learns them one after the other
(`learning.learn`), and `prequential` predicts and scores each before. Estimators
are regressors with ``partial_fit``, alone or as the last step of a `Pipeline`;
`to_river` gives them River's interface.
"""

from skcmanp.streaming.batches import read_batches, split_batches
from skcmanp.streaming.learning import fit_stream
from skcmanp.streaming.prequential import prequential
from skcmanp.streaming.river import to_river

__all__ = ["fit_stream", "prequential", "read_batches", "split_batches", "to_river"]
