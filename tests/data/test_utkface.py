"""UTKFace: labels from the real file names, the group sizes of a paper, and names that tell nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import draw, group_counts

from evenhand import data
from evenhand.data.utkface import COLLAPSE, Utkface, thinned
from evenhand.errors import BadInput
from real import root_with

# What the official release holds too: three names without a race.
MALFORMED = [
    "39_1_20170116174525125.jpg.chip.jpg",
    "61_1_20170109142408075.jpg.chip.jpg",
    "61_3_20170109150557335.jpg.chip.jpg",
]


def names(per_group: int = 10) -> list[str]:
    """Faces of every age group, gender and race."""
    return [
        f"{age}_{gender}_{race}_2017010922{n:02}.jpg.chip.jpg"
        for n in range(per_group)
        for age in (1, 19, 20, 59, 60, 116)
        for gender in (0, 1)
        for race in range(5)
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    draw(tmp_path / "UTKFace", names())
    return tmp_path


# The real files (a part of the official release)


def test_real_genders_and_races() -> None:
    chosen = Utkface()
    listing = chosen.listing(root_with("UTKFace"))
    assert np.sum(group_counts(listing), axis=0).tolist() == [2451, 1921, 2814, 2592]
    assert np.bincount(listing.parts).tolist() == [7823, 978, 977]
    assert listing.notes == ()
    (difference,) = chosen._count_differences(listing)
    assert difference.endswith("UTKFace has 9778 images, published are 23708")


def test_real_ages_and_races() -> None:
    listing = Utkface(target="age").listing(root_with("UTKFace"))
    assert np.sum(group_counts(listing), axis=0).tolist() == [1888, 159, 2117, 2208, 169, 1787, 1169, 77, 204]
    assert listing.labelled.attribute_values == (("White", "Black", "others"),)


def test_real_files_have_too_few_for_the_paper_and_keep_its_proportions() -> None:
    listing = Utkface(imbalance="kdd24").listing(root_with("UTKFace"))
    train_G = np.array(group_counts(listing)[0])
    np.testing.assert_allclose(train_G / train_G.sum(), np.array(COLLAPSE) / sum(COLLAPSE), atol=0.001)
    assert listing.notes == ("train keeps 1669 + 211 + 285 + 2074 images: men White, other, women White, other",)
    assert group_counts(listing)[1:] == group_counts(Utkface().listing(root_with("UTKFace")))[1:]


# Names


def test_labels_are_those_of_the_names(root: Path) -> None:
    listing = Utkface().listing(root)
    fields = [path.split("_") for path in listing.paths]
    assert listing.labelled.y.tolist() == [int(gender) for _, gender, _, _ in fields]
    assert listing.labelled.attributes[:, 0].tolist() == [int(race != "0") for _, _, race, _ in fields]
    assert listing.labelled.classes == ("male", "female")


def test_age_groups_and_three_races(root: Path) -> None:
    listing = Utkface(target="age").listing(root)
    wanted = {"1": 0, "19": 0, "20": 1, "59": 1, "60": 2, "116": 2}
    fields = [path.split("_") for path in listing.paths]
    assert listing.labelled.y.tolist() == [wanted[age] for age, *_ in fields]
    assert listing.labelled.attributes[:, 0].tolist() == [min(int(race), 2) for _, _, race, _ in fields]


def test_shares_of_every_group(root: Path) -> None:
    counts_PG = group_counts(Utkface(target="age").listing(root))
    assert counts_PG == [[32, 32, 96] * 3, [4, 4, 12] * 3, [4, 4, 12] * 3]


def test_names_that_tell_nothing_are_left_out_with_a_note(root: Path) -> None:
    draw(root / "UTKFace", [*MALFORMED, "25_2_0_2017.jpg.chip.jpg", "portrait.jpg"])
    (root / "UTKFace" / ".DS_Store").write_bytes(b"")
    loaded = data.load("utkface", root)
    assert sum(len(part) for part in (loaded.train, loaded.val, loaded.test)) == 600
    assert len(loaded.notes) == 5
    for name in MALFORMED:
        text = f"left out: {root / 'UTKFace' / name}, whose name does not tell age, gender and race"
        assert text in loaded.notes
    assert not [text for text in Utkface().check(root) if "no row" in text]


def test_one_name_in_two_folders(root: Path) -> None:
    draw(root / "UTKFace", [f"part 2/{names()[0]}"])
    with pytest.raises(BadInput, match=r"two images of one name: .*\.jpg and part 2/"):
        data.load("utkface", root)


def test_folder_without_faces(tmp_path: Path) -> None:
    draw(tmp_path / "UTKFace", ["portrait.jpg"])
    with pytest.raises(BadInput, match="has no images named as"):
        data.load("utkface", tmp_path)


# Group sizes


def test_the_sizes_of_the_paper_where_there_are_enough() -> None:
    """Of the official release train has about 4380, 5530, 3680 and 5370 images of the four groups."""
    group_N = np.repeat(np.arange(4), [4700, 5800, 4000, 5600])
    parts = np.tile(np.repeat([0, 1], [19, 1]), len(group_N) // 20 + 1)[: len(group_N)]
    kept_N, counts = thinned(group_N, parts, COLLAPSE, 0)
    assert counts == [3801, 482, 651, 4723]
    assert np.bincount(group_N[kept_N & (parts == 0)]).tolist() == counts
    assert kept_N[parts == 1].all()
    assert (thinned(group_N, parts, COLLAPSE, 0)[0] == kept_N).all()
    assert (thinned(group_N, parts, COLLAPSE, 1)[0] != kept_N).any()


def test_group_sizes_are_of_the_gender_task() -> None:
    with pytest.raises(BadInput, match=r"imbalance=kdd24 is of target=gender"):
        Utkface(target="age", imbalance="kdd24")
