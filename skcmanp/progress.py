"""Progress bars, in terminals and notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def progress_bar(iterable: Iterable | None = None, *, show: bool, **kwargs: Any) -> Any:
    """A tqdm bar, or one that shows nothing; `kwargs` are tqdm's."""
    if show:
        # Not before it is needed: in a notebook without ipywidgets, importing it warns.
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm(iterable, disable=not show, **kwargs)
