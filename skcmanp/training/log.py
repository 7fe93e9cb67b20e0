"""The log of a meta-training run, on disk and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class TrainingLog(list[dict[str, float]]):
    """Lines of a run, one per evaluation.

    Every line has step, learning_rate, train_log_likelihood (mean since the
    line before), log_likelihood with its standard_error and coverage_90 on the
    fixed evaluation tasks, seconds of training since the run's first step,
    steps_per_second and rows_per_second.

    Examples
    --------
    >>> from skcmanp.training import TrainingLog
    >>> log = TrainingLog([{"step": 100, "log_likelihood": -0.9}, {"step": 200, "log_likelihood": -0.5}])
    >>> log.column("step")
    [100, 200]
    """

    @classmethod
    def read(cls, path: str | Path) -> TrainingLog:
        """Read a JSON-lines file; of a step that was trained twice, after a crash, the later line counts.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If a line is not of a log.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"There is no log {path}.")
        lines: dict[float, dict[str, float]] = {}
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                line = json.loads(text)
                lines[line["step"]] = line
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{path}, line {number}, is not of a training log: {text[:60]!r}.") from error
        return cls(lines[step] for step in sorted(lines))

    def add(self, line: dict[str, float], path: str | Path | None = None) -> None:
        """Append a line, also to a file."""
        self.append(line)
        if path is not None:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def column(self, key: str) -> list[float]:
        """One figure of every line."""
        return [line[key] for line in self]

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Axes:
        """Draw the learning curve, with a band of one standard error.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            A new one by default.
        **kwargs
            Passed to ``ax.plot``.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots()
        steps, values = self.column("step"), self.column("log_likelihood")
        (curve,) = ax.plot(steps, values, **kwargs)
        if self and "standard_error" in self[0]:
            errors = self.column("standard_error")
            low = [v - e for v, e in zip(values, errors, strict=True)]
            high = [v + e for v, e in zip(values, errors, strict=True)]
            ax.fill_between(steps, low, high, color=curve.get_color(), alpha=0.15, linewidth=0)
        ax.set(xlabel="training steps", ylabel="log-likelihood, nats per target")
        return ax
