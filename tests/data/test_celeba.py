"""CelebA: groups of the real attributes, both text formats, and tables that are wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pictures import draw, group_counts

from evenhand import data
from evenhand.data._dealing import group_of
from evenhand.data.celeba import ATTRIBUTES, CLUSTERFIX_TARGETS, Celeba, read_spaced
from evenhand.errors import BadInput
from real import root_with

Write = Callable[..., Path]


def image(number: int) -> str:
    return f"{number + 1:06}.jpg"


def values() -> list[dict[str, int]]:
    """Two images of every value of Blond_Hair and Male, in every part; all other attributes follow from the number."""
    return [
        {name: n * (2 * k + 1) >> 2 & 1 for k, name in enumerate(ATTRIBUTES)}
        | {"Blond_Hair": n & 1, "Male": n >> 1 & 1}
        for n in range(24)
    ]


def official(folder: Path, faces: Sequence[Mapping[str, int]], count: int | None = None) -> None:
    """The text files of the official release: fields padded to the right, 1 or -1."""
    rows = [f"{image(n)} " + " ".join(f"{2 * face[name] - 1:2}" for name in ATTRIBUTES) for n, face in enumerate(faces)]
    head = [str(len(faces) if count is None else count), " ".join(ATTRIBUTES) + " "]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "list_attr_celeba.txt").write_text("\n".join([*head, *rows]) + "\n")
    parts = [f"{image(n)} {n // 4 % 3}" for n in range(len(faces))]
    (folder / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")


def kaggle(folder: Path, faces: Sequence[Mapping[str, int]]) -> None:
    rows = [f"{image(n)}," + ",".join(str(2 * face[name] - 1) for name in ATTRIBUTES) for n, face in enumerate(faces)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "list_attr_celeba.csv").write_text("\n".join([",".join(["image_id", *ATTRIBUTES]), *rows]) + "\n")
    parts = [f"{image(n)},{n // 4 % 3}" for n in range(len(faces))]
    (folder / "list_eval_partition.csv").write_text("\n".join(["image_id,partition", *parts]) + "\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    official(tmp_path / "celeba", values())
    draw(tmp_path / "celeba" / "img_align_celeba", map(image, range(24)), size=(178, 218))
    return tmp_path


# The real attributes


@pytest.fixture(scope="module")
def real_text(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """The real attributes of three targets and Male in the official text format, and the part of each image."""
    faces = pl.read_parquet(root_with("celeba_attr.parquet") / "celeba_attr.parquet")
    names = ["Blond_Hair", "Attractive", "Wearing_Necklace", "Male"]
    file = tmp_path_factory.mktemp("celeba") / "list_attr_celeba.txt"
    with file.open("wb") as out:
        out.write(f"{len(faces)}\n{' '.join(names)} \n".encode())
        signed = faces.select("image_id", *((2 * pl.col(name) - 1).cast(pl.String).alias(name) for name in names))
        signed.write_csv(out, separator=" ", include_header=False, quote_style="never")
    return file, faces["split"].to_numpy()


@pytest.mark.parametrize("target", ["Blond_Hair", "Attractive"])
def test_real_groups(real_text: tuple[Path, np.ndarray], target: str) -> None:
    file, split = real_text
    chosen = Celeba(target=target)
    group_N = group_of(chosen.labelled(read_spaced(file, (target, "Male"), headed=True)))
    for part, name in enumerate(("train", "val", "test")):
        assert tuple(np.bincount(group_N[split == part]).tolist()) == chosen.wanted()[name]


def test_published_groups_of_blond_hair() -> None:
    """Sagawa et al. (2020), Table 1, and the sizes of the official partition."""
    counts = Celeba().wanted()
    assert counts["train"] == (71629, 66874, 22880, 1387)
    assert [sum(counts[part]) for part in ("train", "val", "test")] == [162770, 19867, 19962]
    assert [sum(Celeba(target="Attractive").wanted()[part]) for part in counts] == [162770, 19867, 19962]


# Layouts


def test_official_text_files(root: Path) -> None:
    listing = Celeba().listing(root)
    assert group_counts(listing) == [[2, 2, 2, 2]] * 3
    assert listing.paths[0] == "img_align_celeba/000001.jpg"
    assert listing.labelled.y.tolist() == [n & 1 for n in range(24)]
    assert listing.labelled.attributes[:, 0].tolist() == [n >> 1 & 1 for n in range(24)]
    assert listing.labelled.classes == ("not Blond_Hair", "Blond_Hair")


@pytest.mark.parametrize("inside", ["img_align_celeba", "img_align_celeba/img_align_celeba"])
def test_tables_of_kaggle(root: Path, tmp_path: Path, inside: str) -> None:
    kaggle(tmp_path / "other" / "CelebA", values())
    draw(tmp_path / "other" / "CelebA" / inside, map(image, range(24)))
    mine, theirs = Celeba().listing(root), Celeba().listing(tmp_path / "other")
    assert theirs.labelled.y.tolist() == mine.labelled.y.tolist()
    assert theirs.parts.tolist() == mine.parts.tolist()
    assert {path.rpartition("/")[0] for path in theirs.paths} == {inside}


def test_several_attributes_are_crossed(root: Path) -> None:
    loaded = data.load("celeba", root, target="Young", attribute="Male,Smiling")
    assert loaded.train.attribute_names == ("Male", "Smiling")
    assert loaded.train.n_groups == 8


@pytest.mark.parametrize("target", CLUSTERFIX_TARGETS)
def test_targets_of_clusterfix_are_attributes(root: Path, target: str) -> None:
    listing = Celeba(target=target).listing(root)
    assert listing.labelled.y.tolist() == [face[target] for face in values()]
    assert Celeba(target=target).wanted() == {}


def test_the_central_window_is_used(root: Path) -> None:
    """Only the 178 rows in the middle are seen: what is above and below them changes nothing."""
    from PIL import Image

    folder = root / "celeba" / "img_align_celeba"
    face = Image.new("RGB", (178, 218), (255, 0, 0))
    face.paste((0, 0, 255), (0, 20, 178, 198))
    face.save(folder / "000001.jpg", quality=100)
    x = data.load("celeba", root, size=16).train.batch(torch.arange(1)).x[0]
    assert x[2, 1:-1].min() > 0.9
    assert x[0, 1:-1].max() < -0.9


def test_check(root: Path) -> None:
    found = Celeba().check(root)
    assert found[0].endswith("celeba has 24 images, published are 202599")
    assert len(found) == 1 + 12
    draw(root / "celeba" / "img_align_celeba", ["000099.jpg"])
    assert Celeba().check(root)[-1].endswith("000099.jpg has no row")


# Bad input


def edited(root: Path, name: str, old: str, new: str) -> Path:
    file = root / "celeba" / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return root


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("list_attr_celeba.txt", "000004.jpg ", "000004.jpg -1 ", r"attr_celeba\.txt, line 6: 42 fields instead of 41"),
        ("list_attr_celeba.txt", "24\n", "25\n", r"line 1 says that there are '25' images, but there are 24 lines"),
        ("list_attr_celeba.txt", "000004.jpg", "000003.jpg", r"row 6: image_id must be each image once, got '000003"),
        (
            "list_attr_celeba.txt",
            "000004.jpg",
            "000044.jpg",
            r"row 6: image_id must be one that has a row in ",
        ),
        (
            "list_eval_partition.txt",
            "000004.jpg 0",
            "000004.jpg 7",
            r"row 4: partition must be one of 0, 1, 2, got",
        ),
        ("list_eval_partition.txt", "000004.jpg 0", "000004.jpg", r"partition\.txt, line 4: 1 fields instead of 2"),
        ("list_eval_partition.txt", "000004.jpg 0", "000005.jpg 0", r"row 5: image_id must be different in every row"),
        ("list_eval_partition.txt", "000024.jpg 2\n", "000024.jpg 2\n000025.jpg 2\n", "has 25 images, but .* has 24"),
    ],
)
def test_broken_files(root: Path, name: str, old: str, new: str, message: str) -> None:
    edited(root, name, old, new)
    with pytest.raises(BadInput, match=message):
        data.load("celeba", root)


def test_only_the_columns_that_are_asked_for_matter(root: Path) -> None:
    edited(root, "list_attr_celeba.txt", " Bald ", " Bold ")
    assert len(Celeba().listing(root).paths) == 24
    with pytest.raises(BadInput, match=r"unknown column of .* 'Bald'"):
        Celeba(target="Bald").listing(root)


def test_a_value_that_is_neither(root: Path) -> None:
    lines = (root / "celeba" / "list_attr_celeba.txt").read_text().splitlines()
    fields = lines[7].split()
    fields[1 + ATTRIBUTES.index("Male")] = "nan"
    (root / "celeba" / "list_attr_celeba.txt").write_text("\n".join([*lines[:7], " ".join(fields), *lines[8:]]))
    with pytest.raises(BadInput, match=r"list_attr_celeba\.txt, row 8: Male must be one of -1, 1, got 'nan'"):
        data.load("celeba", root)


@pytest.mark.parametrize("text", ["", "0\nMale Blond_Hair \n", "24\n"])
def test_files_without_rows(root: Path, text: str) -> None:
    (root / "celeba" / "list_attr_celeba.txt").write_text(text)
    with pytest.raises(BadInput, match=r"has no rows of data|says that there are"):
        data.load("celeba", root)


def test_missing_images_and_tables(root: Path) -> None:
    (root / "celeba" / "img_align_celeba" / "000007.jpg").unlink()
    message = r"row 9: image_id must be a file in .* that is there, got 'img_align_celeba/000007\.jpg'"
    with pytest.raises(BadInput, match=message):
        data.load("celeba", root)
    (root / "celeba" / "list_eval_partition.txt").unlink()
    with pytest.raises(BadInput, match=r"celeba needs the file .*list_eval_partition\.txt, which is not there"):
        data.load("celeba", root)


def test_file_in_utf_16(root: Path) -> None:
    file = root / "celeba" / "list_attr_celeba.txt"
    file.write_bytes(file.read_text().encode("utf-16"))
    with pytest.raises(BadInput, match=r"list_attr_celeba\.txt is not UTF-8 text"):
        data.load("celeba", root)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "Blonde"}, "unknown attribute of celeba 'Blonde'"),
        ({"attribute": "Male,Females"}, "unknown attribute of celeba 'Females'"),
        ({"target": "Male"}, "target and attributes must differ"),
        ({"attribute": "Male,Male"}, "target and attributes must differ"),
    ],
)
def test_attributes_that_are_none(options: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.open_set("celeba", **options)
