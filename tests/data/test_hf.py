"""Data sets of the library datasets, made here and read from disk; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

datasets = pytest.importorskip("datasets", reason="the extra evenhand[text] is not installed")

from huggingface_hub import constants  # noqa: E402
from PIL import Image  # noqa: E402

from evenhand import data  # noqa: E402
from evenhand.errors import BadInput  # noqa: E402


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No network, and caches of the test's own."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    return


def columns(n_rows: int, seed: int = 0) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    y, a = rng.integers(2, size=n_rows), rng.integers(2, size=n_rows)
    y[:8], a[:8] = np.arange(8) % 2, np.arange(8) // 2 % 2
    return {
        "label": y.tolist(),
        "who": [("young", "old")[each] for each in a],
        "said": [f"{('bad', 'good')[c]} words number {k}" for k, c in enumerate(y)],
        "height": rng.normal(size=n_rows).tolist(),
        "weight": rng.integers(40, 90, size=n_rows).tolist(),
    }


LABEL = datasets.ClassLabel(names=["toxic", "fine"])


def made(n_rows: int = 40, seed: int = 0) -> Any:
    return datasets.Dataset.from_dict(columns(n_rows, seed)).cast_column("label", LABEL)


def saved(folder: Path, **splits: Any) -> str:
    datasets.DatasetDict(splits).save_to_disk(str(folder / "set"))
    return str(folder / "set")


def rows_of(part: Any) -> torch.Tensor:
    return part.inputs.take(torch.arange(len(part)))


def test_splits_of_a_saved_data_set(tmp_path: Path) -> None:
    item = saved(tmp_path, train=made(40, 0), validation=made(20, 1), test=made(24, 2))
    loaded = data.load(f"hf:{item}", text="said", attributes=["who"])
    assert (len(loaded.train), len(loaded.val), len(loaded.test)) == (40, 20, 24)
    assert loaded.train.y.tolist() == columns(40, 0)["label"]
    assert loaded.val.attribute.tolist() == [("old", "young").index(each) for each in columns(20, 1)["who"]]
    assert loaded.train.class_names == ("toxic", "fine")  # in the order of the class labels, not of the alphabet
    assert loaded.name == f"hf:{item}"
    assert loaded.options == {"text": "said", "attributes": ("who",)}
    assert rows_of(loaded.train).shape == (40, 3, 8)


def test_missing_parts_are_dealt_out_of_train_alike_in_every_group(tmp_path: Path) -> None:
    loaded = data.load(f"hf:{saved(tmp_path, train=made(400))}", text="said", attributes=["who"])
    total = sum(loaded.count_G.values())
    for part, share in zip(("train", "val", "test"), (0.6, 0.2, 0.2), strict=True):
        assert (loaded.count_G[part] - share * total).abs().max() <= 1


def test_validation_is_the_test_where_there_is_no_other(tmp_path: Path) -> None:
    item = saved(tmp_path, train=made(80), validation=made(32, 1))
    loaded = data.load(f"hf:{item}", text="said")
    assert (len(loaded.train), len(loaded.val), len(loaded.test)) == (60, 20, 32)
    chosen = data.load(f"hf:{item}", text="said", parts=["train", "validation", ""], fractions=[0.4, 0.2, 0.4])
    assert len(chosen.val) == 32
    assert (chosen.count_G["train"] - chosen.count_G["test"]).abs().max() <= 1
    assert len(chosen.train) + len(chosen.test) == 80


def test_columns_of_numbers_are_the_features(tmp_path: Path) -> None:
    loaded = data.load(f"hf:{saved(tmp_path, train=made(200))}", attributes=["who"])
    assert loaded.feature_names == ("height", "weight")
    x = rows_of(loaded.train)
    torch.testing.assert_close(x.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    assert loaded.recommended["encoder"] == "mlp"


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_folder_of_files_below_the_root(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "root" / "mine"
    folder.mkdir(parents=True)
    for name, split in (("train", made(40)), ("test", made(20, 1))):
        getattr(split, f"to_{ending}")(str(folder / f"{name}.{ending}"))
    loaded = data.load("hf:mine", tmp_path / "root", features=["height"], attributes=["who"])
    assert (len(loaded.train), len(loaded.val), len(loaded.test)) == (30, 10, 20)


def test_images_become_bytes_of_one_size(tmp_path: Path) -> None:
    shades = [0, 40, 80, 120, 160, 200] * 10
    pictures = [Image.new("L", (10 + k % 3, 12), shade) for k, shade in enumerate(shades)]
    rows = datasets.Dataset.from_dict({"label": [shade // 40 % 2 for shade in shades], "photo": pictures})
    rows = rows.cast_column("photo", datasets.Image())
    item = saved(tmp_path, train=rows)
    for _ in range(2):  # decoded, then from the cache
        loaded = data.load(f"hf:{item}", size=8, augment="none")
        assert rows_of(loaded.train).shape == (len(loaded.train), 3, 8, 8)
        found = torch.cat([rows_of(part) for part in (loaded.train, loaded.val, loaded.test.unseal())])
        values, count = torch.unique(((found + 1) * 127.5).round().int(), return_counts=True)
        assert values.tolist() == [0, 40, 80, 120, 160, 200]
        assert count.tolist() == [10 * 3 * 8 * 8] * 6
    assert len(list((tmp_path / "cache").glob("hub-*.npy"))) == 1


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    good = (tmp_path / "good.png").read_bytes()
    photos = [{"bytes": b"no image" if k == 3 else good, "path": None} for k in range(30)]
    rows = datasets.Dataset.from_dict({"label": [k % 2 for k in range(30)], "photo": photos})
    item = saved(tmp_path, train=rows.cast_column("photo", datasets.Image()))
    with pytest.raises(BadInput, match=r"row 4 of hf:.*: photo is no image that can be read.*skip_bad=true"):
        data.load(f"hf:{item}", size=8)
    loaded = data.load(f"hf:{item}", size=8, skip_bad=True)
    assert sum(int(count.sum()) for count in loaded.count_G.values()) == 29
    assert len(loaded.notes) == 1


def test_unlabelled_rows_are_named(tmp_path: Path) -> None:
    hidden = made(20, 1).map(lambda row: row | {"label": -1}, features=made(20).features)
    item = saved(tmp_path, train=made(40), validation=made(20, 2), test=hidden)
    with pytest.raises(BadInput, match=r"row 61: label is missing \(20 of 80 rows\)"):
        data.load(f"hf:{item}", text="said")
    assert len(data.load(f"hf:{item}", text="said", parts=["train", "", "validation"]).test) == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "lable"}, r"unknown column of hf:.*'lable'; did you mean 'label'"),
        ({"text": "height"}, "column 'height' of hf:.*must hold texts, but is of type Float64"),
        ({"text": "said", "features": ["height"]}, "choose one of text, image and features"),
        ({"text": "said", "parts": ["train", "valid", "test"]}, r"unknown split of hf:.*'valid'"),
        ({"text": "said", "fractions": [0.5, 0.5, 0.5]}, "fractions must be three positive shares that add up to 1"),
        ({"text": "said", "parts": ["train"]}, "parts must name the splits for train, val and test"),
        ({"text": "said", "attributes": ["weight"], "label": "who", "positive": "ancient"}, "positive must be one of"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    item = saved(tmp_path, train=made(40), test=made(20, 1))
    with pytest.raises(BadInput, match=message):
        data.load(f"hf:{item}", **options)


def test_no_column_that_could_be_an_input(tmp_path: Path) -> None:
    item = saved(tmp_path, train=made(40).select_columns(["label", "said"]))
    with pytest.raises(BadInput, match=r"no columns of numbers to be features; choose text, image or features among"):
        data.load(f"hf:{item}")


def test_neither_a_folder_nor_a_name_that_can_be_reached(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"hf:nobody/nothing cannot be opened: neither a folder nobody/nothing nor"):
        data.load("hf:nobody/nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"cannot be opened from the folder .*empty"):
        data.load(f"hf:{tmp_path / 'empty'}")
    with pytest.raises(BadInput, match="hf needs the name of a data set or a folder"):
        data.load("hf")
