"""ImageNet-LT in miniature, from the official kind of lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from evenhand import data
from evenhand.data.imagenet_lt import ImagenetLt
from evenhand.errors import BadInput

WNIDS = ("n01440764", "n02012849")
Write = Callable[..., Path]


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 10)).save(path, "JPEG")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write images and lists: four training images of the first class and one of the second."""

    def write_files(*, flat: bool = False, folder: str = "ImageNet_LT", **lists: str | bytes) -> Path:
        images = tmp_path / "imagenet"
        lines: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        number = 0
        for c, wnid in enumerate(WNIDS):
            for part, count in (("train", 4 - 3 * c), ("val", 2), ("test", 2)):
                for _ in range(count):
                    number += 1
                    path = f"train/{wnid}/{wnid}_{number}.JPEG"
                    if part == "test":
                        path = f"val/{wnid}/ILSVRC2012_val_{number:08}.JPEG"
                    image(images / (f"val/{Path(path).name}" if flat and part == "test" else path))
                    lines[part].append(f"{path} {c}")
        home = tmp_path / folder
        home.mkdir(parents=True, exist_ok=True)
        for part, rows in lines.items():
            text = lists.get(part, "\n".join(rows) + "\n")
            (home / f"ImageNet_LT_{part}.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write_files


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("folder", ["ImageNet_LT", "imagenet/ImageNet_LT"])
def test_official_lists(write: Write, flat: bool, folder: str) -> None:
    loaded = data.load("imagenet_lt", write(flat=flat, folder=folder), size=8, stored=8)
    assert [loaded.count_G[part].tolist() for part in ("train", "val", "test")] == [[4, 1], [2, 2], [2, 2]]
    assert loaded.train.class_names == WNIDS


def test_check_counts(write: Write) -> None:
    assert ImagenetLt().check(write()) == [
        "train has 5 images, published are 115846",
        "val has 4 images, published are 20000",
        "test has 4 images, published are 50000",
        "there are 2 classes, published are 1000",
    ]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"val": "train/n01440764/n01440764_1.JPEG cat\n"}, r"val\.txt, line 1: wanted a path and a class .*cat"),
        ({"val": "\ntrain/n01440764/n01440764_1.JPEG 1000\n"}, r"val\.txt, line 2: wanted .*0\.\.999, got .*1000"),
        ({"val": "train/n01440764/n01440764_1.JPEG\n"}, r"val\.txt, line 1: wanted a path and a class"),
        ({"val": "train/n01440764/n01440764_1.JPEG -1\n"}, r"val\.txt, line 1: wanted a path and a class"),
        ({"val": "../secret.JPEG 0\n"}, r"val\.txt, line 1: wanted a path inside .*imagenet, got '\.\./secret"),
        ({"val": "/etc/passwd 0\n"}, r"val\.txt, line 1: wanted a path inside"),
        ({"val": "train/n01440764/none.JPEG 0\n"}, r"val\.txt, line 1: there is no image .*none\.JPEG"),
        ({"val": ""}, r"val\.txt names no image"),
        ({"val": "train/n01440764/n01440764_1.JPEG 0\n"}, r"names the image train/n01440764/n01440764_1\.JPEG twice"),
        ({"val": "train/n01440764/n01440764_5.JPEG 1\n"}, r"gives the class 1 to images of both n0\d+ and n0\d+"),
        ({"val": "train/n01440764/n01440764_1.JPEG 0\n".encode("utf-16")}, r"val\.txt is not UTF-8 text"),
    ],
)
def test_wrong_lists(write: Write, lists: dict[str, str | bytes], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.load("imagenet_lt", write(**lists))


def test_images_are_those_of_imagenet(write: Write) -> None:
    root = write()
    (root / "imagenet").rename(root / "elsewhere")
    with pytest.raises(BadInput, match=r"no folder 'imagenet' or .*where imagenet belongs"):
        data.load("imagenet_lt", root)


def test_lists_that_are_not_there(write: Write) -> None:
    root = write()
    (root / "ImageNet_LT" / "ImageNet_LT_val.txt").unlink()
    with pytest.raises(BadInput, match=r"imagenet_lt needs the file .*ImageNet_LT_val\.txt"):
        data.load("imagenet_lt", root)
