"""`--pretrain` and `--pretrain-epochs` of `evenhand train` and `evenhand compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evenhand.cli import _choices
from evenhand.errors import BadInput
from evenhand.settings import Settings

SMALL = ["digits", "--set", "data.copies=1", "--set", "widths=4,4,4", "--epochs", 1]
PRETRAINING = ["--pretrain", "barlowtwins", "--pretrain-epochs", 2, "--set", "pretrain_options=dimension=16"]


def test_the_encoder_is_pretrained_once_and_said_to_be(evenhand: Any, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    done = evenhand("train", *SMALL, *PRETRAINING, "--method", "erm", "--out", out, "--json", tmp_path / "run.json")
    assert done.code == 0
    (kept,) = (out / "pretrained").iterdir()
    assert "Encoder pretrained by barlowtwins for 2 epochs (loss " in done.err
    assert str(kept) in done.err
    settings = json.loads((tmp_path / "run.json").read_text())["config"]["settings"]
    assert (settings["pretrain"], settings["pretrain_epochs"]) == ("barlowtwins", 2)
    again = evenhand("train", *SMALL, *PRETRAINING, "--method", "rwg", "--out", out)
    assert f"for 2 epochs (found): {kept}" in again.err
    by_set = ["--set", "pretrain=barlowtwins", "--set", "pretrain_epochs=2", *PRETRAINING[-2:]]
    same = evenhand("train", *SMALL, *by_set, "--method", "erm", "--out", out)
    assert "found there, nothing was trained" in same.out


def test_flags_are_shorthand_for_settings() -> None:
    one = _choices.for_one([], "erm", None, 3, pretrain="moco", pretrain_epochs=7)
    assert one[0] == {}
    assert one[1] == {"seed": 3, "pretrain": "moco", "pretrain_epochs": 7}
    several = _choices.for_several([], ["erm"], 5, pretrain="moco", pretrain_epochs=None)
    assert several == ({"erm": {}}, {"epochs": 5, "pretrain": "moco"})
    assert Settings(**one[1]).pretrain == "moco"


@pytest.mark.parametrize(
    ("texts", "flags", "message"),
    [
        (["pretrain=mae"], {"pretrain": "moco"}, "pretrain is given twice, by --pretrain and by --set"),
        (["pretrain_epochs=2"], {"pretrain_epochs": 3}, "pretrain_epochs are given twice, by --pretrain-epochs and by"),
    ],
)
def test_what_is_given_twice_is_refused(texts: list[str], flags: dict[str, Any], message: str) -> None:
    for given in (lambda: _choices.for_one(texts, "erm", None, 0, **flags),
                  lambda: _choices.for_several(texts, ["erm"], None, **flags)):  # fmt: skip
        with pytest.raises(BadInput, match=message):
            given()


@pytest.mark.parametrize("command", [["train", "--method", "erm"], ["compare", "--methods", "erm"]])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pretrain", "barlowtwin"], "unknown pretrain 'barlowtwin'; did you mean 'barlowtwins'"),
        (["--pretrain", "mae"], "mae is for vision transformers"),
        (["--pretrain", "moco", "--pretrain-epochs", "0"], "pretrain_epochs must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    evenhand: Any, tmp_path: Path, command: list[str], arguments: list[str], message: str
) -> None:
    done = evenhand(
        command[0], "digits", *command[1:], *arguments, "--set", "data.copies=1", "--out", tmp_path / "runs"
    )
    assert (done.code, done.out) == (2, "")
    assert message in " ".join(done.err.split())
    assert not (tmp_path / "runs").exists()
