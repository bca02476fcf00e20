"""ImageNet in miniature: three classes, both layouts of the validation images, and the labels of ReaL."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from evenhand import data
from evenhand.data.imagenet import DEVKIT, Imagenet, image_number, real_hits
from evenhand.errors import BadInput

WNIDS = ("n01440764", "n02012849", "n03126707")
WORDS = ("tench, Tinca tinca", "crane", "crane")
TRUTH = [2, 0, 1, 1, 2, 0]  # classes of the six validation images, in the order of their names
REAL = [[2], [1, 2], [], [0, 1], [2], [0]]
SMALL = {"size": 8, "stored": 8, "val_fraction": 0.25}
Write = Callable[..., Path]


def image(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 9), (shade, shade, shade)).save(path, "JPEG")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a small ImageNet; the classes are numbered in the devkit from last to first."""

    def write_files(*, flat: bool = True, truth: str | None = None, real: object = REAL) -> Path:
        home = tmp_path / "imagenet"
        for c, wnid in enumerate(WNIDS):
            for number in range(4):
                image(home / "train" / wnid / f"{wnid}_{number}.JPEG", 80 * c)
        for number, y in enumerate(TRUTH, 1):
            folder = home / "val" if flat else home / "val" / WNIDS[y]
            image(folder / f"ILSVRC2012_val_{number:08}.JPEG", 80 * y)
        if flat:
            (home / DEVKIT).mkdir(parents=True, exist_ok=True)
            lines = "".join(f"{3 - y}\n" for y in TRUTH) if truth is None else truth
            (home / DEVKIT / "ILSVRC2012_validation_ground_truth.txt").write_text(lines)
            fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
            rows = [(3 - c, wnid, words, "", 0) for c, (wnid, words) in enumerate(zip(WNIDS, WORDS, strict=True))]
            synsets = np.array([*rows, (4, "n00001740", "entity", "", 3)], dtype=fields)
            savemat(home / DEVKIT / "meta.mat", {"synsets": synsets.reshape(-1, 1)})
        if real is not None:
            (home / "real.json").write_text(real if isinstance(real, str) else json.dumps(real))
        return tmp_path

    return write_files


@pytest.mark.parametrize("flat", [True, False])
def test_official_validation_is_the_test_part(write: Write, flat: bool) -> None:
    loaded = data.load("imagenet", write(flat=flat), **SMALL)
    assert [loaded.count_G[part].tolist() for part in ("train", "val", "test")] == [[3] * 3, [1] * 3, [2] * 3]
    test = loaded.test.unseal()
    order = TRUTH if flat else sorted(TRUTH)
    assert test.y.tolist() == order
    shades = test.inputs.take(torch.arange(6)).mean((1, 2, 3))
    np.testing.assert_allclose(shades, 80 * np.array(order) / 127.5 - 1, atol=0.02)


def test_classes_have_words_where_the_devkit_is_there(write: Write) -> None:
    assert Imagenet().listing(write()).labelled.classes == ("n01440764 tench", "n02012849 crane", "n03126707 crane")


def test_classes_without_devkit(write: Write) -> None:
    assert Imagenet().listing(write(flat=False)).labelled.classes == WNIDS


@pytest.mark.parametrize("folder", Imagenet.other_folders)
def test_other_folder_names(write: Write, folder: str) -> None:
    root = write(flat=False)
    (root / folder).parent.mkdir(parents=True, exist_ok=True)
    (root / "imagenet").rename(root / folder)
    assert len(Imagenet().listing(root).paths) == 18


def test_streamed_unless_a_cache_is_asked_for() -> None:
    assert Imagenet().cache == "none"


def test_check_counts(write: Write) -> None:
    assert Imagenet().check(write()) == [
        f"{write() / 'imagenet'} has 3 classes, published are 1000",
        f"{write() / 'imagenet'} has 12 training images, published are 1281167",
        f"{write() / 'imagenet'} has 6 validation images, published are 50000",
    ]


# ReaL


@pytest.mark.parametrize("flat", [True, False])
def test_class_is_the_original_label_or_else_the_first_of_real(write: Write, flat: bool) -> None:
    loaded = data.load("imagenet", write(flat=flat), truth="real", **SMALL)
    # Originally 2, 0, 1, 1, 2, 0: the second has [1, 2], the third nothing, the fourth keeps 1 of [0, 1].
    assert sorted(loaded.test.unseal().y.tolist()) == [0, 1, 1, 2, 2]
    assert loaded.notes == ("left out 1 test images for which ReaL has no label.",)
    assert loaded.train.count_G.tolist() == [3] * 3
    if flat:
        assert loaded.test.unseal().y.tolist() == [2, 1, 1, 2, 0]


@pytest.mark.parametrize("flat", [True, False])
def test_real_labels_go_with_the_rows_of_test(write: Write, flat: bool) -> None:
    root = write(flat=flat)
    chosen = Imagenet(truth="real")
    listing, labels = chosen.listing(root), chosen.real_labels(root)
    paths = [listing.paths[row] for row in np.flatnonzero(listing.parts == 2)]
    assert labels == [tuple(REAL[image_number(path)]) for path in paths]
    assert real_hits(listing.labelled.y[listing.parts == 2], labels).all()


def test_any_of_the_labels_is_a_hit() -> None:
    assert real_hits(np.array([0, 1, 2, 0]), [(0,), (0, 1), (0, 1), (2, 1, 0)]).tolist() == [True, True, False, True]


def test_hits_of_images_without_labels_are_refused() -> None:
    with pytest.raises(BadInput, match="neither right nor wrong"):
        real_hits(np.array([0]), [()])
    with pytest.raises(BadInput, match="2 predictions for 1 images"):
        real_hits(np.array([0, 1]), [(0,)])


@pytest.mark.parametrize(
    ("real", "message"),
    [
        (None, r"truth=real needs .*real\.json of https"),
        ("[[1]", r"real\.json is not valid JSON"),
        ({"a": 1}, r"must hold a list with the labels of each image"),
        ([[0], ["cat"]], r"image 2: wanted a list of classes in 0\.\.2, got \[\"cat\"\]"),
        ([[0], [3]], r"image 2: wanted a list of classes in 0\.\.2, got \[3\]"),
        ([[0], [True]], r"image 2: .*got \[true\]"),
        ([[0], None], r"image 2: .*got null"),
        ([[0]], r"has 1 lists, none for val/ILSVRC2012_val_00000002\.JPEG"),
    ],
)
def test_wrong_real_labels(write: Write, real: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Imagenet(truth="real").listing(write(real=real))


# Bad input


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ("1\n2\n", r"ground_truth\.txt has 2 lines, none for .*val_00000003\.JPEG"),
        ("1\n2\ncat\n1\n1\n1\n", r"ground_truth\.txt, line 3: wanted the number of a class, got 'cat'"),
        ("1\n2\n7\n1\n1\n1\n", r"ground_truth\.txt, line 3: wanted the number of a class, got '7'"),
        ("1\n2\n4\n1\n1\n1\n", r"line 3: wanted the number of a class, got '4'"),  # an inner node
    ],
)
def test_wrong_ground_truth(write: Write, truth: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Imagenet().listing(write(truth=truth))


def test_ground_truth_in_utf_16(write: Write) -> None:
    root = write()
    (root / "imagenet" / DEVKIT / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n", encoding="utf-16")
    with pytest.raises(BadInput, match=r"ground_truth\.txt is not UTF-8 text"):
        Imagenet().listing(root)


def test_flat_validation_without_devkit(write: Write) -> None:
    root = write()
    (root / "imagenet" / DEVKIT / "ILSVRC2012_validation_ground_truth.txt").unlink()
    with pytest.raises(BadInput, match=r"are not in folders of classes, so .*ground_truth.txt must say what they show"):
        Imagenet().listing(root)


def test_table_of_classes_that_is_none(write: Write) -> None:
    root = write()
    (root / "imagenet" / DEVKIT / "meta.mat").write_text("n01440764 tench")
    with pytest.raises(BadInput, match=r"meta\.mat is not the devkit's table of classes"):
        Imagenet().listing(root)


def test_ground_truth_of_a_class_that_is_not_in_train(write: Write) -> None:
    root = write()
    for path in (root / "imagenet" / "train" / WNIDS[0]).iterdir():
        path.unlink()
    (root / "imagenet" / "train" / WNIDS[0]).rmdir()
    with pytest.raises(BadInput, match=r"line 2: .* got n01440764, which has no folder in .*train"):
        Imagenet().listing(root)


def test_missing_part(write: Write) -> None:
    root = write(flat=False)
    (root / "imagenet" / "val").rename(root / "imagenet" / "valid")
    with pytest.raises(BadInput, match=r"imagenet needs the folder .*val, which is not there"):
        data.load("imagenet", root)


def test_image_with_another_name(write: Write) -> None:
    root = write()
    image(root / "imagenet" / "val" / "holiday.JPEG", 0)
    with pytest.raises(BadInput, match=r"holiday\.JPEG is not named as validation images of ImageNet are"):
        Imagenet().listing(root)
