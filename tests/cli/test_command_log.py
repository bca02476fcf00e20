"""`--log` of `train` and `compare`: logs beside the runs, also from worker processes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from refusal import assert_refused


def steps(out: Path, name: str) -> list[int]:
    with (out / "logs" / "csv" / name / "metrics.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row["lr"]]


def names(out: Path) -> list[str]:
    return sorted(path.parent.name for path in out.glob("*/metrics.json"))


def test_runs_of_a_comparison_are_logged_by_their_workers(evenhand: Any, people: Path, tmp_path: Path) -> None:
    command = ["compare", people, "--out", tmp_path, "--seeds", 1, "--epochs", 2, "--workers", 2, "--log", "csv"]
    done = evenhand(*command, "--methods", "erm,rwg")
    assert (done.code, done.err) == (0, "")
    assert len(names(tmp_path)) == 2
    assert [steps(tmp_path, name) for name in names(tmp_path)] == [[0, 1], [0, 1]]


def test_a_run_that_is_there_is_logged_when_that_is_wanted_later(evenhand: Any, people: Path, tmp_path: Path) -> None:
    command = ["train", people, "--method", "erm", "--out", tmp_path, "--epochs", 2]
    assert evenhand(*command).code == 0
    assert not (tmp_path / "logs").exists()
    done = evenhand(*command, "--log", "csv")
    assert done.code == 0
    assert "nothing was trained" in done.out
    (name,) = names(tmp_path)
    assert steps(tmp_path, name) == [0, 1]


def test_an_unknown_logger_is_refused_before_anything_starts(evenhand: Any, people: Path, tmp_path: Path) -> None:
    wanted = "unknown logger 'tensorbord'; did you mean 'tensorboard'?"
    command = ["--out", tmp_path / "runs", "--log", "tensorbord"]
    assert_refused(evenhand("train", people, "--method", "erm", *command), wanted)
    assert_refused(evenhand("compare", people, "--methods", "erm", *command), wanted)
    assert not (tmp_path / "runs").exists()


def test_a_logger_that_fails_is_said_in_one_line_and_the_training_goes_on(
    evenhand: Any, people: Path, tmp_path: Path
) -> None:
    (tmp_path / "logs").touch()
    done = evenhand("train", people, "--method", "erm", "--out", tmp_path, "--epochs", 1, "--log", "csv")
    assert done.code == 0
    (line,) = done.err.splitlines()
    assert line.startswith("evenhand: erm-seed0-")
    assert " is not logged any further by csv: NotADirectoryError: " in line
    assert len(names(tmp_path)) == 1
