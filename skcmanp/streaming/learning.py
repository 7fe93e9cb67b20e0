"""How an estimator, or a Pipeline that ends with one, learns batch after batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sklearn import get_config
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skcmanp.progress import progress_bar
from skcmanp.streaming.batches import Batch


def fit_stream(estimator: Any, batches: Iterable[Batch], *, progress: bool = False) -> Any:
    """Learn from batches, one after the other.

    An estimator that is not fitted is fitted to the first batch; all others are
    for ``partial_fit``. Of a `Pipeline`, that has none, the last step learns,
    and the steps before it stay as the first batch fitted them: give it one
    that is typical of what follows, and a `OneHotEncoder` that knows or ignores
    categories to come.

    Parameters
    ----------
    estimator : regressor with partial_fit, or Pipeline that ends with one
        It learns in place, so that an interrupted stream leaves whole batches
        learned.
    batches : iterable of (X, y) or (X, y, sample_weight)
        Weights go to the last step alone. They are its ``fit``'s and
        ``partial_fit``'s `sample_weight`, to be requested from a pipeline
        where metadata routing is on.
    progress : bool, default=False
        Show a progress bar.

    Returns
    -------
    estimator

    Raises
    ------
    TypeError
        If the estimator has no ``partial_fit``.
    ValueError
        If there is no batch, or one is not as described.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skcmanp import CMANPRegressor
    >>> from skcmanp.streaming import fit_stream, split_batches
    >>> X, y = load_diabetes(return_X_y=True)
    >>> reg = make_pipeline(StandardScaler(), CMANPRegressor())
    >>> fit_stream(reg, split_batches(X, y, batch_size=100))[-1].n_samples_seen_
    442
    """
    for batch in checked_batches(estimator, batches, progress):
        learn(estimator, *batch)
    return estimator


def learn(estimator: Any, X: Any, y: Any, weight: Any) -> None:
    """Fit to a first batch, or learn one more."""
    weights = {} if weight is None else {"sample_weight": weight}
    if not isinstance(estimator, Pipeline):
        (estimator.partial_fit if is_fitted(estimator) else estimator.fit)(X, y, **weights)
    elif is_fitted(estimator):
        X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        estimator[-1].partial_fit(X, y, **weights)
    else:
        prefix = "" if get_config()["enable_metadata_routing"] else f"{estimator.steps[-1][0]}__"
        estimator.fit(X, y, **{prefix + name: value for name, value in weights.items()})


def checked_batches(estimator: Any, batches: Iterable[Batch], progress: bool) -> Iterator[tuple[Any, Any, Any]]:
    """X, y, and weights or None."""
    last = last_step(estimator)
    if not hasattr(last, "partial_fit"):
        raise TypeError(f"{type(last).__name__} has no partial_fit; choose an estimator that learns incrementally.")
    empty = True
    with progress_bar(unit="row", show=progress) as bar:
        for batch in batches:
            if not (isinstance(batch, tuple | list) and len(batch) in (2, 3)):
                raise ValueError(
                    f"batches must yield (X, y) or (X, y, sample_weight), not {type(batch).__name__}; "
                    "split_batches(X, y) makes batches of arrays."
                )
            X, y, *weight = batch
            yield X, y, (weight[0] if weight else None)
            bar.update(len(y))
            empty = False
    if empty:
        raise ValueError("batches has no batch: the source has no rows, or its iterator is used up.")


def last_step(estimator: Any) -> Any:
    """The estimator that learns: itself, or the last step of a pipeline."""
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def is_fitted(estimator: Any) -> bool:
    """Whether it has learned anything; of a pipeline, whether its last step has."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True
