"""CIFAR-100 from miniature official files."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from evenhand import data
from evenhand.data.cifar100 import Cifar100
from evenhand.errors import BadInput


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten training and two test images of each of the hundred classes; class c belongs to the coarse class c mod 20."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for part, count in (("train", 10), ("test", 2)):
        fine = [c for c in range(100) for _ in range(count)]
        content = {
            "data": np.repeat(np.array(fine, dtype=np.uint8)[:, None], 3072, axis=1),
            "fine_labels": fine,
            "coarse_labels": [c % 20 for c in fine],
            "filenames": ["x.png"] * len(fine),
            "batch_label": part,
        }
        (folder / part).write_bytes(pickle.dumps(content, 2))
    names = {
        "fine_label_names": [f"fine {c:02}" for c in range(100)],
        "coarse_label_names": [f"coarse {c:02}" for c in range(20)],
    }
    (folder / "meta").write_bytes(pickle.dumps(names, 2))
    return tmp_path


def test_official_layout(root: Path) -> None:
    loaded = data.load("cifar100", root)
    assert [set(loaded.count_G[part].tolist()) for part in ("train", "val", "test")] == [{9}, {1}, {2}]
    assert loaded.train.n_groups == 100
    assert loaded.train.group_name(7) == "class=fine 07"


def test_coarse_classes(root: Path) -> None:
    loaded = data.load("cifar100", root, target="coarse")
    assert loaded.train.count_G.tolist() == [45] * 20
    assert loaded.train.class_names[3] == "coarse 03"
    assert loaded.fingerprint != data.load("cifar100", root).fingerprint


def test_long_tail(root: Path) -> None:
    count_G = data.load("cifar100", root, imbalance="exponential", imbalance_factor=9).train.count_G
    assert (count_G[0], count_G[-1]) == (9, 1)
    assert (count_G.diff() <= 0).all()


def test_label_of_a_coarse_class_out_of_range(root: Path) -> None:
    file = root / "cifar-100-python" / "train"
    content = pickle.loads(file.read_bytes())
    content["coarse_labels"][4] = 20
    file.write_bytes(pickle.dumps(content, 2))
    with pytest.raises(BadInput, match=r"train, row 5: coarse_labels must be a whole number in 0\.\.19, got 20"):
        data.load("cifar100", root, target="coarse")
    assert len(data.load("cifar100", root).train) == 900


def test_check_compares_checksums(root: Path) -> None:
    assert len(Cifar100().check(root)) == 3


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no folder 'cifar-100-python' .*fetch cifar100"):
        data.load("cifar100", tmp_path)
