"""One's own images: a table with a column of paths, and folders of classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from PIL import Image

from evenhand import data
from evenhand.data.images import part_folders
from evenhand.errors import BadInput

HEADER = "file,disease,sex,patient,part"
Describe = Callable[..., str]
PLAIN: dict[str, Any] = {
    "path": "people.csv", "images": "file", "label": "disease", "attributes": ["sex"], "split": "part", "size": 8
}  # fmt: skip


def rows() -> list[str]:
    """Two images of every disease and sex in each part, and the patient of each."""
    kinds = [(disease, sex, part) for part in ("train", "val", "test") for disease in ("no", "yes") for sex in "fm"]
    return [
        f"scans/{i}.png,{disease},{sex},p{i // 2},{part}"
        for i, (disease, sex, part) in enumerate(kind for kind in kinds for _ in range(2))
    ]


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list) else repr(value).replace("'", '"')


@pytest.fixture
def describe(tmp_path: Path) -> Describe:
    """Write images whose red is ten times their number, a table and its description, whose path is returned."""
    (tmp_path / "scans").mkdir()
    for i in range(25):
        Image.new("RGB", (8, 8), (10 * i, 0, 0)).save(tmp_path / "scans" / f"{i}.png")

    def write(lines: list[str] | None = None, header: str = HEADER, coding: str = "utf-8", **keys: object) -> str:
        text = "\n".join([header, *(rows() if lines is None else lines)]) + "\n"
        (tmp_path / "people.csv").write_text(text, encoding=coding)
        entries = {key: value for key, value in (PLAIN | keys).items() if value is not None}
        training = entries.pop("training", None)
        description = "".join(f"{key} = {toml(value)}\n" for key, value in entries.items())
        if training is not None:
            description += f"[training]\n{training}\n"
        (tmp_path / "people.toml").write_text(description)
        return str(tmp_path / "people.toml")

    return write


def reds(split: Any) -> list[int]:
    x = split.inputs.take(torch.arange(len(split)))
    return ((x[:, 0, 0, 0] + 1) * 12.75).round().long().tolist()


# A table


def test_table_with_paths(describe: Describe) -> None:
    loaded = data.load(describe())
    assert loaded.name == "people"
    assert loaded.train.class_names == ("no", "yes")
    assert loaded.train.group.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert reds(loaded.train) == list(range(8))
    assert reds(loaded.val) == list(range(8, 16))
    assert loaded.train.inputs.augments
    assert not loaded.val.inputs.augments


def test_options_come_from_the_description_and_then_from_the_caller(describe: Describe) -> None:
    path = describe(size=6, stored=8, augment="none", cache="none")
    loaded = data.load(path)
    assert loaded.train.batch(torch.arange(1)).x.shape == (1, 3, 6, 6)
    assert not loaded.train.inputs.augments
    assert loaded.options == {"size": 6, "stored": 8, "augment": "none"}, "the cache makes no other data"
    assert data.load(path, size=4).train.batch(torch.arange(1)).x.shape == (1, 3, 4, 4)
    assert data.load(path, size=64, stored=64).train.batch(torch.arange(1)).x.shape == (1, 3, 64, 64)


def test_training_table_is_recommended(describe: Describe) -> None:
    loaded = data.load(describe(training="epochs = 3"))
    assert loaded.recommended["epochs"] == 3
    assert loaded.recommended["encoder"] == "resnet10_small"


def test_dealt_by_fractions_within_groups(describe: Describe) -> None:
    loaded = data.load(describe(split=None, fractions=[0.5, 0.25, 0.25]))
    assert loaded.train.count_G.tolist() == [3] * 4
    other = data.load(describe(split=None, fractions=[0.5, 0.25, 0.25], seed=1))
    assert sorted(reds(other.train)) != sorted(reds(loaded.train))


def test_a_patient_is_in_one_part_only(describe: Describe) -> None:
    loaded = data.load(describe(split=None, id="patient"))
    patients = [{red // 2 for red in reds(split)} for split in (loaded.train, loaded.val, loaded.test.unseal())]
    assert sum(map(len, patients)) == 12
    assert set.union(*patients) == set(range(12))


def test_images_in_another_folder(describe: Describe, tmp_path: Path) -> None:
    path = describe([row.replace("scans/", "") for row in rows()], folder="scans")
    assert reds(data.load(path).train) == list(range(8))


def test_parquet(describe: Describe, tmp_path: Path) -> None:
    path = describe()
    pl.read_csv(tmp_path / "people.csv").write_parquet(tmp_path / "people.parquet")
    assert reds(data.load(describe(path="people.parquet")).train) == reds(data.load(path).train)


def test_positive_and_no_attributes(describe: Describe) -> None:
    loaded = data.load(describe(positive="no", attributes=None))
    assert loaded.train.class_names == ("yes", "no")
    assert not loaded.train.has_attributes


def test_rows_with_a_missing_attribute_dropped(describe: Describe) -> None:
    lines = [rows()[0].replace(",f,", ",,"), *rows()[1:]]
    loaded = data.load(describe(lines, missing="drop"))
    assert len(loaded.train) == 7
    assert loaded.notes == ("left out 1 rows with a missing attribute.",)
    assert data.load(describe(lines, missing="indicate")).train.attribute_values == (("f", "m", "(missing)"),)


def test_fingerprint_follows_content_and_not_the_place(describe: Describe, tmp_path: Path) -> None:
    first = data.load(describe()).fingerprint
    assert data.load(describe(training="epochs = 3")).fingerprint == first
    assert data.load(describe([row.replace("yes", "ill") for row in rows()])).fingerprint != first
    describe()
    moved = tmp_path.parent / f"{tmp_path.name} moved"
    tmp_path.rename(moved)
    assert data.load(str(moved / "people.toml")).fingerprint == first
    moved.rename(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("scans/99.png,no,f,p,train", r"people\.csv, line 26: file must be a file in .* that is there, got 'scans/99"),
        ("../secret.png,no,f,p,train", r"people\.csv, line 26: file must be a path inside .*got '\.\./secret"),
        ("/etc/passwd,no,f,p,train", r"people\.csv, line 26: file must be a path inside"),
        ("scans/0.png,no,f,p,train", r"people\.csv, line 26: file must be each image once"),
        (",no,f,p,train", r"people\.csv, line 26: file must be the path of an image, got nothing"),
        ("scans/24.png,,f,p,train", r"people\.csv, line 26: disease is missing"),
        ("scans/24.png,no,,p,train", r"people\.csv, line 26: sex is missing .*choose missing"),
        ("scans/24.png,no,f,p,dev", r"people\.csv, line 26: part must be one of train, val, test, got 'dev'"),
        ("scans/24.png,no,f,p,", r"people\.csv, line 26: part is missing"),
        ("scans/24.png,no,f", r"people\.csv, line 26"),
    ],
)
def test_wrong_row(describe: Describe, line: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.load(describe([*rows(), line]))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"images": "image"}, r"unknown column of .*people\.csv 'image'"),
        ({"label": None}, r"people\.toml: with `images` also give 'label', the column to predict"),
        ({"path": None}, r"people\.toml: with `images` also give 'path', the table"),
        ({"label": "file"}, r"people\.toml: images must be a column of its own"),
        ({"size": "big"}, r"people\.toml: option size of the description takes a whole number, got 'big'"),
        ({"size": -3}, r"size must be at least 1 pixel"),
        ({"fit": "stretch"}, r"people\.toml: unknown option fit of the description 'stretch'"),
        ({"sise": 3}, r"people\.toml: unknown key 'sise'; did you mean 'size'"),
        ({"fractions": [0.5, 0.5]}, r"people\.toml: fractions must be three positive shares"),
        ({"seed": -1}, r"people\.toml: split_seed must not be negative|people\.toml: seed"),
        ({"training": "epoch = 3"}, r"people\.toml: unknown option of the table \[training\] 'epoch'"),
        ({"training": "epochs = 0"}, r"people\.toml: epochs must be at least 1"),
        ({"augment": "warp"}, r"unknown augmentation 'warp'"),
        ({"path": "none.csv"}, r"there is no table .*none\.csv"),
        ({"folder": "none"}, r"none"),
    ],
)
def test_wrong_description(describe: Describe, keys: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.load(describe(**keys))


def test_paths_with_a_dot(describe: Describe) -> None:
    dotted = [f"./{row}".replace("scans/", "scans/.//") for row in rows()]
    assert reds(data.load(describe(dotted)).train) == list(range(8))
    with pytest.raises(BadInput, match=r"people\.csv, line 26: file must be each image once, got '\./scans/3\.png'"):
        data.load(describe([*rows(), "./scans/3.png,no,f,p1,train"]))


def test_a_file_that_is_not_below_the_current_folder(describe: Describe, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(describe([f"{rows()[0][:6]}/none.png,no,f,p,train", *rows()]))
    monkeypatch.chdir(path.parent)
    with pytest.raises(BadInput, match=r"people\.csv, line 2: file must be a file in the current folder that is there"):
        data.load(path.name)


def test_patient_in_two_parts(describe: Describe) -> None:
    lines = [row.replace("p6,", "p0,") for row in rows()]
    with pytest.raises(BadInput, match=r"people\.csv, line 14: patient 'p0' is in val here and in train before"):
        data.load(describe(lines, id="patient"))


def test_part_without_rows(describe: Describe) -> None:
    with pytest.raises(BadInput, match=r"the part 'test' of .* has no rows"):
        data.load(describe([row for row in rows() if not row.endswith("test")]))


def test_class_that_is_not_in_train(describe: Describe) -> None:
    with pytest.raises(BadInput, match="disease=yes"):
        data.load(describe([row for row in rows() if not row.endswith("train") or "yes" not in row]))


def test_other_coding(describe: Describe) -> None:
    with pytest.raises(BadInput, match=r"people\.csv"):
        data.load(describe(coding="utf-16"))


def test_file_that_is_no_image(describe: Describe, tmp_path: Path) -> None:
    (tmp_path / "scans" / "3.png").write_text("not an image")
    path = describe()
    with pytest.raises(BadInput, match=r"3\.png"):
        data.load(path)
    loaded = data.load(path, skip_bad=True)
    assert len(loaded.train) == 7
    assert "3.png" in " ".join(loaded.notes)


def test_syntax_of_the_description(describe: Describe, tmp_path: Path) -> None:
    path = describe()
    Path(path).write_text('images = "file"\nlabel = [yes]\n')
    with pytest.raises(BadInput, match=r"not valid TOML: .*line 2"):
        data.load(path)


def test_check_of_ones_own_images(describe: Describe, tmp_path: Path) -> None:
    assert data.open_set(describe()).check(None) == []
    (tmp_path / "scans" / "3.png").write_text("not an image")
    assert len(data.open_set(describe()).check(None)) == 1


def test_table_of_numbers_is_still_read_by_csv(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text('path = "t.csv"\nlabel = "y"\n')
    assert data.open_set(str(tmp_path / "t.toml")).name() == "csv"
    assert data.open_set(str(tmp_path / "none.toml")).name() == "csv"


# Folders of classes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten cats and twenty dogs."""
    for name, count in (("cats", 10), ("dogs", 20)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / "pets" / name / f"{i:02}.jpg")
    return tmp_path / "pets"


def in_parts(folder: Path, **counts: int) -> Path:
    """Move so many images of each class into each part."""
    for name in ("cats", "dogs"):
        images = sorted((folder / name).iterdir())
        for part, count in counts.items():
            (folder / part / name).mkdir(parents=True)
            for image in images[:count]:
                image.rename(folder / part / name / image.name)
            images = images[count:]
        for image in images:
            image.unlink()
        (folder / name).rmdir()
    return folder


def test_folder_of_classes(folder: Path) -> None:
    loaded = data.load(str(folder), size=8)
    assert loaded.name == "pets"
    assert loaded.train.class_names == ("cats", "dogs")
    assert [loaded.count_G[part].tolist() for part in ("train", "val", "test")] == [[6, 12], [2, 4], [2, 4]]


def test_folder_with_other_shares(folder: Path) -> None:
    loaded = data.load(str(folder), fractions=(0.2, 0.4, 0.4), size=8, seed=2)
    assert loaded.train.count_G.tolist() == [2, 4]


def test_folder_with_all_parts(folder: Path) -> None:
    loaded = data.load(str(in_parts(folder, train=5, valid=2, test=3)))
    assert [loaded.count_G[part].tolist() for part in ("train", "val", "test")] == [[5, 5], [2, 2], [3, 3]]
    assert loaded.notes == ()


def test_folder_without_validation(folder: Path) -> None:
    loaded = data.load(str(in_parts(folder, train=8, test=2)))
    assert [loaded.count_G[part].tolist() for part in ("train", "val", "test")] == [[6, 6], [2, 2], [2, 2]]
    assert loaded.notes == ("there is no folder val, so 25% of train became val.",)


def test_folder_with_train_alone(folder: Path) -> None:
    loaded = data.load(str(in_parts(folder, train=10)))
    assert [loaded.count_G[part].tolist() for part in ("train", "val", "test")] == [[6, 6], [2, 2], [2, 2]]
    assert len(loaded.notes) == 2


def test_a_class_may_be_called_train(folder: Path) -> None:
    (folder / "cats").rename(folder / "train")
    assert part_folders(folder) == {}
    assert data.load(str(folder)).train.class_names == ("dogs", "train")


def test_folder_named_in_a_description(folder: Path) -> None:
    (folder.parent / "own.toml").write_text('folder = "pets"\nsize = 8\nfractions = [0.8, 0.1, 0.1]\n')
    loaded = data.load(str(folder.parent / "own.toml"))
    assert loaded.name == "own"
    assert loaded.train.count_G.tolist() == [8, 16]


def test_what_lies_beside_images(folder: Path) -> None:
    (folder / "LICENSE").write_text("free")
    (folder / ".cache").mkdir()
    (folder / "cats" / ".DS_Store").write_text("")
    (folder / "cats" / "notes.txt").write_text("")
    loaded = data.load(str(folder))
    assert loaded.notes == ("left out files that are no images by their name: cats/notes.txt.",)
    assert len(loaded.train) + len(loaded.val) + len(loaded.test) == 30


def test_folder_of_one_class(folder: Path, tmp_path: Path) -> None:
    (folder / "cats").rename(tmp_path / "cats")
    with pytest.raises(BadInput, match="must hold a folder for each of at least two classes, got 1"):
        data.load(str(folder))


def test_class_without_images(folder: Path) -> None:
    (folder / "birds").mkdir()
    with pytest.raises(BadInput, match="class=birds"):
        data.load(str(folder))


def test_table_keys_without_a_table(folder: Path) -> None:
    (folder.parent / "own.toml").write_text('folder = "pets"\nlabel = "x"\n')
    with pytest.raises(BadInput, match=r"own\.toml: label describes a table: also give `images`"):
        data.load(str(folder.parent / "own.toml"))


def test_neither_folder_nor_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no file or folder .*/none"):
        data.load(str(tmp_path / "none"))
    with pytest.raises(BadInput, match="give the path of a TOML file, or of a folder"):
        data.load("images")


def test_link_out_of_the_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"")
    (folder / "cats" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(BadInput, match="is a link to"):
        data.load(str(folder))
