"""How an estimator, or a Pipeline that ends with one, learns batch after batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skcmanp.progress import progress_bar
from skcmanp.streaming.batches import Batch
from skcmanp.wrappers import innermost, unwrap


def fit_stream(estimator: Any, batches: Iterable[Batch], *, progress: bool = False) -> Any:
    """Learn from batches, one after the other.

    Every batch, the first included, is for ``partial_fit``, so that a stream may
    begin with small batches: `CMANPRegressor` then fixes nothing for good until
    it has seen a thousand rows.

    Of a `Pipeline`, which has no ``partial_fit``, the last step learns, and of a
    fitted search or stack the best or final estimator (`unwrap`). If the
    pipeline is not fitted, the steps before the last one are fitted to the
    first batch, and stay as they are: give it one that is typical of what
    follows, and a `OneHotEncoder` that knows or ignores categories to come.

    Parameters
    ----------
    estimator : regressor with partial_fit, Pipeline that ends with one, or fitted search or stack
        It learns in place, so that an interrupted stream leaves whole batches
        learned. One that is fitted goes on from there.
    batches : iterable of (X, y) or (X, y, sample_weight)
        Weights are ``partial_fit``'s `sample_weight`. Of a pipeline they go to
        the last step alone, and need not be requested where scikit-learn's
        metadata routing is on.
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


def learn(estimator: Any, X: Any, y: Any, weight: Any = None) -> None:
    """Learn one batch with ``partial_fit``; of a pipeline, fit the steps before the last one first, if need be."""
    if isinstance(estimator, Pipeline) and not is_fitted(estimator):
        learn(estimator[-1], _fit_steps(estimator, X, y), y, weight)
        return
    regressor, rows = unwrap(estimator, X)
    if regressor is not estimator and not is_fitted(estimator):
        raise NotFittedError(
            f"{type(estimator).__name__} learns batches once it is fitted; call its fit with the first rows of the "
            "stream."
        )
    regressor.partial_fit(rows, y, **({} if weight is None else {"sample_weight": weight}))


def _fit_steps(pipeline: Pipeline, X: Any, y: Any) -> Any:
    """Fit all steps but the last one, which passes on what it is given, as `Pipeline.fit` would; rows for the last."""
    *earlier, (name, last) = pipeline.steps
    transformer = Pipeline([*earlier, (name, "passthrough")], memory=pipeline.memory, verbose=pipeline.verbose)
    transformed = transformer.fit_transform(X, y)
    # With a cache it was clones that were fitted.
    pipeline.steps = [*transformer.steps[:-1], (name, last)]
    return transformed


def checked_batches(estimator: Any, batches: Iterable[Batch], progress: bool) -> Iterator[tuple[Any, Any, Any]]:
    """X, y, and weights or None, of each batch, for an estimator that can learn them."""
    last = innermost(estimator)
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


def is_fitted(estimator: Any) -> bool:
    """Whether it has learned anything; of a pipeline, whether its last step has."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True
