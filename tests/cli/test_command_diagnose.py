"""`evenhand diagnose`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from refusal import assert_refused


def trained(evenhand: Any, folder: Path, *arguments: object) -> Path:
    """The folder of a run of one epoch."""
    done = evenhand("train", *arguments, "--method", "erm", "--epochs", 1, "--out", folder, "--json", folder / "t.json")
    assert done.code == 0, done.err
    return Path(json.loads((folder / "t.json").read_text())["run"])


def contents(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir()}


def test_a_run_is_diagnosed_and_left_as_it_is(evenhand: Any, tmp_path: Path) -> None:
    run = trained(evenhand, tmp_path, "digits", "--set", "data.copies=1")
    before = contents(run)
    page, result = tmp_path / "diagnosis.md", tmp_path / "diagnosis.json"
    done = evenhand("diagnose", run, "--out", page, "--json", result)
    assert (done.code, done.err) == (0, "")
    assert contents(run) == before
    found = json.loads(result.read_text())
    cause = found["verdict"]["cause"]
    assert cause in ("nothing", "data", "representation", "classifier")
    assert done.out.startswith(f"Cause: {cause}")
    for title in ("Evidence on", "Accuracy of each group, %", "Classes in the features", "On test, as the run stored"):
        assert title in done.out
        assert title in page.read_text()
    assert found["method"] == "erm"
    again = evenhand("diagnose", run, "--json", "-")
    assert json.loads(again.out) == found


def test_a_file_of_ones_own_is_named_again(evenhand: Any, people: Path, tmp_path: Path) -> None:
    run = trained(evenhand, tmp_path, people)
    assert_refused(evenhand("diagnose", run), "name that file with --data")
    assert evenhand("diagnose", run, "--data", people).code == 0


def test_what_is_no_run_is_refused(evenhand: Any, tmp_path: Path) -> None:
    assert_refused(evenhand("diagnose", tmp_path), "is not a finished run")
    assert_refused(evenhand("diagnose", tmp_path, "--json", tmp_path / "a" / "b.json"), "there is no folder")


@pytest.mark.parametrize("missing", ["model.safetensors"])
def test_a_run_without_a_model_is_refused(evenhand: Any, people: Path, tmp_path: Path, missing: str) -> None:
    run = trained(evenhand, tmp_path, people)
    (run / missing).unlink()
    assert_refused(evenhand("diagnose", run, "--data", people), missing)
