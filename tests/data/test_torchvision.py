"""Data sets of torchvision from small files in the layout that its readers want."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evenhand import data
from evenhand.data._torchvision import readers
from evenhand.errors import BadInput


def image(path: Path, shade: int, size: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), (shade, shade, shade)).save(path)


def write_idx(path: Path, values: np.ndarray[Any, Any]) -> None:
    """The format of MNIST: dimensions and bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + sizes + values.astype(np.uint8).tobytes())


def counts(loaded: data.Data) -> list[list[int]]:
    return [loaded.count_G[part].tolist() for part in ("train", "val", "test")]


def shades(split: Any) -> torch.Tensor:
    x = split.inputs.take(torch.arange(len(split)))
    return ((x.mean((1, 2, 3)) + 1) * 127.5).round()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """Ten training and three test images of each digit, as bright as it says."""
    for part, count in (("train", 10), ("t10k", 3)):
        labels = np.repeat(np.arange(10), count)
        raw = tmp_path / "MNIST" / "raw"
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels)
        write_idx(raw / f"{part}-images-idx3-ubyte", np.tile(labels[:, None, None] * 20, (1, 28, 28)))
    return tmp_path


def test_arrays_with_official_test(mnist: Path) -> None:
    loaded = data.load("torchvision:MNIST", mnist, size=28)
    assert loaded.name == "torchvision:MNIST"
    assert counts(loaded) == [[9] * 10, [1] * 10, [3] * 10]
    assert loaded.train.batch(torch.arange(2)).x.shape == (2, 3, 28, 28)
    assert shades(loaded.val).tolist() == (loaded.val.y * 20).tolist()
    assert loaded.train.class_names[3] == "3 - three"
    assert loaded.options == {"size": 28}


def test_long_tail_of_any_data_set(mnist: Path) -> None:
    loaded = data.load("torchvision:MNIST", mnist, size=28, imbalance="step", imbalance_factor=3)
    assert counts(loaded) == [[9] * 5 + [3] * 5, [1] * 10, [3] * 10]


def test_files_with_official_test(tmp_path: Path) -> None:
    foods = ["apple_pie", "waffles"]
    lists = {"train": {food: [f"{food}/{i}" for i in range(8)] for food in foods}}
    lists["test"] = {food: [f"{food}/{i}" for i in range(8, 10)] for food in foods}
    for part, names in lists.items():
        (tmp_path / "food-101" / "meta").mkdir(parents=True, exist_ok=True)
        (tmp_path / "food-101" / "meta" / f"{part}.json").write_text(json.dumps(names))
        for code, food in enumerate(foods):
            for name in names[food]:
                image(tmp_path / "food-101" / "images" / f"{name}.jpg", 100 * code)
    loaded = data.load("torchvision:Food101", tmp_path, val_fraction=0.25, size=8)
    assert counts(loaded) == [[6, 6], [2, 2], [2, 2]]
    assert loaded.train.class_names == ("apple_pie", "waffles")
    assert shades(loaded.train).tolist() == (loaded.train.y * 100).tolist()
    listing = data.open_set("torchvision:Food101", size=8).listing(tmp_path)
    assert listing.paths[0] == "food-101/images/apple_pie/0.jpg"


def test_files_with_three_official_parts(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("valid", 2), ("test", 1)):
        for code, name in enumerate(("AD", "FR")):
            for i in range(count):
                image(tmp_path / "country211" / part / name / f"{i}.jpg", 100 * code)
    loaded = data.load("torchvision:Country211", tmp_path, size=8)
    assert counts(loaded) == [[3, 3], [2, 2], [1, 1]]
    assert loaded.train.class_names == ("AD", "FR")
    assert shades(loaded.val).tolist() == (loaded.val.y * 100).tolist()


def test_trainval_is_cut(tmp_path: Path) -> None:
    base = tmp_path / "oxford-iiit-pet"
    (base / "annotations").mkdir(parents=True)
    for part, numbers in (("trainval", range(10)), ("test", range(10, 12))):
        lines = []
        for code, breed in enumerate(("Abyssinian", "great_pyrenees"), 1):
            for i in numbers:
                image(base / "images" / f"{breed}_{i}.jpg", 100 * (code - 1))
                lines.append(f"{breed}_{i} {code} {code} 1")
        (base / "annotations" / f"{part}.txt").write_text("\n".join(lines) + "\n")
    loaded = data.load("torchvision:OxfordIIITPet", tmp_path, size=8)
    assert counts(loaded) == [[9, 9], [1, 1], [2, 2]]
    assert loaded.train.class_names == ("Abyssinian", "Great Pyrenees")
    assert shades(loaded.test.unseal()).tolist() == (loaded.test.unseal().y * 100).tolist()


def test_validation_is_test_where_there_is_none(tmp_path: Path) -> None:
    for part, count in (("train", 10), ("val", 2)):
        for wnid in sorted(("n01440764", "n02102040", "n02979186", "n03000684", "n03028079", "n03394916", "n03417042",
                            "n03425413", "n03445777", "n03888257")):  # fmt: skip
            for i in range(count):
                image(tmp_path / "imagenette2" / part / wnid / f"{i}.JPEG", 10)
    loaded = data.load("torchvision:Imagenette", tmp_path, size=8)
    assert counts(loaded) == [[9] * 10, [1] * 10, [2] * 10]
    assert loaded.train.class_names[0] == "tench/Tinca tinca"


def test_files_without_parts_are_dealt(tmp_path: Path) -> None:
    for code, name in enumerate(("Forest", "River")):
        for i in range(10):
            image(tmp_path / "eurosat" / "2750" / name / f"{i}.jpg", 100 * code)
    loaded = data.load("torchvision:EuroSAT", tmp_path, size=8)
    assert counts(loaded) == [[7, 7], [1, 1], [2, 2]]


def test_images_that_are_decoded_one_by_one(tmp_path: Path) -> None:
    loaded = data.load("torchvision:FakeData", tmp_path, size=8, arguments="size=60,num_classes=3")
    assert sum(map(len, (loaded.train, loaded.val, loaded.test))) == 60
    assert loaded.train.class_names == ("0", "1", "2")
    assert loaded.train.batch(torch.arange(2)).x.shape == (2, 3, 8, 8)
    again = data.load("torchvision:FakeData", tmp_path, size=8, arguments="size=60,num_classes=3")
    assert again.fingerprint == loaded.fingerprint


def test_classes_that_do_not_occur_are_none(tmp_path: Path) -> None:
    """EMNIST's letters are numbered from 1, and its list of classes begins with one that is not there."""
    for part in ("train", "test"):
        labels = np.repeat([1, 2], 20)
        raw = tmp_path / "EMNIST" / "raw"
        write_idx(raw / f"emnist-letters-{part}-labels-idx1-ubyte", labels)
        write_idx(raw / f"emnist-letters-{part}-images-idx3-ubyte", np.zeros((40, 28, 28)))
    loaded = data.load("torchvision:EMNIST", tmp_path, size=28, arguments="split=letters")
    assert loaded.train.class_names == ("a", "b")
    assert counts(loaded) == [[18, 18], [2, 2], [20, 20]]


def test_introspection_finds_the_well_known() -> None:
    known = {"Food101", "Flowers102", "OxfordIIITPet", "StanfordCars", "SVHN", "FGVCAircraft", "DTD", "PCAM"}
    assert known <= set(readers())
    assert not {"VisionDataset", "ImageFolder"} & set(readers())


# Bad input


def test_no_name() -> None:
    with pytest.raises(BadInput, match="name one, such as torchvision:Food101"):
        data.load("torchvision")


def test_unknown_name() -> None:
    with pytest.raises(BadInput, match="unknown data set of torchvision 'Food10'; did you mean 'Food101'"):
        data.load("torchvision:Food10")


@pytest.mark.parametrize("item", ["Food101", "MNIST", "Flowers102", "StanfordCars", "SVHN", "EuroSAT", "CIFAR10"])
def test_missing_files_say_how_to_get_them(tmp_path: Path, item: str) -> None:
    with pytest.raises(BadInput, match=f"torchvision's {item} cannot read its files in .*{item}.ROOT, download=True"):
        data.load(f"torchvision:{item}", tmp_path)
    assert not list(tmp_path.rglob("*.*"))  # nothing was downloaded


def test_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    with pytest.raises(BadInput, match=r"torchvision:Food101 needs the folder .*--root DIR"):
        data.load("torchvision:Food101")


def test_data_without_classes(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text("{}")
    with pytest.raises(BadInput, match="torchvision's"):
        data.load("torchvision:CocoDetection", tmp_path, arguments=f"annFile={tmp_path}/annotations.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("num_class=3", "unknown argument of torchvision's FakeData 'num_class'; did you mean 'num_classes'"),
        ("num_classes", "takes key=value"),
        ("download=true", "unknown argument"),
        ("num_classes=three", "torchvision's FakeData"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.load("torchvision:FakeData", tmp_path, arguments=arguments)


def test_missing_argument(mnist: Path) -> None:
    with pytest.raises(BadInput, match=r"EMNIST wants other arguments .*split.*--set arguments=KEY=VALUE"):
        data.load("torchvision:EMNIST", mnist)


def test_truncated_array(mnist: Path) -> None:
    path = mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadInput, match="torchvision's MNIST cannot read its files"):
        data.load("torchvision:MNIST", mnist)


@pytest.mark.parametrize("fraction", [0, 0.95, -1])
def test_wrong_fraction(fraction: float) -> None:
    with pytest.raises(BadInput, match="test_fraction must lie between 0 and 1 - val_fraction"):
        data.open_set("torchvision:FakeData", test_fraction=fraction)
