import numpy as np
import pytest
from test_tasks_celeba import write_celeba
from test_tasks_emnist import write_emnist

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


def test_folders_of_emnist(tmp_path):
    write_emnist(tmp_path)
    write_emnist(tmp_path, split="test", images=np.full((6, 28, 28), 7, dtype=np.uint8))
    assert len(read_images(tmp_path)) == 6
    assert read_images(tmp_path, classes=(10, 46)).shape == (2, 28, 28)
    assert (read_images(tmp_path, split="test") == 7).all()
    assert not (read_images(tmp_path, split="train") == 7).all()


def test_folders_of_celeba(tmp_path):
    write_celeba(tmp_path)
    assert read_images(tmp_path, size=32).shape == (4, 32, 32, 3)
    assert read_images(tmp_path, size=64, split="valid").shape == (2, 64, 64, 3)
    for arguments in ({}, {"size": 32, "classes": (0, 9)}):
        with pytest.raises(ValueError, match="has CelebA's images: give size, such as 32, and leave classes out"):
            read_images(tmp_path, **arguments)
    (tmp_path / "list_eval_partition.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no .*list_eval_partition\.txt"):
        read_images(tmp_path, size=32)


def test_absent_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither a file nor a folder '.*absent\.npz'"):
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
    path = save(tmp_path, images=IMAGES)
    with pytest.raises(ValueError, match=r"size=32 is for CelebA's images only"):
        read_images(path, size=32)
    with pytest.raises(ValueError, match=r"split='test' is for folders of EMNIST and CelebA"):
        read_images(path, split="test")
    path = tmp_path / "text.npz"
    path.write_text("no arrays")
    with pytest.raises(ValueError, match=r"text\.npz is not an npz file"):
        read_images(path)
    np.save(tmp_path / "array.npy", IMAGES)
    with pytest.raises(ValueError, match=r"array\.npy is not an npz file"):
        read_images(tmp_path / "array.npy")
