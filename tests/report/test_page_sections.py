"""What a page says: sections from runs and records, every number as in the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from run_folders import GROUPS, comparison_folder, run_folder

from evenhand import by_name
from evenhand.report.blocks import Chart, Charts, Page, Section, Table
from evenhand.report.found import Found, find
from evenhand.report.summarize import ORDER, page_of, summarize


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Tracked runs with test figures by epoch."""
    return find(comparison_folder(tmp_path_factory.mktemp("runs"), tracked=True, oracle=True))


@pytest.fixture(scope="module")
def page(full: Found) -> Page:
    return page_of(full)


def section(page: Page, id: str) -> Section:
    (found,) = [one for one in page.sections if one.id == id]
    return found


def tables(found: Section) -> list[Table]:
    return [block for block in found.blocks if isinstance(block, Table)]


def charts(found: Section) -> list[Chart]:
    several = [chart for block in found.blocks if isinstance(block, Charts) for chart in block.charts]
    return [block for block in found.blocks if isinstance(block, Chart)] + several


def column(table: Table, name: str) -> list[Any]:
    return [row[table.columns.index(name)].sort for row in table.rows]


def test_sections_come_in_the_order_that_a_reader_asks(page: Page) -> None:
    order = [ORDER.index(one.id) for one in page.sections]
    assert order == sorted(order)
    assert {"verdict", "groups", "methods", "training", "selection", "geometry", "settings"} <= {
        s.id for s in page.sections
    }


def test_every_section_is_in_the_order_and_none_is_missing() -> None:
    assert set(ORDER) == set(by_name.names("evenhand.report.sections"))


def test_a_run_alone_has_no_comparison(tmp_path: Path) -> None:
    page = summarize(run_folder(tmp_path))
    assert [one.id for one in page.sections] == ["verdict", "groups", "training", "settings"]


def test_groups_come_worst_first_with_size_and_interval(page: Page, full: Found) -> None:
    table = tables(section(page, "groups"))[0]
    assert column(table, "accuracy, %") == sorted(column(table, "accuracy, %"))
    assert table.rows[0][0].text == "coat=white, light=day (worst)"
    assert [row[0].mark for row in table.rows] == ["worst", "", "", ""]
    assert column(table, "test rows") == [60, 120, 380, 400]
    erm = [run.metrics["groups"][2] for run in full.runs if run.config["method"]["name"] == "erm"]
    assert column(table, "accuracy, %")[0] == pytest.approx(sum(group["accuracy"] for group in erm) / 3)
    assert table.rows[0][1].low == pytest.approx(sum(group["low"] for group in erm) / 3)


def test_methods_have_the_figures_of_the_record(page: Page, full: Found) -> None:
    main = tables(section(page, "methods"))[0]
    rows = {row["label"]: row for row in full.compared["rows"]}
    for row in main.rows:
        wanted = rows[row[0].text]["metrics"]["worst_group_accuracy"]
        assert row[1].text.startswith(f"{100 * wanted['mean']:.2f} ± {100 * wanted['sd']:.2f}")
    differences = tables(section(page, "methods"))[1]
    assert column(differences, "p") == [one["p_adjusted"] for one in full.compared["differences"]]
    assert [row[-1].text for row in differences.rows] == ["better", "better"]


def test_the_scatter_has_every_seed_and_each_mean(page: Page) -> None:
    (chart,) = charts(section(page, "methods"))
    assert [len(trace["x"]) for trace in chart.figure["data"]] == [3, 1] * 3
    seeds, mean = chart.figure["data"][:2]
    assert mean["y"][0] == pytest.approx(sum(seeds["y"]) / 3)


def test_curves_are_means_over_seeds(page: Page, full: Found) -> None:
    worst = charts(section(page, "training"))[0]
    (erm,) = [trace for trace in worst.figure["data"] if trace["name"] == "erm"]
    runs = [run for run in full.runs if run.config["method"]["name"] == "erm"]
    first = [100 * min(run.history[0]["val"]["accuracy"]) for run in runs]
    assert erm["y"][0] == pytest.approx(sum(first) / 3, abs=1e-3)
    assert len(erm["y"]) == 5


def test_every_chart_has_words_and_a_table(page: Page) -> None:
    found = [chart for one in page.sections for chart in charts(one)]
    assert len(found) >= 14
    for chart in found:
        assert len(chart.alt) > 30, chart.title
        assert chart.table is not None, chart.title
        assert chart.table.rows, chart.title


def test_selection_says_what_other_rules_and_a_look_at_test_give(page: Page, full: Found) -> None:
    table = tables(section(page, "selection"))[0]
    rules = full.compared["selection"]
    assert column(table, "worst group") == [rules[label]["worst_group"]["mean"] for label in rules]
    assert table.columns[-1] == "chosen on test"


def test_geometry_shows_validation_where_test_was_not_tracked(page: Page) -> None:
    found = section(page, "geometry")
    titles = [block.title for block in found.blocks if isinstance(block, Charts)]
    assert len(titles) == 4
    turning = [chart for chart in charts(found) if any(trace["type"] == "scatter3d" for trace in chart.figure["data"])]
    assert len(turning) == 3
    assert turning[0].title.startswith("erm, 93 %")
    assert [cell.text for cell in turning[0].table.rows[0]] == [
        f"group mean: {GROUPS[0]}",
        "400",
        "1.000",
        "0.000",
        "0.000",
    ]


def test_figures_that_are_not_numbers_leave_gaps(page: Page) -> None:
    variances = next(
        block for block in section(page, "geometry").blocks if isinstance(block, Charts) and "Variance" in block.title
    )
    assert variances.charts[0].table.rows[0][3].text == "–"


def test_settings_give_the_command_that_makes_the_runs_again(page: Page, full: Found) -> None:
    code = [block.paragraphs for block in section(page, "settings").blocks if getattr(block, "style", "") == "code"]
    assert code == [(
        "evenhand compare cats --methods erm,groupdro,rwg --seeds 3 --epochs 5 --set groupdro.step_size=0.01 "
        f"--set encoder=mlp --set lr=0.001 --set select=worst_group --oracle --out {full.path}",
    )]  # fmt: skip


def test_a_seed_that_no_comparison_takes_is_trained_alone(tmp_path: Path) -> None:
    run_folder(tmp_path, "groupdro", seed=4)
    found = section(summarize(tmp_path), "settings")
    (code,) = [block.paragraphs for block in found.blocks if getattr(block, "style", "") == "code"]
    assert code[0].startswith("evenhand train cats --method groupdro --seed 4 --epochs 5 --set step_size=0.01")


def test_a_reproduction_stands_beside_the_paper(tmp_path: Path) -> None:
    figure = {"mean": 0.6, "sd": 0.01, "values": [0.6]}
    record = {
        "table": "kdd24-table5", "title": "Results on Adult", "source": "Lu et al. (2024)", "data": "adult",
        "paper_data": "adult", "comparable": True, "scale": "small", "settings": {}, "seeds": [0, 1],
        "rows": [{
            "method": "erm", "label": "ERM", "options": {},
            "paper": {"worst_group_accuracy": {"mean": 0.5793, "sd": 0.0118}},
            "ours": {"worst_group_accuracy": figure}, "difference": {"worst_group_accuracy": 0.0207},
            "oracle": {"worst_group_accuracy": {"mean": 0.61, "sd": None, "values": [0.61]}},
        }],
        "findings": ["WGA: it holds."], "best": {},
    }  # fmt: skip
    (tmp_path / "kdd24-table5.json").write_text(json.dumps(record))
    found = section(summarize(tmp_path), "reproduction-1")
    (table,) = tables(found)
    assert [cell.text for cell in table.rows[0]] == ["ERM", "57.93 ± 1.18", "60.00 ± 1.00", "+2.07", "61.00"]
    assert any("quick look" in text for block in found.blocks for text in getattr(block, "paragraphs", ()))


def test_a_section_that_fails_is_named_and_the_others_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVENHAND_DEBUG", raising=False)
    folder = run_folder(tmp_path, tracked=True)
    (folder / "collapse.jsonl").write_text('{"stage": 0}\n')
    found = find(tmp_path)
    page = page_of(found)
    assert found.failed
    assert found.problems == ["The part on geometry could not be written: KeyError: 'parts'."]
    assert {"verdict", "groups", "settings", "problems"} <= {one.id for one in page.sections}


def test_a_damaged_geometry_is_named(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, tracked=True)
    (folder / "geometry.json").write_text("{")
    found = find(tmp_path)
    page_of(found)
    assert "geometry.json cannot be read" in found.problems[0]
