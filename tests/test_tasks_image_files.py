import numpy as np
import pytest

from skcmanp.tasks.image_files import read_images

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5), dtype=np.uint8)
LABELS = np.array([0, 3, 9, 10, 3, 46])


def save(folder, **arrays):
    path = folder / "images.npz"
    np.savez(path, **arrays)
    return path


def test_npz_files_and_classes(tmp_path):
    path = save(tmp_path, images=IMAGES, labels=LABELS)
    np.testing.assert_array_equal(read_images(path), IMAGES)
    np.testing.assert_array_equal(read_images(path, classes=(0, 9)), IMAGES[[0, 1, 2, 4]])
    np.testing.assert_array_equal(read_images(path, classes=(10, 46)), IMAGES[[3, 5]])
    assert read_images(path).dtype == np.uint8
    np.testing.assert_array_equal(read_images(save(tmp_path, images=IMAGES)), IMAGES)


def test_absent_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file '.*absent\.npz' of images"):
        read_images(tmp_path / "absent.npz")


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="has no image with a label of classes=\\[50, 60\\]; its labels are 0 to 46"):
        read_images(save(tmp_path, images=IMAGES, labels=LABELS), classes=(50, 60))
    with pytest.raises(ValueError, match="has no array 'labels'"):
        read_images(save(tmp_path, images=IMAGES), classes=(0, 9))
    with pytest.raises(ValueError, match="has no array 'images'"):
        read_images(save(tmp_path, pictures=IMAGES))
    with pytest.raises(ValueError, match=r"6 images, but labels of shape \(3,\)"):
        read_images(save(tmp_path, images=IMAGES, labels=LABELS[:3]), classes=(0, 9))
    path = tmp_path / "text.npz"
    path.write_text("no arrays")
    with pytest.raises(ValueError, match=r"text\.npz is not an npz file"):
        read_images(path)
    np.save(tmp_path / "array.npy", IMAGES)
    with pytest.raises(ValueError, match=r"array\.npy is not an npz file"):
        read_images(tmp_path / "array.npy")
