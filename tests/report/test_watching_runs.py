"""Runs in progress: what is told of them, and that nothing is read twice."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from growing_runs import GROUPS, Growing

from evenhand.report import watching
from evenhand.report.watching import Watch


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "OFTEN", 0.0)


def only(news: dict[str, Any]) -> dict[str, Any]:
    (run,) = news["runs"]
    return dict(run)


def test_a_run_is_told_from_its_first_moment_to_its_last(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    assert watch.news()["runs"] == []
    run = Growing(tmp_path, epochs=4)
    first = only(watch.news())
    assert (first["status"], first["epoch"], first["epochs"], first["worst"]) == ("running", 0, 4, None)
    assert (first["method"], first["seed"], first["groups"]) == ("erm", 0, GROUPS)
    run.grow(3)
    second = only(watch.news())
    assert (second["epoch"], second["seconds"], second["each"]) == (3, 6.0, 2.0)
    assert second["worst"] == {"group": GROUPS[1], "accuracy": 0.52}
    assert second["best"] == {"score": 0.52, "epoch": 2}
    run.grow()
    run.finish()
    last = only(watch.news())
    assert (last["status"], last["epoch"], last["epochs"], last["groups"]) == ("finished", 4, 4, GROUPS)


def test_only_what_changed_since_is_told(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    one, two = Growing(tmp_path, seed=0), Growing(tmp_path, seed=1)
    news = watch.news()
    assert len(news["runs"]) == 2
    assert watch.news(news["serial"])["runs"] == []
    two.grow()
    later = watch.news(news["serial"])
    assert [run["seed"] for run in later["runs"]] == [1]
    assert set(later["names"]) == {one.name, two.name}
    assert len(watch.news(later["serial"] + 1000)["runs"]) == 2  # of another server


def test_a_curve_is_told_from_where_one_has_it(tmp_path: Path) -> None:
    watch, run = Watch(tmp_path), Growing(tmp_path)
    run.grow(5)
    whole = watch.curve(run.name)
    assert whole is not None
    assert [record["val"][1] for record in whole["records"]] == [0.5, 0.51, 0.52, 0.53, 0.54]
    run.grow(2)
    rest = watch.curve(run.name, 5, whole["life"])
    assert rest is not None
    assert (rest["start"], [record["epoch"] for record in rest["records"]]) == (5, [5, 6])
    assert watch.curve("../../etc/passwd") is None


def test_a_line_that_is_being_written_waits(tmp_path: Path) -> None:
    watch, run = Watch(tmp_path), Growing(tmp_path)
    line = run.line()
    with run.history.open("a") as file:
        file.write(line[:20])
    assert only(watch.news())["epoch"] == 0
    with run.history.open("a") as file:
        file.write(line[20:])
    assert only(watch.news())["epoch"] == 1


def test_a_run_that_continues_from_an_earlier_epoch_is_read_anew(tmp_path: Path) -> None:
    watch, run = Watch(tmp_path), Growing(tmp_path)
    run.grow(5)
    before = watch.curve(run.name)
    assert before is not None
    kept = "".join(run.history.read_text().splitlines(keepends=True)[:3])
    (tmp_path / "new").write_text(kept)
    (tmp_path / "new").replace(run.history)  # as `runs.keep_lines` does
    run.done = 3
    run.grow(4)  # longer than before already
    after = watch.curve(run.name, 5, before["life"])
    assert after is not None
    assert (after["start"], [record["epoch"] for record in after["records"]]) == (0, list(range(7)))
    assert after["life"] != before["life"]


def test_nothing_is_read_of_files_that_did_not_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grown = [Growing(tmp_path, seed=seed) for seed in range(20)]
    for run in grown:
        run.grow(10)
    watch = Watch(tmp_path)
    watch.news()
    read: list[str] = []
    real = io.open

    def counted(file: Any, *arguments: Any, **options: Any) -> Any:
        read.append(str(file))
        return real(file, *arguments, **options)

    monkeypatch.setattr(io, "open", counted)
    watch.news()
    assert not read
    grown[7].grow()
    watch.news()
    assert [Path(path).name for path in read if "history" in path] == ["history.jsonl"] * 2  # written, and read


def test_a_poll_of_a_large_study_is_quick(tmp_path: Path) -> None:
    for seed in range(200):
        run = Growing(tmp_path, seed=seed, epochs=200)
        run.history.write_text("".join(run.line() for _ in range(200)))
        run.finish()
    watch = Watch(tmp_path)
    watch.news()
    began = time.process_time()
    for _ in range(5):
        watch.news(watch.serial)
    assert (time.process_time() - began) / 5 < 0.25


def test_silence_is_said(tmp_path: Path) -> None:
    watch, run = Watch(tmp_path), Growing(tmp_path)
    run.grow()
    assert only(watch.news())["status"] == "running"
    before = time.time() - watching.LEAST_SILENCE - 1
    for file in run.folder.iterdir():
        os.utime(file, (before, before))
    assert only(watch.news())["status"] == "stalled"
    (run.folder / "checkpoint.pt").write_bytes(b"")  # stored in the middle of a long epoch
    assert only(watch.news())["status"] == "running"


def test_epochs_of_all_stages_are_counted(tmp_path: Path) -> None:
    run = Growing(tmp_path, "jtt", epochs=10, stages=[3, 10])
    run.grow(3)
    run.done = 0
    run.grow(2, stage=1)
    told = only(Watch(tmp_path).news())
    assert (told["epoch"], told["epochs"]) == (5, 13)
    assert told["best"] == {"score": 0.51, "epoch": 1}


def test_runs_are_named_by_what_tells_them_apart(tmp_path: Path) -> None:
    Growing(tmp_path, "groupdro", step_size=0.1, adjustment=0)
    Growing(tmp_path, "groupdro", step_size=0.5, adjustment=0)
    Growing(tmp_path, "erm")
    labels = {run["label"] for run in Watch(tmp_path).news()["runs"]}
    assert labels == {"erm", "groupdro (step_size=0.1)", "groupdro (step_size=0.5)"}


def test_folders_of_runs_below_are_watched_and_a_run_by_itself(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "evenhand.json").write_text("{}")
    run = Growing(tmp_path / "part")
    run.grow(2)
    run.finish()
    assert [told["name"] for told in Watch(tmp_path).news()["runs"]] == [f"part/{run.name}"]
    assert [told["name"] for told in Watch(run.folder).news()["runs"]] == [run.name]


def test_a_run_that_goes_away_is_forgotten(tmp_path: Path) -> None:
    watch, run = Watch(tmp_path), Growing(tmp_path)
    assert watch.news()["names"] == [run.name]
    for file in run.folder.iterdir():
        file.unlink()
    run.folder.rmdir()
    assert watch.news()["names"] == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"method": 3}', '{"method": {"name": "x"}, "data": {}}'])
def test_what_is_no_run_is_left_out(tmp_path: Path, content: str) -> None:
    folder = tmp_path / ".x.partial"
    folder.mkdir()
    (folder / "config.json").write_text(content)
    assert Watch(tmp_path).news()["runs"] == []


def test_a_damaged_line_is_left_out(tmp_path: Path) -> None:
    run = Growing(tmp_path)
    run.grow()
    with run.history.open("a") as file:
        file.write("nonsense\n[1]\n")
    run.grow()
    told = Watch(tmp_path).curve(run.name)
    assert told is not None
    assert [record["epoch"] for record in told["records"]] == [0, 1]
    json.dumps(told, allow_nan=False)
