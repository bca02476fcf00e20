"""Sections of audits, diagnoses and discoveries: from the records of the commands, rounded as the commands round."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Picture

import evenhand
from evenhand.auditing.output import terminal
from evenhand.batch import Split
from evenhand.data import Data, Sealed
from evenhand.diagnosis import diagnose
from evenhand.diagnosis.tables import sentences
from evenhand.diagnosis.tables import tables as told_tables
from evenhand.discovery import kinds, looking
from evenhand.discovery.discover import Discovery, discover
from evenhand.execute import execute
from evenhand.plan import Plan
from evenhand.report.blocks import Chart, Images, Section, Table, Text
from evenhand.report.found import Found
from evenhand.report.sections import audit, diagnosis, discovery
from planted import planted

HERE = Path("page")


def texts(section: Section, style: str | None = None) -> str:
    blocks = [block for block in section.blocks if isinstance(block, Text) and style in (None, block.style)]
    return "\n".join(paragraph for block in blocks for paragraph in block.paragraphs)


def tables(section: Section) -> dict[str, Table]:
    behind = [block.table for block in section.blocks if isinstance(block, Chart)]
    return {table.caption: table for table in [*section.blocks, *behind] if isinstance(table, Table)}


def rows(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def stored(record: Any) -> Any:
    """A record as it is read back from the file of a command."""
    from evenhand.files import json_text

    return json.loads(json_text(record))


# --- audit ---


@pytest.fixture(scope="module")
def audited() -> evenhand.auditing.Audit:
    rng = np.random.default_rng(0)
    n = 1500
    sex, age = rng.choice(["f", "m"], n), rng.choice(["young", "old"], n, p=[0.3, 0.7])
    truth = rng.choice(["no", "yes"], n)
    wrong = rng.random(n) < np.where((sex == "f") & (age == "young"), 0.4, 0.1)
    other = np.where(rng.random(n) < 0.25, np.where(truth == "yes", "no", "yes"), truth)
    table = {
        "sex": sex, "age": age, "truth": truth, "said": np.where(wrong, np.where(truth == "yes", "no", "yes"), truth),
    }  # fmt: skip
    return evenhand.audit(
        table, label="truth", prediction="said", group=["sex", "age"], against={**table, "said": other}, search=True
    )


def audit_section(record: Any) -> Section:
    (section,) = audit.sections(Found(HERE, audits=[(HERE / "audit.json", stored(record))]))
    return section


def test_every_figure_of_an_audit_reads_as_in_the_terminal(audited: evenhand.auditing.Audit) -> None:
    section = audit_section(audited.as_dict())
    printed = terminal.text(audited.record)
    shown = tables(section)
    assert {
        "Accuracy by sex × age",
        "Accuracy by sex",
        "Accuracy by age",
        "Over groups",
        "Worst slices",
    } <= shown.keys()
    for table in shown.values():
        for row in rows(table):
            for text in row[1:]:
                assert text.removeprefix("▼ ") in printed, (table.caption, text)


def test_the_worst_group_comes_first_with_its_interval_drawn_and_marked(audited: evenhand.auditing.Audit) -> None:
    section = audit_section(audited.as_dict())
    first = tables(section)["Accuracy by sex × age"].rows[0]
    own = audited.record["groups"][0]["accuracy"]
    assert first[0].text == "f · young"
    assert (first[3].sort, first[3].low, first[3].high) == pytest.approx((own, own.low, own.high))
    assert first[3].mark == "worst"
    assert first[3].text.startswith("▼")
    assert "sex=f, age=young" in texts(section, "lead")
    (chart,) = [block for block in section.blocks if isinstance(block, Chart)]
    assert chart.figure["data"][0]["y"][0] == "f · young"
    assert chart.figure["layout"]["yaxis"]["autorange"] == "reversed"


def test_a_difference_is_marked_by_its_direction() -> None:
    truth = ["a", "b"] * 200
    good, bad = list(truth), ["a"] * 400
    known = {"truth": truth, "place": ["x", "y", "y", "x"] * 100}
    for one, other, mark in ((good, bad, "best"), (bad, good, "worst")):
        names = {"label": "truth", "prediction": "said", "group": "place"}
        found = evenhand.audit({**known, "said": one}, **names, against={**known, "said": other})
        table = next(t for caption, t in tables(audit_section(found.as_dict())).items() if "Against" in caption)
        assert {row[0].mark for row in table.rows} == {mark}


def test_a_gate_and_cautions_are_said() -> None:
    found = evenhand.audit(label=["a", "b"] * 20, prediction=["a", "a"] * 20, group={"g": ["x"] * 38 + ["y"] * 2})
    verdicts = [
        {"expression": "accuracy < 0.9", "failed": True, "reason": "accuracy is 0.5, below 0.9"},
        {"expression": "accuracy < 0.1", "failed": False, "reason": "accuracy is 0.5, not below 0.1"},
    ]
    section = audit_section({**found.as_dict(), "gate": verdicts})
    gate = tables(section)["Gate: conditions that must not hold"]
    assert [row[0].text for row in gate.rows] == ["✗ failed", "✓ passed"]
    assert found.record["warnings"]
    for warning in found.record["warnings"]:
        assert warning in texts(section, "list")


def test_groups_without_rows_and_undefined_figures_are_dashes() -> None:
    found = evenhand.audit(label=["a", "a", "b"], prediction=["a", "b", "b"], group={"g": ["x", "x", "y"]})
    cells = [text for table in tables(audit_section(found.as_dict())).values() for row in rows(table) for text in row]
    assert "–" in cells
    assert not [text for text in cells if "nan" in text.lower()]


def test_several_audits_have_sections_of_their_own(audited: evenhand.auditing.Audit) -> None:
    record = stored(audited.as_dict())
    made = audit.sections(Found(HERE, audits=[(HERE / "a.json", record), (HERE / "b.json", record)]))
    assert [section.id for section in made] == ["audit-1", "audit-2"]


# --- diagnosis ---


@pytest.mark.parametrize("cause", ["classifier", "nothing", "representation"])
def test_a_diagnosis_reads_as_in_the_terminal(cause: str) -> None:
    found = diagnose(*planted(cause, 0, n_train=1500, n_val=700))
    (section,) = diagnosis.sections(Found(HERE, diagnoses=[(HERE / "d.json", stored({"run": "r", **found.record()}))]))
    prose = texts(section)
    assert found.verdict.cause in prose or found.verdict.cause == "nothing"
    for sentence in sentences(found):
        assert sentence in prose
    shown = tables(section)
    for table in told_tables(found):
        mine = shown[table.title]
        wanted = [
            [text.replace("[", "").replace("]", "").replace(", ", " to ") for text in row[1:]] for row in table.rows
        ]
        for row, other in zip(rows(mine), wanted, strict=True):
            for text in row[1:]:
                assert text.replace(", ", " to ") in other, (table.title, text)


def test_the_chart_of_a_diagnosis_has_the_worst_group_on_top() -> None:
    found = diagnose(*planted("classifier", 0, n_train=1500, n_val=700))
    (section,) = diagnosis.sections(Found(HERE, diagnoses=[(HERE / "d.json", stored(found.record()))]))
    (chart,) = [block for block in section.blocks if isinstance(block, Chart)]
    assert chart.figure["data"][0]["name"] == "as trained"
    assert chart.figure["data"][0]["y"][0] == found.worst.name
    assert chart.figure["data"][0]["x"][0] == pytest.approx(found.worst.accuracy)
    assert chart.table is not None
    assert chart.table.rows[0][0].text == found.worst.name


# --- discovery ---


def people(n: int, seed: int, shape: Iterable[int] = (3,)) -> Split:
    rng = torch.Generator().manual_seed(seed)
    a = torch.arange(n) % 2
    x = torch.rand(n, *shape, generator=rng) + 2 * a.view(-1, *[1] * len(tuple(shape)))
    return Split.of(x, (torch.rand(n, generator=rng) > 0.5).long(), a)


@pytest.fixture(scope="module")
def of_run(tmp_path_factory: pytest.TempPathFactory) -> Discovery:
    recommended = {"encoder": "identity", "epochs": 2, "batch_size": 32, "lr": 0.05, "select": "worst_class"}
    data = Data(
        "people", people(200, 0), people(120, 1), Sealed(people(60, 2)), "abc", recommended, ("age", "hours", "gain")
    )
    run = execute(data, Plan("erm"), tmp_path_factory.mktemp("runs"))
    return discover(looking.at_run(run, data, "cpu"), kinds.make("clusters", clusters=2))


def discovery_section(path: Path, record: Any) -> Section:
    (section,) = discovery.sections(Found(path.parent, discoveries=[(path, stored(record))]))
    return section


def test_groups_that_were_found_read_as_in_the_terminal(of_run: Discovery) -> None:
    from evenhand.cli import discover as command

    section = discovery_section(HERE / "discovery.json", of_run.as_dict())
    shown = tables(section)
    groups = shown["Groups found in train, worst first"]
    printed = command.groups_table(of_run)
    assert [row[0] for row in rows(groups)] == [row[0] for row in printed.rows]
    for mine, theirs in zip(rows(groups), printed.rows, strict=True):
        assert mine[2] == theirs[1]
        assert mine[3].split(" to ") == theirs[2].strip("[]").split(", ")
        assert mine[4:] == list(theirs[3:])
    apart = shown["What sets the groups apart from the rest of their class, in standard deviations"]
    for mine, theirs in zip(rows(apart), command.apart_table(of_run).rows, strict=True):
        assert mine[1].replace("−", "-") == theirs[1]
    judged = next(table for caption, table in shown.items() if caption.startswith("Agreement"))
    assert rows(judged) == [list(row) for row in command.judged_table(of_run).rows]
    worst = of_run.groups[0]
    assert worst.name in texts(section, "lead")
    assert f"{100 * worst.figures['val'].accuracy:.2f} %" in texts(section, "lead")


def test_pictures_come_from_the_sheet_beside_the_record(tmp_path: Path) -> None:
    parts = [people(60, seed, (3, 6, 6)) for seed in range(3)]
    data = Data("pictures", parts[0], parts[1], Sealed(parts[2]), "abc", {})
    found = discover(looking.at_data(data, None, "inputs as they are", "cpu"), kinds.make("clusters", clusters=8))
    sheet = found.sheet()
    assert sheet is not None
    (tmp_path / "examples.png").write_bytes(sheet)
    section = discovery_section(tmp_path / "discovery.json", found.as_dict())
    (images,) = [block for block in section.blocks if isinstance(block, Images)]
    kind, _, content = images.images[0].source.partition(";base64,")
    assert kind == "data:image/jpeg"
    with Picture.open(io.BytesIO(base64.b64decode(content))) as shown, Picture.open(io.BytesIO(sheet)) as whole:
        assert shown.width == min(whole.width, discovery.WIDEST)
        assert shown.height == pytest.approx(whole.height * 12 / 16, abs=12)
    assert all(group.name in images.images[0].alt for group in found.groups[:12])
    assert "smallest" in texts(section, "lead")  # nothing is predicted: no accuracy is spoken of
    assert not [
        block for block in discovery_section(HERE / "x.json", found.as_dict()).blocks if isinstance(block, Images)
    ]


def test_one_discovery_in_two_files_is_shown_once_with_its_pictures(tmp_path: Path, of_run: Discovery) -> None:
    record = stored(of_run.as_dict())
    (tmp_path / "a").mkdir()
    Picture.new("RGB", (100, 426), "white").save(tmp_path / "a" / "examples.png")
    files = [(tmp_path / "z.json", record), (tmp_path / "a" / "discovery.json", record), (tmp_path / "b.json", record)]
    (section,) = discovery.sections(Found(tmp_path, discoveries=files))
    assert section.id == "discovery"
    assert [block for block in section.blocks if isinstance(block, Images)]


def test_texts_are_quoted(of_run: Discovery) -> None:
    record = stored(of_run.as_dict())
    for group in record["groups"]:
        group["excerpts"] = {"typical": ["<b>kind</b> words"], "critical": ["other words"]}
    shown = tables(discovery_section(HERE / "d.json", record))
    quoted = shown["Texts of the worst groups, most typical and most critical"]
    assert rows(quoted)[0] == [record["groups"][0]["name"], "typical", "“<b>kind</b> words”"]
