from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch

import real
from evenhand import data
from evenhand.data.madlibs import KIND_OF, Madlibs
from evenhand.errors import BadInput

pytest.importorskip("tokenizers", reason="the extra evenhand[text] is not installed")


def sentences() -> list[str]:
    """Ten sentences for each label and term, of which some name nobody."""
    terms = ("blind", "african american", "american", "muslim", "gay", "doctor")
    return [
        f"{name} is a {word} {term},{label}"
        for term in terms
        for word, label in (("kind", "NOT_BAD"), ("vile", "BAD"))
        for name in "ABCDEFGHIJ"
    ]


def write(tmp_path: Path, rows: list[str], *, compressed: bool = False, name: str = "bias_madlibs_77k.csv") -> Path:
    folder = tmp_path / "root" / "madlibs"
    folder.mkdir(parents=True, exist_ok=True)
    content = "\n".join(["Text,Label,Template", *(f"{row},name_adj" for row in rows)]).encode() + b"\n"
    if compressed:
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    else:
        (folder / name).write_bytes(content)
    return tmp_path / "root"


# The real files


def test_real_file_is_as_published_and_balanced() -> None:
    root = real.root_with("madlibs")
    assert Madlibs().check(root) == []
    loaded = data.load("madlibs", root)
    assert [len(part) for part in (loaded.train, loaded.val, loaded.test)] == [45918, 15374, 15272]
    for count_G in loaded.count_G.values():
        assert torch.equal(count_G[:7], count_G[7:])  # as many toxic sentences as others of every kind
    assert loaded.train.group_name(10) == "label=toxic, kind=ethnicity"


def test_real_file_names_every_term_equally_often() -> None:
    loaded = data.load("madlibs", real.root_with("madlibs"), attribute="term")
    total = sum(loaded.count_G.values()).view(2, -1)
    assert loaded.train.attribute_values[0][:2] == ("none", "african")
    assert total[:, 1:].eq(757).all()  # 50 terms, each in 757 toxic sentences and 757 others
    assert total.shape == (2, 51)


def test_real_intersectional_file_names_up_to_two_groups() -> None:
    loaded = data.load("madlibs", real.root_with("madlibs"), version="intersectional")
    assert sum(int(count.sum()) for count in loaded.count_G.values()) == 30240
    assert {"none", "ethnicity+gender", "ethnicity+sexuality"} <= set(loaded.train.attribute_values[0])


def test_real_comments_name_sexualities_mostly_in_insults() -> None:
    loaded = data.load("madlibs", real.root_with("madlibs"), version="comments", attribute="sexuality")
    total = sum(loaded.count_G.values())
    assert total.sum() == 1492
    assert total[3] / (total[1] + total[3]) > 0.5 > 3 * total[2] / (total[0] + total[2])


# Small ones


def test_terms_are_found_and_dealt_alike(tmp_path: Path) -> None:
    loaded = data.load("madlibs", write(tmp_path, sentences()))
    assert loaded.train.attribute_values == (("none", "disability", "ethnicity", "religion", "sexuality"),)
    assert loaded.count_G["train"].tolist() == [6, 6, 12, 6, 6] * 2
    assert loaded.count_G["test"].tolist() == [2, 2, 4, 2, 2] * 2
    assert loaded.train.class_names == ("fine", "toxic")


def test_the_longest_term_counts(tmp_path: Path) -> None:
    loaded = data.load("madlibs", write(tmp_path, sentences()), attribute="term")
    values = ("none", "african american", "american", "blind", "gay", "muslim")
    assert loaded.train.attribute_values == (values,)
    assert set(values[1:]) <= set(KIND_OF)


@pytest.mark.parametrize(("attribute", "train"), [("mention", [6, 30] * 2), ("religion", [30, 6] * 2)])
def test_whether_any_group_or_one_kind_is_named(tmp_path: Path, attribute: str, train: list[int]) -> None:
    loaded = data.load("madlibs", write(tmp_path, sentences()), attribute=attribute)
    assert loaded.count_G["train"].tolist() == train


def test_compressed_or_not_and_by_seed(tmp_path: Path) -> None:
    plain = data.load("madlibs", write(tmp_path / "a", sentences()))
    packed = data.load("madlibs", write(tmp_path / "b", sentences(), compressed=True))
    other = data.load("madlibs", write(tmp_path / "c", sentences()), split_seed=1)
    assert plain.fingerprint == packed.fingerprint != other.fingerprint


@pytest.mark.parametrize("compressed", [False, True])
def test_a_bad_label_names_its_line(tmp_path: Path, compressed: bool) -> None:
    rows = sentences()
    rows[4] = rows[4].replace("NOT_BAD", "GOOD")
    with pytest.raises(BadInput, match=r"77k\.csv.*, line 6: Label must be one of NOT_BAD, BAD, got 'GOOD'"):
        data.load("madlibs", write(tmp_path, rows, compressed=compressed))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_broken_row_names_its_line(tmp_path: Path, compressed: bool) -> None:
    rows = [*sentences(), "too,many,fields"]
    with pytest.raises(BadInput, match=r"77k\.csv.*, line 122: "):
        data.load("madlibs", write(tmp_path, rows, compressed=compressed))


def test_check_counts(tmp_path: Path) -> None:
    differences = Madlibs(attribute="kind").check(write(tmp_path, sentences()))
    assert differences == [f"{tmp_path / 'root'}/madlibs/bias_madlibs_77k.csv has 10 groups, published are 14"]


def test_files_that_are_not_there(tmp_path: Path) -> None:
    root = write(tmp_path, sentences())
    with pytest.raises(BadInput, match=r"needs the file .*intersectional_madlibs\.csv\.gz, which is not there"):
        data.load("madlibs", root, version="intersectional")
    with pytest.raises(BadInput, match=r"no folder 'madlibs'"):
        data.load("madlibs", tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split_seed": -1}, "split_seed must not be negative"),
        ({"attribute": "term", "version": "intersectional"}, "attribute=term needs version=77k"),
        ({"version": "comments"}, "choose attribute=mention, or a kind"),
        ({"max_length": 2}, "max_length must be at least 4"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.load("madlibs", write(tmp_path, sentences()), **options)
