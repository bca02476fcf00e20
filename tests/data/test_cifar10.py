"""CIFAR-10 from the official Python files, miniature, and from image files, miniature and real."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import real
from evenhand import data
from evenhand.data.cifar10 import MD5, Cifar10
from evenhand.errors import BadInput

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
ROWS = 40  # of each file: four images of each class
Write = Callable[..., Path]


def batch(number: int) -> dict[str, Any]:
    """Images that are as dark as their class says, in the layout of the official files."""
    labels = [(7 * row + number) % 10 for row in range(ROWS)]
    pixels = np.repeat(np.array(labels, dtype=np.uint8)[:, None] * 20, 3072, axis=1)
    return {"data": pixels, "labels": labels, "batch_label": f"{number}", "filenames": ["x.png"] * ROWS}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write small official files below a root, with some of the keys of one file changed."""

    def write_files(file: str = "", **changes: object) -> Path:
        folder = tmp_path / "root" / "cifar-10-batches-py"
        folder.mkdir(parents=True, exist_ok=True)
        contents: dict[str, Any] = {f"data_batch_{number}": batch(number) for number in range(1, 6)}
        contents |= {"test_batch": batch(0), "batches.meta": {"label_names": NAMES, "num_vis": 3072}}
        if file:
            contents[file] = {key: value for key, value in (contents[file] | changes).items() if value is not None}
        for name, content in contents.items():
            (folder / name).write_bytes(pickle.dumps(content, 2))
        return tmp_path / "root"

    return write_files


@pytest.fixture
def image_root(tmp_path: Path) -> Path:
    """Ten images of each class in train and five in test, as files."""
    for part, count in (("train", 10), ("test", 5)):
        for code, name in enumerate(NAMES):
            folder = tmp_path / "cifar10" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (32, 32), (20 * code, number, 0)).save(folder / f"{number:04}.png")
    return tmp_path


# The Python files


def test_official_layout(write: Write) -> None:
    loaded = data.load("cifar10", write())
    assert loaded.train.class_names == tuple(NAMES)
    assert not loaded.train.has_attributes
    assert loaded.train.count_G.tolist() == [18] * 10
    assert loaded.val.count_G.tolist() == [2] * 10
    assert loaded.test.count_G.tolist() == [4] * 10
    assert loaded.train.group_name(3) == "class=cat"


def test_pixels_belong_to_their_labels(write: Write) -> None:
    loaded = data.load("cifar10", write())
    for split in (loaded.train, loaded.val, loaded.test.unseal()):
        x, y, *_ = split.batch(torch.arange(len(split)))
        assert x.shape == (len(split), 3, 32, 32)
        torch.testing.assert_close(x.mean((1, 2, 3)), y * 20 / 127.5 - 1)


def test_channels_are_planes(write: Write) -> None:
    pixels = np.tile(np.repeat(np.array([10, 20, 30], dtype=np.uint8), 1024), (ROWS, 1))
    loaded = data.load("cifar10", write("test_batch", data=pixels))
    image = loaded.test.unseal().batch(torch.tensor([0])).x[0]
    torch.testing.assert_close(image.mean((1, 2)), torch.tensor([10, 20, 30]) / 127.5 - 1)


def test_validation_is_cut_by_the_seed(write: Write) -> None:
    root = write()
    first, again, other = (data.load("cifar10", root, split_seed=seed) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert data.load("cifar10", root, val_fraction=0.5).val.count_G.tolist() == [10] * 10


def test_other_size(write: Write) -> None:
    loaded = data.load("cifar10", write(), size=16, stored=20)
    assert loaded.train.batch(torch.arange(2), torch.Generator()).x.shape == (2, 3, 16, 16)
    assert loaded.options == {"size": 16, "stored": 20}


def test_long_tail_shortens_train_alone(write: Write) -> None:
    loaded = data.load("cifar10", write(), imbalance="exponential", imbalance_factor=9)
    assert loaded.train.count_G.tolist() == [18, 14, 11, 8, 6, 5, 4, 3, 2, 2]
    assert loaded.val.count_G.tolist() == [2] * 10
    assert loaded.test.count_G.tolist() == [4] * 10


def test_fetch_is_of_the_official_archive() -> None:
    (download,) = Cifar10.downloads
    assert download.url == "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    assert download.unpacks == Cifar10.folder


def test_check_names_every_file_with_another_content(write: Write) -> None:
    found = Cifar10().check(write())
    assert len(found) == 7
    assert "test_batch is not the official file: its MD5 is" in found[-1]
    assert MD5["test_batch"] in found[-1]


# Image files


def test_image_files(image_root: Path) -> None:
    loaded = data.load("cifar10", image_root)
    assert loaded.train.class_names == tuple(NAMES)
    assert [loaded.count_G[part].tolist() for part in ("train", "val", "test")] == [[9] * 10, [1] * 10, [5] * 10]
    x, y, *_ = loaded.train.batch(torch.arange(90))
    torch.testing.assert_close(x[:, 0, 0, 0], y * 20 / 127.5 - 1)


def test_long_tail_of_image_files(image_root: Path) -> None:
    loaded = data.load("cifar10", image_root, imbalance="step", imbalance_factor=3)
    assert loaded.train.count_G.tolist() == [9] * 5 + [3] * 5


def test_folder_of_an_unknown_class(image_root: Path) -> None:
    (image_root / "cifar10" / "test" / "boat").mkdir()
    Image.new("RGB", (32, 32)).save(image_root / "cifar10" / "test" / "boat" / "1.png")
    with pytest.raises(BadInput, match=r"test/boat is a folder of none of the 10 classes of train"):
        data.load("cifar10", image_root)


def test_link_out_of_the_folder(image_root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"")
    (image_root / "cifar10" / "train" / "cat" / "x.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(BadInput, match=r"cat/x\.png is a link to .*secret\.png, which is outside"):
        data.load("cifar10", image_root)


def test_neither_files_nor_folders(tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    with pytest.raises(BadInput, match=r"must hold the official batches\.meta, .* or the folders train and test"):
        data.load("cifar10", tmp_path)


def test_check_of_image_files_counts(image_root: Path) -> None:
    found = Cifar10().check(image_root)
    assert "train has 9 images of class=airplane, published are 4500" in found
    assert len(found) == 30


def test_real_image_files() -> None:
    root = real.root_with("cifar10")
    listing = Cifar10(imbalance="exponential").listing(root)
    assert listing.labelled.classes == tuple(NAMES)
    counts = [np.bincount(listing.labelled.y[listing.parts == part]).tolist() for part in range(3)]
    assert counts == [[4500, 2697, 1617, 969, 581, 348, 208, 125, 75, 45], [500] * 10, [1000] * 10]


# Bad input


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("data_batch_2", {"labels": ["cat", *[0] * (ROWS - 1)]}, r"data_batch_2, row 1: labels must be .*9, got 'cat'"),
        ("data_batch_2", {"labels": [0] * (ROWS - 1) + [10]}, r"data_batch_2, row 40: labels must be .*got 10"),
        ("data_batch_2", {"labels": [0] * (ROWS - 1) + [-1]}, r"got -1"),
        ("data_batch_2", {"labels": [True] * ROWS}, r"row 1: labels must be a whole number in 0\.\.9, got True"),
        ("data_batch_2", {"labels": [None] * ROWS}, r"row 1: .*got None"),
        ("test_batch", {"labels": [0]}, r"test_batch must hold a list 'labels' .*each of its 40 images, got 1 of them"),
        ("test_batch", {"labels": None}, r"test_batch must hold a list 'labels' .*got none"),
        ("test_batch", {"data": None}, r"test_batch must hold an array 'data' of shape \(N, 3072\), got none"),
        ("test_batch", {"data": np.zeros((2, 7), np.uint8)}, r"array 'data' of shape \(N, 3072\), got shape \(2, 7\)"),
        ("batches.meta", {"label_names": None}, r"batches\.meta must hold a list 'label_names' of the names"),
        ("batches.meta", {"label_names": [1, 2]}, r"batches\.meta must hold a list 'label_names' of the names"),
        ("batches.meta", {"label_names": ["cat", "cat"]}, r"batches\.meta: label_names names a class twice"),
    ],
)  # fmt: skip
def test_wrong_content(write: Write, file: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.load("cifar10", write(file, **changes))


def test_missing_file(write: Write) -> None:
    root = write()
    (root / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(BadInput, match=r"needs the file .*data_batch_3, which is not there; .*fetch cifar10"):
        data.load("cifar10", root)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_fraction": 0}, "val_fraction must lie between 0 and 1"),
        ({"val_fraction": 1}, "val_fraction must lie between 0 and 1"),
        ({"split_seed": -1}, "split_seed must not be negative"),
        ({"imbalance_factor": 0.5}, "imbalance_factor must be at least 1"),
        ({"imbalance": "tail"}, "unknown option imbalance .*exponential"),
        ({"size": 0}, "size must be at least 1"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.open_set("cifar10", **options)


def test_fraction_that_leaves_a_part_empty(write: Write) -> None:
    with pytest.raises(BadInput, match=r"the part 'val' of .* has no images"):
        data.load("cifar10", write(), val_fraction=0.001)
