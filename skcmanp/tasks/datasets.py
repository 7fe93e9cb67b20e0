"""Tasks from the user's own data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from skcmanp.adaptation import Adaptation
from skcmanp.nn.config import CMANPConfig
from skcmanp.streaming.files import find_files, read_dataset
from skcmanp.tasks.adapted import MIN_REFERENCE, adapted
from skcmanp.tasks.base import TaskBatch, log_uniform_int, standardize


class DatasetTasks:
    """Random splits of the user's own data sets, for meta-training on a family of them.

    Every task takes one of the data sets, as likely as it has rows to give, and
    splits random rows of it into context and targets, scaled as the estimator
    scales them.

    Parameters
    ----------
    datasets : sequence of (X, y)
        Arrays of shape (n, d) and (n,) or (n, dy), with d and dy the same for
        all. A data set must have `n_target` rows more than the smallest context.
    n_context : tuple of int, default=(1, 512)
        Smallest and largest number of context rows, log-uniform in between;
        the largest that the smallest data set allows, at most. It may start
        at 0.
    n_target : int, default=32
        Number of target rows.
    standardize : bool, default=True
        Scale a task by its context's moments, from 5 context rows on, and by
        its data set's with fewer. With False the data must have about unit
        scale.
    dim_x : int, optional
        Width of x, the network's; features that the data do not have are
        zeros, as in the estimator. By default the data's own.
    adapt_for : CMANPConfig, optional
        Adapt every task as the estimator does for this network, see
        `skcmanp.tasks.adapted`; for networks with ``relevance=True``.

    Raises
    ------
    ValueError
        If there is no data set, shapes differ, values are not finite, or a
        data set has too few rows.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skcmanp.tasks import DatasetTasks
    >>> rng = np.random.default_rng(0)
    >>> sensors = [(rng.normal(size=(100, 2)), rng.normal(size=100)) for _ in range(5)]
    >>> batch = DatasetTasks(sensors).sample(4, torch.Generator().manual_seed(0))
    >>> batch.x_target.shape
    torch.Size([4, 32, 2])
    """

    def __init__(
        self,
        datasets: Sequence[tuple[ArrayLike, ArrayLike]],
        n_context: tuple[int, int] = (1, 512),
        n_target: int = 32,
        standardize: bool = True,
        dim_x: int | None = None,
        adapt_for: CMANPConfig | None = None,
    ) -> None:
        if not datasets:
            raise ValueError("datasets is empty; give at least one pair (X, y).")
        self.datasets = [self._prepared(i, X, y, standardize) for i, (X, y) in enumerate(datasets)]
        shapes = {(x.shape[1], y.shape[1]) for x, y in self.datasets}
        if len(shapes) > 1:
            raise ValueError(f"datasets have different numbers of features and targets: {sorted(shapes)}.")
        ((n_features, self.dim_y),) = shapes
        self.dim_x = n_features if dim_x is None else dim_x
        if n_features > self.dim_x:
            raise ValueError(f"The data sets have {n_features} features, more than dim_x={dim_x}.")
        self.n_features = n_features
        smallest = min(len(x) for x, _ in self.datasets)
        if smallest < n_context[0] + n_target:
            raise ValueError(
                f"A data set has {smallest} rows, fewer than the n_context={n_context[0]} and n_target={n_target} "
                "that a task needs at least; leave it out or lower them."
            )
        self.n_context = (n_context[0], min(n_context[1], smallest - n_target))
        self.n_target = n_target
        self.standardize = standardize
        self.adapt_for = adapt_for
        sizes = torch.tensor([float(len(x)) for x, _ in self.datasets])
        self._probability = sizes / sizes.sum()

    @classmethod
    def from_files(
        cls, files: str | Path, target: str = "y", features: Sequence[str] | None = None, **kwargs: Any
    ) -> DatasetTasks:
        """Read a data set from every file that matches a pattern.

        Parameters
        ----------
        files : str or path
            Pattern such as ``sensors/*.csv``, of CSV files with a header,
            parquet files (with pyarrow installed), or npz files with one array
            per column.
        target : str, default="y"
            Name of the target's column.
        features : sequence of str, optional
            Names of the features' columns, in order; by default all columns
            but the target.
        **kwargs
            Further arguments of `DatasetTasks`.

        Raises
        ------
        FileNotFoundError
            If no file matches.
        ValueError
            If a file lacks a column, or has values that are not numbers.
        """
        return cls([read_dataset(path, target, features) for path in find_files(files)], **kwargs)

    @staticmethod
    def _prepared(index: int, X: ArrayLike, y: ArrayLike, standardize: bool) -> tuple[Tensor, Tensor]:
        x_array, y_array = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        y_array = y_array[:, None] if y_array.ndim == 1 else y_array
        if x_array.ndim != 2 or y_array.ndim != 2 or len(x_array) != len(y_array):
            raise ValueError(
                f"datasets[{index}] has X of shape {x_array.shape} and y of shape {y_array.shape}; "
                "they must be (n, d) and (n,) or (n, dy)."
            )
        if not (np.isfinite(x_array).all() and np.isfinite(y_array).all()):
            raise ValueError(f"datasets[{index}] has NaN or infinite values; impute or drop them.")
        if standardize:
            scales = Adaptation.fit(x_array, y_array)
            x_array, y_array = scales.scale_x(x_array), scales.scale_y(y_array)
        return torch.tensor(x_array), torch.tensor(y_array)

    def sample(self, batch_size: int, generator: torch.Generator) -> TaskBatch:
        """Draw a batch of tasks, all with one number of context rows."""
        low, high = self.n_context
        # Shifted by one, as the logarithm of no rows does not exist.
        n_context = log_uniform_int(low + 1, high + 1, generator) - 1
        chosen = torch.multinomial(self._probability, batch_size, replacement=True, generator=generator)
        xs, ys = [], []
        for index in chosen.tolist():
            x, y = self.datasets[index]
            rows = torch.randperm(len(x), generator=generator)[: n_context + self.n_target]
            xs.append(x[rows])
            ys.append(y[rows])
        (x, x_target), (y, y_target) = (torch.stack(t).tensor_split([n_context], dim=1) for t in (xs, ys))
        batch = TaskBatch(x, y, x_target, y_target)
        n_reference = n_context if self.standardize and n_context >= MIN_REFERENCE else 0
        if self.adapt_for is not None:
            return adapted(batch, self.n_features, n_reference, self.adapt_for)
        if n_reference:
            batch = standardize(batch, n_reference)
        x, x_target = (torch.nn.functional.pad(t, (0, self.dim_x - self.n_features)) for t in (batch.x, batch.x_target))
        return TaskBatch(x.float(), batch.y.float(), x_target.float(), batch.y_target.float())

    def describe(self) -> dict[str, str]:
        """What a checkpoint's card says of the tasks."""
        return {
            "features": str(self.n_features),
            "context rows in training": "{} to {}".format(*self.n_context),
            "tasks": f"splits of {len(self.datasets)} data sets",
        }
