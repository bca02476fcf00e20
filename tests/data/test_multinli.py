from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evenhand import data
from evenhand.data.multinli import LABELS, RAW, MultiNLI, has_negation
from evenhand.errors import BadInput

pytest.importorskip("tokenizers", reason="the extra evenhand[text] is not installed")

Pair = tuple[str, str, str]  # label and two sentences


def pairs(n_rows: int, seed: int = 0) -> list[Pair]:
    """Pairs of which every group has some, and one in ten has no label."""
    rng, found = random.Random(seed), []
    for k in range(n_rows):
        label = "-" if k % 10 == 9 else LABELS[k % 3]
        ending = rng.choice(("Nobody!", "It is no.", "never", "Nothing at all.")) if k // 3 % 2 else "It is so."
        found.append((label, f"A thing of kind {k}.", f"{label} {ending}"))
    return found


def write(tmp_path: Path, files: Sequence[list[Pair]], place: str = "data") -> Path:
    folder = tmp_path / "root" / "multinli" / place
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in zip(RAW, files, strict=True):
        lines = [json.dumps({"gold_label": g, "sentence1": a, "sentence2": b, "pairID": "x"}) for g, a, b in rows]
        (folder / name).write_text("".join(line + "\n" for line in lines))
    return tmp_path / "root"


def miniature() -> list[list[Pair]]:
    return [pairs(240), pairs(60, 1), pairs(60, 2)]


def write_metadata(root: Path, files: Sequence[list[Pair]], *, swap: int | None = None, name: str = "random") -> None:
    """As group_DRO's script writes it: the first column is the row of the raw files; those without a label are out."""
    lines = [",gold_label,sentence2_has_negation,split"]
    for row, (gold, _, second) in enumerate(pair for rows in files for pair in rows):
        if gold != "-":
            code = (LABELS.index(gold) + (row == swap)) % 3
            lines.append(f"{row},{code},{int(has_negation(second))},{row // 3 % 5 % 3}")
    folder = root / "multinli" / "data"
    folder.mkdir(exist_ok=True)
    (folder / f"metadata_{name}.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("There is no way.", True),
        ("NOBODY, came", True),
        ("It is nothing.", True),
        ("I'll n-ever go", True),  # punctuation is removed, not made a blank
        ("I know another knot", False),
        ("It does not matter", False),
        ("", False),
    ],
)
def test_negation(sentence: str, wanted: bool) -> None:
    assert has_negation(sentence) is wanted


@given(st.lists(st.sampled_from(["no", "not", "Never", "fun", "nobody's", "nothing,"]), max_size=6))
def test_negation_is_that_of_the_single_words(words: list[str]) -> None:
    assert has_negation(" ".join(words)) == any(word in ("no", "Never", "nothing,") for word in words)


def test_metadata_give_labels_attribute_and_split(tmp_path: Path) -> None:
    files = miniature()
    root = write(tmp_path, files)
    write_metadata(root, files)
    loaded = data.load("multinli", root)
    kept = [(row, pair) for row, pair in enumerate(p for rows in files for p in rows) if pair[0] != "-"]
    parts = (loaded.train, loaded.val, loaded.test.unseal())
    for number, part in enumerate(parts):
        mine = [pair for row, pair in kept if row // 3 % 5 % 3 == number]
        assert part.y.tolist() == [LABELS.index(pair[0]) for pair in mine]
        assert part.attribute.tolist() == [int(has_negation(pair[2])) for pair in mine]
    assert loaded.notes == ()
    assert loaded.train.group_name(3) == "label=entailment, sentence2=with negation"


def test_without_metadata_all_is_computed_and_said(tmp_path: Path) -> None:
    files = miniature()
    loaded = data.load("multinli", write(tmp_path, files))
    total = sum(loaded.count_G.values())
    wanted = [
        sum(g == label and has_negation(b) == negated for rows in files for g, _, b in rows)
        for label in LABELS
        for negated in (False, True)
    ]
    assert total.tolist() == wanted
    for part, share in zip(("train", "val", "test"), (0.5, 0.2, 0.3), strict=True):
        assert (loaded.count_G[part] - share * total).abs().max() <= 1
    assert "the split is not the published one" in loaded.notes[0]
    again, other = (data.load("multinli", tmp_path / "root", split_seed=seed) for seed in (0, 1))
    assert again.fingerprint == loaded.fingerprint != other.fingerprint


def test_preset_takes_the_dev_files(tmp_path: Path) -> None:
    loaded = data.load("multinli", write(tmp_path, miniature()), split="preset")
    assert [len(part) for part in (loaded.train, loaded.val, loaded.test)] == [216, 54, 54]


@pytest.mark.parametrize("place", ["", "multinli_1.0"])
def test_raw_files_in_another_folder(tmp_path: Path, place: str) -> None:
    files = miniature()
    root = write(tmp_path, files, place)
    write_metadata(root, files)
    assert data.load("multinli", root).notes == ()


def test_pairs_become_segments(tmp_path: Path) -> None:
    loaded = data.load("multinli", write(tmp_path, miniature()))
    x = loaded.train.inputs.take(torch.arange(20))
    first, second = (x[:, 1].bool() & (x[:, 2] == segment) for segment in (0, 1))
    assert first.sum(1).eq(8).all()  # [CLS], six tokens, [SEP]
    assert second.sum(1).ge(3).all()
    assert loaded.recommended["encoder"] == "text_mean"


def test_check_says_where_groups_differ(tmp_path: Path) -> None:
    differences = MultiNLI().check(write(tmp_path, miniature()))
    assert len(differences) == 6
    assert any("label=entailment, sentence2=with negation, published are 1521" in text for text in differences)


def test_metadata_of_other_files(tmp_path: Path) -> None:
    files = miniature()
    root = write(tmp_path, files)
    write_metadata(root, files, swap=30)
    wanted = r"metadata_random\.csv, line 29: gold_label is entailment, but row 30 of the raw files has contradiction"
    with pytest.raises(BadInput, match=wanted):
        data.load("multinli", root)
    write_metadata(root, [*files[:2], pairs(90)])
    with pytest.raises(BadInput, match=r"metadata_random\.csv, line 326: "):
        data.load("multinli", root)


def test_a_broken_line(tmp_path: Path) -> None:
    root = write(tmp_path, miniature())
    file = root / "multinli" / "data" / RAW[1]
    lines = file.read_text().splitlines()
    for broken, message in (("{", "wanted a JSON object"), ("[]", "wanted a JSON object"), (
        lines[2].replace("neutral", "unsure"), "gold_label must be one of contradiction, entailment, neutral or -",
    )):  # fmt: skip
        file.write_text("\n".join([*lines[:2], broken, *lines[3:]]))
        with pytest.raises(BadInput, match=rf"dev_matched\.jsonl, line 3: {message}"):
            data.load("multinli", root)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    root = write(tmp_path, miniature())
    (root / "multinli" / "data" / RAW[2]).unlink()
    with pytest.raises(BadInput, match=r"needs the file .*dev_mismatched\.jsonl, which is not there"):
        data.load("multinli", root)
    (root / "multinli" / "data" / RAW[0]).unlink()
    with pytest.raises(BadInput, match=r"needs multinli_1\.0_train\.jsonl, .* unpack multinli_1\.0\.zip"):
        data.load("multinli", root)
    with pytest.raises(BadInput, match="no folder 'multinli'"):
        data.load("multinli", tmp_path)
