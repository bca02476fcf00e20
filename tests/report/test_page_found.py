"""What a folder holds for a page: runs, JSON files of commands, and what is broken among them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from run_folders import comparison_folder, run_folder

from evenhand.errors import BadInput
from evenhand.report.found import find, kind_of
from evenhand.report.summarize import page_of

AUDIT = {"source": "a.csv", "rows": 2, "overall": {}, "groups": [], "columns": ["sex"]}
DIAGNOSIS = {"verdict": {}, "worst_group": 0, "groups": [], "recovery": {}}
DISCOVERY = {"kind": "clusters", "groups": [], "looked_at": "train", "ranked_by": "val"}
REPRODUCTION = {"table": "kdd24-table5", "title": "T", "source": "S", "rows": [], "findings": []}


def stored(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def test_runs_are_compared(tmp_path: Path) -> None:
    found = find(comparison_folder(tmp_path, ("rwg", "erm"), seeds=2))
    assert [row["label"] for row in found.compared["rows"]] == ["erm", "rwg"]
    assert len(found.runs) == 4
    assert found.problems == []


def test_a_run_is_a_comparison_of_one(tmp_path: Path) -> None:
    found = find(run_folder(tmp_path, "groupdro"))
    assert [row["label"] for row in found.compared["rows"]] == ["groupdro"]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (AUDIT, "audit"), (DIAGNOSIS, "diagnosis"), (DISCOVERY, "discovery"), (REPRODUCTION, "reproduction"),
        ({"kind": "explanation"}, "explanation"), ({"kind": "audit"}, "audit"), ({"groups": []}, ""),
        ([1], ""), (None, ""),
    ],
)  # fmt: skip
def test_results_are_told_apart_by_content(value: Any, kind: str) -> None:
    assert kind_of(value) == kind


def test_results_are_found_in_the_folder_and_one_level_below(tmp_path: Path) -> None:
    first = stored(tmp_path / "any name.json", AUDIT)
    second = stored(tmp_path / "below" / "x.json", DISCOVERY)
    stored(tmp_path / "below" / "further" / "y.json", DIAGNOSIS)
    stored(tmp_path / "package.json", {"name": "not ours"})
    found = find(tmp_path)
    assert found.audits == [(first, AUDIT)]
    assert found.discoveries == [(second, DISCOVERY)]
    assert found.diagnoses == []
    assert found.problems == []


def test_a_single_file_will_do(tmp_path: Path) -> None:
    assert find(stored(tmp_path / "audit.json", AUDIT)).audits


def test_a_stored_comparison_stands_for_runs_that_are_gone(tmp_path: Path) -> None:
    record = find(comparison_folder(tmp_path / "runs")).compared
    alone = find(stored(tmp_path / "sent" / "comparison.json", record))
    assert alone.compared == record
    assert alone.comparison is None
    assert find(tmp_path / "sent").compared == record


def test_runs_that_failed_are_named(tmp_path: Path) -> None:
    record = find(comparison_folder(tmp_path)).compared
    failure = {"label": "hsic", "seed": 1, "reason": "the loss is not finite"}
    stored(tmp_path / "comparison.json", record | {"failures": [failure]})
    assert find(tmp_path).problems == ["hsic with seed 1 failed: the loss is not finite"]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda run: (run / "metrics.json").write_text("{"), "metrics.json cannot be read"),
        (lambda run: (run / "metrics.json").unlink(), "metrics.json cannot be read"),
        (lambda run: (run / "config.json").unlink(), "config.json cannot be read"),
        (lambda run: (run / "config.json").write_text("{}"), "'data' is missing"),
        (lambda run: (run / "metrics.json").write_text("[]"), "damaged"),
        (lambda run: (run / "history.jsonl").write_text("{}}\n"), "damaged"),
    ],
)
def test_a_damaged_run_is_named_and_left_out(tmp_path: Path, spoil: Any, named: str) -> None:
    run_folder(tmp_path, "erm")
    spoilt = run_folder(tmp_path, "rwg")
    spoil(spoilt)
    found = find(tmp_path)
    assert [run.config["method"]["name"] for run in found.runs] == ["erm"]
    (problem,) = found.problems
    assert spoilt.name in problem
    assert named in problem


def test_an_unfinished_run_is_named_with_its_progress(tmp_path: Path) -> None:
    run_folder(tmp_path, "erm")
    begun = run_folder(tmp_path, "rwg", epochs=9)
    (begun / "history.jsonl").write_text("{}\n{}\n")
    begun.rename(tmp_path / f".{begun.name}.partial")
    (problem,) = find(tmp_path).problems
    assert problem.startswith(f"{begun.name} is unfinished: 2 of 9 epochs")


def test_runs_on_other_data_are_left_out(tmp_path: Path) -> None:
    comparison_folder(tmp_path, ("erm", "rwg"), seeds=1)
    other = run_folder(tmp_path, "groupdro", data="dogs")
    found = find(tmp_path)
    assert len(found.runs) == 2
    assert found.problems == [f"{other.name} is on other data (dogs) and is left out."]


def test_broken_json_is_named(tmp_path: Path) -> None:
    run_folder(tmp_path)
    (tmp_path / "audit.json").write_text('{"source": ')
    (problem,) = find(tmp_path).problems
    assert problem.startswith("audit.json is not valid JSON")


def test_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is nothing at"):
        find(tmp_path / "absent")
    with pytest.raises(BadInput, match="holds nothing to report"):
        find(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(BadInput, match=r"broken.json is not valid JSON"):
        find(tmp_path)
    with pytest.raises(BadInput, match=r"broken.json is not valid JSON"):
        find(tmp_path / "broken.json")
    with pytest.raises(BadInput, match="is not a result of evenhand"):
        find(stored(tmp_path / "other.json", {"name": "other"}))


def test_runs_one_level_too_deep_are_pointed_at(tmp_path: Path) -> None:
    run_folder(tmp_path / "adult")
    with pytest.raises(BadInput, match=f"there are runs in {tmp_path / 'adult'}"):
        find(tmp_path)


@pytest.mark.parametrize("kind", ["audit", "diagnosis", "discovery", "explanation", "reproduction"])
def test_a_record_that_lacks_what_a_section_needs_is_named(tmp_path: Path, kind: str) -> None:
    run_folder(tmp_path)
    stored(tmp_path / "half.json", {"kind": kind})
    (problem,) = find(tmp_path).problems
    assert problem.startswith(f"half.json is not a whole {kind}: ")
    assert problem.endswith(" missing.")


def test_a_damaged_log_beside_a_run_is_named_with_its_file(tmp_path: Path) -> None:
    run = run_folder(tmp_path, tracked=True)
    (run / "collapse.jsonl").write_text("5\n")
    found = find(tmp_path)
    page_of(found)
    assert found.failed
    assert found.problems == [
        f"The part on geometry could not be written: {run}/collapse.jsonl is damaged: line 1 is no JSON object."
    ]
