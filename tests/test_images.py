import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skcmanp.images import pixel_coordinates, pixels_to_rows, rows_to_pixels

SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, max_side=6)


@given(hnp.arrays(np.uint8, SHAPES))
def test_rows_become_the_image_again(image):
    X, y = pixels_to_rows(image)
    assert X.shape == (image.shape[0] * image.shape[1], 2)
    assert y.shape == (len(X), image.shape[2] if image.ndim == 3 else 1)
    assert (np.abs(y) <= 0.5).all()
    np.testing.assert_array_equal(np.round(255 * rows_to_pixels(y, image.shape)), image)


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_a_row_is_its_pixel(height, width, data):
    image = np.random.default_rng(0).random((height, width, 2))
    i, j = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    X, y = pixels_to_rows(image)
    row = i * width + j
    expected = [2 * k / (n - 1) - 1 if n > 1 else 0 for k, n in ((i, height), (j, width))]
    np.testing.assert_allclose(X[row], expected, atol=1e-12)
    np.testing.assert_allclose(y[row], image[i, j] - 0.5)


def test_the_first_coordinate_is_the_row():
    np.testing.assert_array_equal(pixel_coordinates(2, 2), [[-1, -1], [-1, 1], [1, -1], [1, 1]])


def test_predictions_are_not_clipped():
    np.testing.assert_array_equal(rows_to_pixels([-0.6, 0.6], (1, 2)), [[-0.6 + 0.5, 0.6 + 0.5]])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(4), r"image has shape \(4,\)"),
        (np.zeros((2, 2, 2, 2)), "H, W or with a last axis of channels"),
        (np.zeros((0, 2)), "not empty"),
        (np.zeros((2, 2), dtype=int), "dtype int64; it must be uint8"),
        (np.full((2, 2), 255.0), "values from 255 to 255; floats must be between 0 and 1"),
        (np.full((2, 2), -0.1), "values from -0.1"),
        (np.array([[0.0, np.nan]]), "values from nan"),
    ],
)
def test_mistakes_are_named(image, message):
    with pytest.raises(ValueError, match=message):
        pixels_to_rows(image)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 2, 2), (1, 2, 2, 1)])
def test_shapes_must_hold_the_values(shape):
    with pytest.raises(ValueError, match=r"shape=\(.*as many values as y, of shape \(4,\)"):
        rows_to_pixels(np.zeros(4), shape)
