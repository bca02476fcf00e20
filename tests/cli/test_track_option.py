"""`--track` of `evenhand train` and `evenhand compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from refusal import assert_refused

from evenhand.runs import Run


def test_a_tracked_run_has_its_files(evenhand: Any, people: Path, tmp_path: Path) -> None:
    done = evenhand(
        "train", people, "--method", "erm", "--epochs", 2, "--track", "collapse", "--out", tmp_path / "runs",
        "--json", tmp_path / "run.json",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    run = Run(Path(json.loads((tmp_path / "run.json").read_text())["run"]))
    assert run.config["track"] == "collapse"
    assert [list(record["parts"]) for record in run.collapse] == [["train", "val"]] * 2
    assert run.points() is not None
    assert run.geometry is not None


def test_all_runs_of_a_comparison_are_tracked(evenhand: Any, people: Path, tmp_path: Path) -> None:
    done = evenhand(
        "compare", people, "--methods", "erm,rwg", "--seeds", 1, "--epochs", 1, "--oracle", "--track", "collapse-exact",
        "--out", tmp_path,
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    found = [Run(path.parent) for path in tmp_path.glob("*/config.json")]
    assert len(found) == 2
    assert all(list(run.collapse[0]["parts"]) == ["train", "val", "test"] for run in found)


def test_an_unknown_kind_is_refused(evenhand: Any, people: Path, tmp_path: Path) -> None:
    for command in (["train", "--method", "erm"], ["compare", "--methods", "erm"]):
        done = evenhand(*command, people, "--out", tmp_path / "runs", "--track", "colapse")
        assert_refused(done, "unknown kind of tracking 'colapse'; did you mean 'collapse'?")
