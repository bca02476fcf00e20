"""What all data sets of image files share: checks of files, and what is common to all readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from pictures import draw, table

from evenhand import data
from evenhand.data._image_set import MOST_NAMED, ImageSet, shortened
from evenhand.data.waterbirds import Waterbirds
from evenhand.errors import BadInput

MINE = ("celeba", "chexpert", "fairface", "ham10000", "isic", "papila", "utkface", "waterbirds")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lines = [f"{n},{n}.jpg,{n % 2},{n // 4 % 3},{n // 2 % 2},p" for n in range(24)]
    draw(tmp_path / "waterbirds_v1.0", [f"{n}.jpg" for n in range(24)])
    table(tmp_path / "waterbirds_v1.0" / "metadata.csv", "img_id,img_filename,y,split,place,place_filename", lines)
    return tmp_path


@pytest.mark.parametrize("name", MINE)
def test_every_reader_says_what_it_is_and_how_to_get_it(name: str) -> None:
    found = data.find(name)
    assert issubclass(found, ImageSet)
    assert name in data.names()
    for text in (found.title, found.licence, found.folder, found.steps):
        assert text
    assert found.homepage.startswith("https://")
    assert max(map(len, found.steps.splitlines())) <= 120


@pytest.mark.parametrize("name", MINE)
def test_every_reader_refuses_a_root_without_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"there is no folder '{data.find(name).folder}'.* in the root"):
        data.load(name, tmp_path)
    with pytest.raises(BadInput, match="--root DIR"):
        data.open_set(name).check(None)


@pytest.mark.parametrize("name", MINE)
def test_every_reader_refuses_an_empty_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / data.find(name).folder).mkdir()
    with pytest.raises(BadInput, match=r"needs the file .* which is not there|has no images named as"):
        data.load(name, tmp_path)


@pytest.mark.parametrize("name", [name for name in MINE if "split_seed" in data.find(name).option_names()])
def test_a_negative_seed_is_refused(name: str) -> None:
    assert isinstance(data.open_set(name, split_seed=3), ImageSet)
    with pytest.raises(BadInput, match="split_seed must not be negative, got -1"):
        data.open_set(name, split_seed=-1)


@pytest.mark.parametrize("cache", ["disk", "none"])
def test_check_names_files_that_are_no_images(root: Path, cache: str) -> None:
    folder = root / "waterbirds_v1.0"
    (folder / "3.jpg").write_bytes(b"no image")
    (folder / "5.jpg").write_bytes((folder / "5.jpg").read_bytes()[:100])
    found = data.open_set("waterbirds", cache=cache).check(root)
    assert [text for text in found if "3.jpg" in text]
    assert [text for text in found if "5.jpg" in text]
    assert not [text for text in found if "4.jpg" in text]


def test_bad_files_are_left_out_where_one_says_so(root: Path) -> None:
    (root / "waterbirds_v1.0" / "3.jpg").write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"3\.jpg"):
        data.load("waterbirds", root)
    loaded = data.load("waterbirds", root, skip_bad=True)
    assert len(loaded.train) == 7
    assert len(loaded.notes) == 1
    assert "3.jpg" in loaded.notes[0]


def test_images_are_those_of_their_rows(root: Path) -> None:
    """Files of one colour each: the pixel of a row tells its file."""
    loaded = data.load("waterbirds", root, size=8, augment="none")
    x = loaded.train.batch(torch.arange(8)).x
    rows = [n for n in range(24) if n // 4 % 3 == 0]
    wanted = torch.tensor([n * 37 % 256 for n in rows]).float() / 127.5 - 1
    torch.testing.assert_close(x[:, 0, 4, 4], wanted, atol=0.03, rtol=0)
    assert loaded.train.y.tolist() == [n % 2 for n in rows]


def test_fingerprint_follows_content_and_options(root: Path) -> None:
    first, other = (data.load("waterbirds", root, **options).fingerprint for options in ({}, {"target": "place"}))
    assert first != other
    assert data.load("waterbirds", root).fingerprint == first


def test_published_counts_are_of_the_default_task() -> None:
    assert data.open_set("ham10000").wanted() == {"all": (4175, 3821, 1225, 727)}
    assert data.open_set("ham10000", size=32).wanted() == {"all": (4175, 3821, 1225, 727)}
    assert data.open_set("ham10000", malignant="mel").wanted() == {}


def test_counts_of_all_parts_together(root: Path) -> None:
    class Together(Waterbirds):
        published: ClassVar[Mapping[str, tuple[int, ...]]] = {"all": (6, 6, 6, 7)}
        published_images: ClassVar[int] = 24

    chosen = Together()
    assert chosen._count_differences(chosen.listing(root)) == [
        "there are 6 images of bird=waterbird, place=water, published are 7"
    ]


def test_long_lists_are_shortened() -> None:
    texts = [str(number) for number in range(MOST_NAMED + 3)]
    assert shortened(texts, "files") == [*texts[:MOST_NAMED], "and 3 more files"]
    assert shortened(texts[:MOST_NAMED], "files") == texts[:MOST_NAMED]


def test_from_where_pixels_are_read_makes_no_other_data(root: Path) -> None:
    """Who runs out of disk goes on with the same runs."""
    cached, streamed = (data.load("waterbirds", root, size=16, cache=cache) for cache in ("disk", "none"))
    assert cached.options == streamed.options == {"size": 16}
    assert cached.fingerprint == streamed.fingerprint
