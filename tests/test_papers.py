"""The tables of papers: every file says what can be trained, and findings follow from the figures alone."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from evenhand import data, methods
from evenhand.data._changes import CHANGES, Changes
from evenhand.errors import BadInput
from evenhand.options import checked
from evenhand.settings import Settings
from evenhand.study import Contender
from evenhand.study.comparison import Figure
from evenhand.study.findings import direction, findings
from evenhand.study.measures import MEASURES
from evenhand.study.papers import FOLDER, PaperStudy, PaperTable, Row, names, read, read_study
from evenhand.study.record import as_dict, explanations, tables
from evenhand.study.reproduction import BESIDE, data_options, default_out, reproduce
from made_runs import WGA, Runs

TABLES = [pytest.param(part, id=f"{name} {part.part}".strip()) for name in names() for part in read_study(name).parts]


@pytest.mark.parametrize("table", TABLES)
def test_every_table_names_what_there_is(table: PaperTable) -> None:
    name = table.name
    assert table.data in data.names()
    assert set(table.metrics) <= set(MEASURES)
    checked(Settings, table.settings, name)
    checked(Settings, {key: value for key, value in table.small.items() if key not in BESIDE}, name)
    for scale in ("full", "small"):
        options = data_options(table, None, scale)
        data.open_set(table.data, **{key: value for key, value in options.items() if key not in CHANGES})
        Changes(**{key: value for key, value in options.items() if key in CHANGES})
    for method, options in table.small.get("options", {}).items():
        methods.make(method, **options)
    assert {"seeds", "epochs"} <= set(table.small)
    labels = [row.label for row in table.rows]
    assert len(set(labels)) == len(labels)
    assert table.reference in ("", *labels)
    for row in table.rows:
        methods.make(row.method, **row.options)
        checked(Settings, row.settings, name)
        checked(Settings, table.small.get("rows", {}).get(row.label, {}), name)
        assert set(row.paper) <= set(table.metrics)
        if not table.part:
            assert set(row.paper) in (set(), set(table.metrics)), "all of the table's metrics or none"
        assert all(0 <= row.paper[name].mean <= 1 for name in row.paper if MEASURES[name].unit == "%")


@pytest.mark.parametrize("name", names())
def test_no_key_of_a_table_is_misspelt(name: str) -> None:
    content = tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))
    known = {field.name for field in fields(PaperTable)}
    assert set(content) <= known | {field.name for field in fields(PaperStudy)}
    for part in content.get("parts", []):
        assert set(part) <= known | {"label", "only"}
        assert set(part.get("only", [])) <= {row["label"] for row in content["rows"]}
    labels = {part["label"] for part in content.get("parts", [])}
    assert {part for parts in content.get("headings", {}).values() for part in parts} <= labels
    for row in content["rows"]:
        assert not labels or set(row.get("paper", {})) <= labels
        assert set(row) <= {field.name for field in fields(Row)}


def test_printed_percentages_are_read_as_shares() -> None:
    erm = read("kdd24-table5").rows[0]
    assert erm.paper[WGA] == Figure(0.5793, 0.0118)
    assert erm.paper["accuracy_gap"] == Figure(0.3805, None)


def test_tables_5_and_11_share_their_runs() -> None:
    """The same methods, options and settings in the same folder are the same runs."""
    five, eleven = read("kdd24-table5"), read("kdd24-table11")
    assert [row.contender for row in five.rows] == [row.contender for row in eleven.rows]
    assert (five.settings, five.seeds, default_out(five)) == (eleven.settings, eleven.seeds, default_out(eleven))


def test_tables_come_in_order_of_their_numbers() -> None:
    assert names().index("kdd24-table5") < names().index("kdd24-table11")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "kdd24-tabel5"}, "unknown table 'kdd24-tabel5'; did you mean 'kdd24-table5'"),
        ({"name": "kdd24-table5", "scale": "smal"}, "unknown scale 'smal'; did you mean 'small'"),
        ({"name": "kdd24-table5", "seeds": 0}, "seeds must be at least 1"),
    ],
)
def test_bad_input(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        reproduce(**options, out=tmp_path)
    assert message in str(caught.value)


# --- findings ---


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


LOW, MIDDLE, HIGH = [0.50, 0.501, 0.502], [0.7, 0.702, 0.701], [0.90, 0.902, 0.901]


def test_what_the_paper_says_and_we_find(runs: Runs) -> None:
    found = runs.reproduction({"ERM": LOW, "A": HIGH}, {"ERM": Figure(0.501, 0.01), "A": Figure(0.902, 0.01)}, 0.01)
    assert findings(found) == [
        "WGA: the paper's best is A (90.20±1.00); it is best beyond the noise here, too (90.10±0.10).",
        "WGA: of 1 pair of methods that the paper separates by more than 2 sd, 1 comes out the same way here, "
        "0 within the noise, 0 the other way round.",
        "WGA: the paper's figure lies within our mean ± 2 sd for all 2 methods.",
        "Choosing the epoch on test instead of validation would add 1.00 points of WGA on average, most for "
        + max(("ERM", "A"), key=lambda label: found.oracle_gap({e.label: e for _, e in found.rows}[label]))
        + " (+1.00).",
    ]


def test_what_the_paper_says_and_we_do_not_find(runs: Runs) -> None:
    paper = {"ERM": Figure(0.9, 0.01), "A": Figure(0.5, 0.01), "B": Figure(0.7, 0.01)}
    lines = findings(runs.reproduction({"ERM": LOW, "A": HIGH, "B": MIDDLE}, paper))
    assert "this does not hold here: it has 50.10±0.10, and A is better with 90.10±0.10" in lines[0]
    assert "3 the other way round (ERM and A; ERM and B; A and B)" in lines[1]
    assert lines[2].startswith("WGA: the paper's figure lies outside our mean ± 2 sd for ERM (90.00, here 50.10±0.10)")
    assert lines[2].endswith("; inside for the other 1.")


def test_what_lies_within_the_noise(runs: Runs) -> None:
    ours = {"ERM": [0.5, 0.6, 0.7], "A": [0.61, 0.52, 0.7]}
    lines = findings(runs.reproduction(ours, {"ERM": Figure(0.5, 0.01), "A": Figure(0.9, 0.01)}))
    assert "here it has 61.00±9.00 and cannot be told from ERM" in lines[0]
    assert "0 come out the same way here, 1 within the noise, 0 the other way round" in lines[1]


def test_a_row_that_the_paper_lacks_is_no_claim_of_the_paper(runs: Runs) -> None:
    paper = {"ERM": Figure(0.5, 0.01), "A": Figure(0.7, 0.01)}
    lines = findings(runs.reproduction({"ERM": LOW, "A": MIDDLE, "New": HIGH}, paper))
    assert "it is best beyond the noise here, too" in lines[0]
    assert "New, which the paper does not have, reaches WGA 90.10±0.10." in lines


def test_one_seed_claims_nothing(runs: Runs) -> None:
    paper = {"ERM": Figure(0.5, 0.01), "A": Figure(0.9, 0.01)}
    lines = findings(runs.reproduction({"ERM": [0.9], "A": [0.5]}, paper))
    assert lines[0].endswith("here it is ERM; one seed cannot say more.")
    assert len(lines) == 2


def test_levels_on_other_data_are_not_compared(runs: Runs) -> None:
    found = runs.reproduction({"ERM": LOW, "A": HIGH}, {"ERM": Figure(0.9, None), "A": Figure(0.8, None)})
    found = replace(found, table=replace(found.table, paper_data="elsewhere"))
    assert not any("outside" in line or "within our" in line for line in findings(found))
    assert any("levels cannot be compared" in line for line in explanations(found))
    assert [row[3] for row in tables(found)[0].rows] == ["–", "–"]
    assert as_dict(found)["rows"][0]["difference"] == {}
    assert "orders, without giving an sd" in findings(found)[1]


def test_the_record_has_the_agreed_shape(runs: Runs) -> None:
    record = as_dict(runs.reproduction({"ERM": LOW, "New": HIGH}, {"ERM": Figure(0.5, 0.01)}, gain=0.01))
    assert record["table"] == "t"
    erm, new = record["rows"]
    assert erm["paper"] == {WGA: {"mean": 0.5, "sd": 0.01}}
    assert erm["ours"][WGA]["values"] == LOW
    assert erm["difference"][WGA] == pytest.approx(0.001)
    assert erm["oracle"][WGA]["mean"] == pytest.approx(0.511)
    assert new["paper"] == {}


def test_the_direction_of_a_difference() -> None:
    assert direction(Figure(0.9, 0.01), Figure(0.8, 0.01)) == 1
    assert direction(Figure(0.8, 0.01), Figure(0.9, 0.01)) == -1
    assert direction(Figure(0.9, 0.03), Figure(0.85, 0.03)) == 0
    assert direction(Figure(0.9, None), Figure(0.9, None)) == 0


def test_contenders_are_named_by_their_labels() -> None:
    assert [row.contender for row in read("kdd24-table6").rows][:2] == [
        Contender("ncdebias", {"freeze_classifier": False}, "w/o FC"),
        Contender("ncdebias", {"align_weight": 0.0}, "w/o GMA"),
    ]
