"""`evenhand report`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from refusal import assert_refused

from evenhand import study


def test_a_folder_of_runs_becomes_a_page(evenhand: Any, people: Path, tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", tmp_path / "page.html"
    comparison = study.compare(str(people), ["erm", "rwg"], out=runs, seeds=2, settings={"epochs": 2})
    done = evenhand("report", runs, "--out", out, "--json", tmp_path / "values.json")
    assert done.code == 0
    assert done.err == ""
    assert f"The page is {out}" in done.out
    html = out.read_text()
    assert all(entry.label in html for entry in comparison.entries)
    stored = json.loads((tmp_path / "page.report.json").read_text())
    assert json.loads((tmp_path / "values.json").read_text()) == stored
    assert [one["id"] for one in stored["sections"]][:3] == ["verdict", "groups", "methods"]


def test_the_command_on_the_page_finds_the_same_runs(evenhand: Any, people: Path, tmp_path: Path) -> None:
    """What the page says makes the runs again: in the same folder nothing is left to train."""
    runs = tmp_path / "runs"
    options = ("--epochs", 2, "--set", "lr=0.01", "--set", "widths=8,4", "--set", "groupdro.step_size=0.2")
    done = evenhand("compare", people, "--methods", "erm,groupdro", "--seeds", 2, *options, "--out", runs)
    assert done.code == 0
    assert evenhand("report", runs).code == 0
    page = json.loads((runs / "report.json").read_text())
    (settings,) = [one for one in page["sections"] if one["id"] == "settings"]
    ((command,),) = [block["paragraphs"] for block in settings["blocks"] if block.get("style") == "code"]
    before = sorted(path.name for path in runs.glob("*/metrics.json"))
    words = command.split()
    words[2] = str(people)
    again = evenhand(*words[1:])
    assert again.code == 0, again.err
    assert sorted(path.name for path in runs.glob("*/metrics.json")) == before
    assert len(list(runs.glob("*/config.json"))) == 4


def test_an_audit_alone(evenhand: Any, tmp_path: Path) -> None:
    table = tmp_path / "predictions.csv"
    table.write_text("y,p,sex\n" + "1,1,f\n0,1,f\n" * 20 + "1,1,m\n0,0,m\n" * 20)
    stored = tmp_path / "audit.json"
    command = ["audit", table, "--label", "y", "--prediction", "p", "--group", "sex", "--json", stored]
    assert evenhand(*command).code == 0
    assert json.loads(stored.read_text())["kind"] == "audit"
    assert evenhand("report", stored).code == 0
    html = (tmp_path / "audit.report.html").read_text()
    assert "The worst served group is sex f: 50.0" in html
    assert json.loads(stored.read_text())["kind"] == "audit", "the audit itself is untouched"


def test_what_is_half_written_is_named_and_not_fatal(evenhand: Any, people: Path, tmp_path: Path) -> None:
    study.compare(str(people), ["erm"], out=tmp_path, seeds=1, settings={"epochs": 1})
    (tmp_path / "audit.json").write_text("{")
    done = evenhand("report", tmp_path)
    assert done.code == 0
    assert "audit.json is not valid JSON" in done.err
    assert "audit.json is not valid JSON" in (tmp_path / "report.html").read_text()


def test_a_part_that_fails_ends_with_exit_code_1(evenhand: Any, tmp_path: Path) -> None:
    record = {
        "kind": "reproduction",
        "table": "t",
        "title": "T",
        "source": "S",
        "findings": [],
        "rows": [{"method": "erm"}],
    }
    (tmp_path / "t.json").write_text(json.dumps(record))
    done = evenhand("report", tmp_path)
    assert done.code == 1
    assert "The part on reproduction could not be written" in done.err
    assert (tmp_path / "report.html").is_file()


def test_wrong_input_is_refused(evenhand: Any, people: Path, tmp_path: Path) -> None:
    assert_refused(evenhand("report", tmp_path / "absent"), "there is nothing at")
    assert_refused(evenhand("report", tmp_path), "holds nothing to report")
    study.compare(str(people), ["erm"], out=tmp_path / "runs", seeds=1, settings={"epochs": 1})
    assert_refused(evenhand("report", tmp_path / "runs", "--out", tmp_path / "no" / "page.html"), "there is no folder")
    assert_refused(evenhand("report", tmp_path / "runs", "--out", tmp_path), "it is a folder")


def test_no_torch_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_text(json.dumps({
        "kind": "audit", "source": "a.csv", "rows": 2, "columns": ["sex"], "overall": {"accuracy": {"value": 0.5}},
        "groups": [{"group": {"sex": "f"}, "count": 2, "accuracy": {"value": 0.5, "low": 0.1, "high": 0.9}}],
    }))  # fmt: skip
    code = f"""
import sys
from evenhand.report.writing import write
from pathlib import Path
assert write(Path({str(tmp_path)!r})).page.is_file()
print(*{{name.partition('.')[0] for name in sys.modules}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert not {"torch", "polars", "sklearn"} & set(done.stdout.split())
