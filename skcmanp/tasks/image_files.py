"""Images from files."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class ImageSource(Protocol):
    """Images of one size that are read when they are needed; arrays are of this kind too."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number, height and width, (n, H, W), or also number of channels, (n, H, W, C)."""
        ...

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """Images of these numbers, (k, H, W) or (k, H, W, C)."""
        ...


def read_images(files: str | Path, classes: tuple[int, int] | None = None) -> NDArray[Any]:
    """Read the images that a recipe names.

    Parameters
    ----------
    files : str or path
        An npz file with arrays ``images``, (n, H, W) or (n, H, W, C), and, for
        `classes`, ``labels``, (n,).
    classes : tuple of int, optional
        First and last label of the images to keep, both included.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it lacks an array, or has no image of `classes`.
    """
    path = Path(files)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r} of images.")
    try:
        with np.load(path) as arrays:
            content = {name: arrays[name] for name in ("images", "labels") if name in arrays.files}
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not an npz file: {error}") from error
    needed = {"images"} if classes is None else {"images", "labels"}
    if missing := needed - set(content):
        raise ValueError(f"{path} has no array {', '.join(map(repr, sorted(missing)))}.")
    if classes is None:
        return content["images"]
    return of_classes(content["images"], content["labels"], classes, path)


def of_classes(images: NDArray, labels: NDArray, classes: tuple[int, int], path: Path) -> NDArray:
    """Images with a label in ``classes[0]..classes[1]``, both included."""
    if labels.shape != (len(images),):
        raise ValueError(f"{path} has {len(images)} images, but labels of shape {labels.shape}.")
    first, last = classes
    chosen = (labels >= first) & (labels <= last)
    if not chosen.any():
        raise ValueError(
            f"{path} has no image with a label of classes={list(classes)}; its labels are "
            f"{labels.min()} to {labels.max()}."
        )
    return images[chosen]
