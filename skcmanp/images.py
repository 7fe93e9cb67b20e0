"""Pictures as rows: a pixel is a place and an intensity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["pixel_coordinates", "pixels_to_rows", "rows_to_pixels"]

Array = NDArray[np.float64]


def pixel_coordinates(height: int, width: int) -> Array:
    """Places of an image's pixels, row by row.

    Parameters
    ----------
    height, width : int
        In pixels.

    Returns
    -------
    ndarray (height * width, 2)
        Row and column, each from -1, its first pixel, to 1, its last; a side of
        one pixel is at 0. So the shorter side of an image spans as much as the
        longer one.

    Examples
    --------
    >>> from skcmanp.images import pixel_coordinates
    >>> pixel_coordinates(2, 3)
    array([[-1., -1.],
           [-1.,  0.],
           [-1.,  1.],
           [ 1., -1.],
           [ 1.,  0.],
           [ 1.,  1.]])
    """
    sides = [np.linspace(-1.0, 1.0, n) if n > 1 else np.zeros(n) for n in (height, width)]
    return np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)


def pixels_to_rows(image: ArrayLike) -> tuple[Array, Array]:
    """Rows of an image, as `skcmanp.tasks.ImageTasks` has them in training.

    Parameters
    ----------
    image : array-like (H, W) or (H, W, C)
        Intensities, of dtype uint8 (0 to 255) or floats between 0 and 1.

    Returns
    -------
    X : ndarray (H * W, 2)
        Places, see `pixel_coordinates`.
    y : ndarray (H * W, C)
        Intensities between -0.5 and 0.5; C is 1 without channels.

    Raises
    ------
    ValueError
        If the shape, the dtype or a value is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> from skcmanp.images import pixels_to_rows, rows_to_pixels
    >>> image = np.array([[0, 255], [51, 204]], dtype=np.uint8)
    >>> X, y = pixels_to_rows(image)
    >>> X.shape, y.shape
    ((4, 2), (4, 1))
    >>> rows_to_pixels(y, image.shape)
    array([[0. , 1. ],
           [0.2, 0.8]])
    """
    pixels = check_pixels(np.asarray(image), "image", ndim=2)
    height, width, channels = pixels.shape if pixels.ndim == 3 else (*pixels.shape, 1)
    scale = 255.0 if pixels.dtype == np.uint8 else 1.0
    y = pixels.reshape(height * width, channels).astype(np.float64) / scale - 0.5
    return pixel_coordinates(height, width), y


def rows_to_pixels(y: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Image of the values of all of its rows; the inverse of `pixels_to_rows`.

    Parameters
    ----------
    y : array-like (H * W,) or (H * W, C)
        Values in the order of `pixel_coordinates`, such as predicted means.
    shape : tuple of int
        Of the image, (H, W) or (H, W, C).

    Returns
    -------
    ndarray of `shape`
        ``y + 0.5``, not clipped: predictions may be a little below 0 or above 1.

    Raises
    ------
    ValueError
        If `shape` is not an image's, or has not as many values as `y`.
    """
    values = np.asarray(y, dtype=np.float64)
    if len(shape) not in (2, 3) or values.size != np.prod(shape, dtype=int):
        raise ValueError(
            f"shape={tuple(shape)} must be (H, W) or (H, W, C), with as many values as y, of shape {values.shape}."
        )
    return values.reshape(shape) + 0.5


def check_pixels(pixels: NDArray, name: str, ndim: int) -> NDArray:
    """Refuse what is not uint8 or between 0 and 1, or not of `ndim` axes and perhaps one of channels."""
    if pixels.ndim not in (ndim, ndim + 1) or not pixels.size:
        axes = ("n, H, W" if ndim == 3 else "H, W") + " or with a last axis of channels"
        raise ValueError(f"{name} has shape {pixels.shape}; it must be ({axes}), and not empty.")
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind != "f":
        raise ValueError(f"{name} has dtype {pixels.dtype}; it must be uint8, or floats between 0 and 1.")
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 1):  # NaN too
        raise ValueError(
            f"{name} has values from {low:.6g} to {high:.6g}; floats must be between 0 and 1, so divide them by their "
            "largest possible value."
        )
    return pixels
