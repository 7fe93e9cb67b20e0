"""Images from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skcmanp.files import read_npz
from skcmanp.tasks.celeba import CelebA, is_celeba
from skcmanp.tasks.emnist import read_emnist


class ImageSource(Protocol):
    """Images of one size that are read when they are needed; arrays are of this kind too."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number, height and width, (n, H, W), or also number of channels, (n, H, W, C)."""
        ...

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """Images of these numbers, (k, H, W) or (k, H, W, C)."""
        ...


def read_images(
    files: str | Path,
    classes: tuple[int, int] | None = None,
    split: str | None = None,
    size: int | None = None,
) -> NDArray[Any] | ImageSource:
    """Read the images that a recipe names.

    Parameters
    ----------
    files : str or path
        An npz file with arrays ``images``, (n, H, W) or (n, H, W, C), and, for
        `classes`, ``labels``, (n,); or a folder with EMNIST's files, see
        `skcmanp.tasks.emnist.read_emnist`, or with CelebA's, see
        `skcmanp.tasks.CelebA`.
    classes : tuple of int, optional
        First and last label of the images to keep, both included. Not for
        CelebA.
    split : str, optional
        Of EMNIST or CelebA; by default "train".
    size : int, optional
        Height and width of CelebA's images, which need it.

    Returns
    -------
    ndarray, or ImageSource if images are read on demand

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder, or a file in it is missing.
    ValueError
        If a file is damaged or lacks an array, no image is of `classes`, or a
        parameter is not for these files.
    """
    path = Path(files)
    if not path.exists():
        raise FileNotFoundError(f"There is neither a file nor a folder {str(path)!r} of images.")
    if is_celeba(path):
        if classes is not None or size is None:
            raise ValueError(f"{path} has CelebA's images: give size, such as 32, and leave classes out.")
        return CelebA(path, size, split or "train")
    if size is not None:
        raise ValueError(f"size={size} is for CelebA's images only, and {path} is no folder of CelebA.")
    if path.is_dir():
        images, labels = read_emnist(path, split or "train")
    elif split is not None:
        raise ValueError(f"split={split!r} is for folders of EMNIST and CelebA; {path} is a file.")
    else:
        images, labels = _read_npz(path, labelled=classes is not None)
    return images if classes is None else _of_classes(images, labels, classes, path)


def _read_npz(path: Path, labelled: bool) -> tuple[NDArray, NDArray]:
    names = ["images", "labels"] if labelled else ["images"]
    content = read_npz(path, names)
    if missing := [name for name in names if name not in content]:
        raise ValueError(f"{path} has no array {', '.join(map(repr, missing))}.")
    return content["images"], content.get("labels", np.empty(0))


def _of_classes(images: NDArray, labels: NDArray, classes: tuple[int, int], path: Path) -> NDArray:
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
