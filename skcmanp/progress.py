"""Progress bars, in terminals and notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Self


class _Silent:
    """What a bar is that shows nothing.

    tqdm's own take a lock of all threads even then, which an interrupt at the
    wrong moment leaves locked for good.
    """

    def __init__(self, iterable: Iterable | None) -> None:
        self._iterable = () if iterable is None else iterable

    def __iter__(self) -> Iterator:
        return iter(self._iterable)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, n: float = 1) -> None:
        """Count on."""

    def set_postfix(self, *_: Any, **__: Any) -> None:
        """Say something beside."""


def progress_bar(iterable: Iterable | None = None, *, show: bool, **kwargs: Any) -> Any:
    """A tqdm bar, or one that shows nothing; `kwargs` are tqdm's."""
    if not show:
        return _Silent(iterable)
    # Not before it is needed: in a notebook without ipywidgets, importing it warns.
    from tqdm.auto import tqdm

    return tqdm(iterable, **kwargs)
