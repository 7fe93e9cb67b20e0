"""Batches of tasks that are drawn once and kept as files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import joblib
import torch

from skcmanp.files import check_archive, replacing
from skcmanp.progress import progress_bar
from skcmanp.tasks.base import TaskBatch, TaskGenerator


class KeptTasks:
    """Tasks of another generator, each batch of which is drawn only once.

    Parameters
    ----------
    tasks : TaskGenerator
    folder : path
        Of these tasks alone: files are known by the size of batches and the seed.
        It is made if it does not exist.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import torch
    >>> from skcmanp.tasks import FunctionTasks, KeptTasks, RandomGP
    >>> tasks = FunctionTasks([RandomGP()], dim_x=3)
    >>> with TemporaryDirectory() as folder:
    ...     kept = KeptTasks(tasks, folder)
    ...     first, again = (kept.sample(4, torch.Generator().manual_seed(0)) for _ in range(2))
    >>> torch.equal(first.y, again.y)
    True
    """

    def __init__(self, tasks: TaskGenerator, folder: str | Path) -> None:
        self.tasks = tasks
        self.folder = Path(folder)

    def sample(self, batch_size: int, generator: torch.Generator) -> TaskBatch:
        """The batch of this generator's initial seed."""
        path = self._path(batch_size, generator)
        if path.exists():
            return _read(path, batch_size)
        batch = self.tasks.sample(batch_size, generator)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:  # several processes may draw the same
            torch.save({name: t for name, t in batch._asdict().items() if t is not None}, partial)
        return batch

    def draw(self, batch_size: int, seeds: Iterable[int], n_jobs: int = 1, progress: bool = True) -> None:
        """Draw the batches of these seeds, those that are not there yet, ahead of their use.

        Parameters
        ----------
        batch_size : int
        seeds : iterable of int
            Those of `skcmanp.training.task_generator` are the numbers of the steps.
        n_jobs : int, default=1
            Processes to draw in.
        progress : bool, default=True
            Show a progress bar.
        """
        generators = (torch.Generator().manual_seed(seed) for seed in seeds)
        missing = [g.initial_seed() for g in generators if not self._path(batch_size, g).exists()]
        jobs = (joblib.delayed(_draw)(self, batch_size, seed) for seed in missing)
        drawn = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
        for _ in progress_bar(drawn, total=len(missing), show=progress, unit="batch"):
            pass

    def _path(self, batch_size: int, generator: torch.Generator) -> Path:
        return self.folder / f"{batch_size}-{generator.initial_seed()}.pt"

    def describe(self) -> dict[str, str]:
        """What a checkpoint's card says of the tasks."""
        return self.tasks.describe()


def _read(path: Path, batch_size: int) -> TaskBatch:
    """A batch that was kept.

    Raises
    ------
    ValueError
        If the file is damaged, or not of such a batch.
    """
    try:
        check_archive(path)
        batch = TaskBatch(**torch.load(path, weights_only=True))
        sizes = {len(values) for values in batch if values is not None}
        rows = batch.x.shape[:2] == batch.y.shape[:2] and batch.x_target.shape[:2] == batch.y_target.shape[:2]
        finite = all(values.isfinite().all() for values in batch if values is not None)
    except Exception as error:  # whatever a damaged archive makes of the reader
        raise ValueError(f"{path} is damaged; remove it, and it is drawn again.") from error
    if sizes != {batch_size} or not rows or not finite:
        raise ValueError(f"{path} does not hold {batch_size} tasks; remove it, and they are drawn again.")
    return batch


def _draw(tasks: KeptTasks, batch_size: int, seed: int) -> None:
    tasks.sample(batch_size, torch.Generator().manual_seed(seed))
