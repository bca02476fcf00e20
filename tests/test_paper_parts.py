"""Studies of several parts: what is run of them, and what is said of all parts together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from evenhand.errors import BadInput
from evenhand.study import across, papers, record
from evenhand.study.comparison import Figure
from evenhand.study.papers import PaperStudy, read_study
from evenhand.study.reproduction import StudyReproduction, default_out, reproduce_part, reproduce_study
from made_runs import Runs

NAN = float("nan")
PAPER = {
    "one": {"ERM": Figure(0.5, None), "A": Figure(0.7, None), "B": Figure(0.6, None)},
    "two": {"ERM": Figure(0.5, None), "A": Figure(0.55, None), "B": Figure(0.65, None)},
}


def study(tmp_path: Path, ours: dict[str, dict[str, list[float]]], **options: Any) -> StudyReproduction:
    """A study of parts, each with these worst-group accuracies by method and seed."""
    found = []
    for part, values in ours.items():
        folder = tmp_path / part
        folder.mkdir()
        made = Runs(folder).reproduction(values, PAPER[part])
        found.append(replace(made, table=replace(made.table, part=part)))
    tables = tuple(each.table for each in found)
    return StudyReproduction(PaperStudy("t", "T", "S", tables, **options), tuple(found))


def test_the_trend_is_each_difference_to_the_reference(tmp_path: Path) -> None:
    ours = {"one": {"ERM": [0.4], "A": [0.5], "B": [0.3]}, "two": {"ERM": [0.6], "A": [0.5], "B": [0.4]}}
    found = study(tmp_path, ours, across=("trend",))
    (table,) = across.tables(found)
    assert table.columns == ("method", "one, paper", "one, here", "two, paper", "two, here")
    assert table.rows == (("A", "+20.00", "+10.00", "+5.00", "-10.00"), ("B", "+10.00", "-10.00", "+15.00", "-20.00"))
    first, second = across.findings(found)
    assert first.startswith("WGA: A minus ERM goes from +20.00 (one) to +5.00 (two) in the paper")
    assert first.endswith(
        "here from +10.00 to -10.00: the trend is seen here, in every step; one seed cannot tell it from noise."
    )
    assert second.endswith(
        "here from -10.00 to -20.00: the trend is not seen here; one seed cannot tell it from noise."
    )


@pytest.mark.parametrize(("late", "word"), [([0.5, 0.51, 0.52], "beyond"), ([0.5, 0.9, 0.62], "within")])
def test_a_change_is_judged_by_its_seeds(tmp_path: Path, late: list[float], word: str) -> None:
    erm = [0.6, 0.61, 0.62]
    ours = {"one": {"ERM": erm, "A": [0.8, 0.82, 0.81]}, "two": {"ERM": erm, "A": late}}
    found = study(tmp_path, ours, across=("trend",))
    change = [b - a for a, b in zip([0.8, 0.82, 0.81], late, strict=True)]
    assert across.changes(found, "A", "worst_group_accuracy") == pytest.approx(change)
    low, high = scipy.stats.t.interval(0.95, 2, loc=np.mean(change), scale=scipy.stats.sem(change))
    assert (word == "beyond") == (not low <= 0 <= high)
    assert across.findings(found)[0].endswith(f"the change is {word} the noise of 3 seeds.")


def test_ranks_are_averaged_over_the_parts_of_a_heading_and_ties_share(tmp_path: Path) -> None:
    ours = {"one": {"ERM": [0.4], "A": [0.5], "B": [0.5]}, "two": {"ERM": [0.6], "A": [0.5], "B": [0.4]}}
    found = study(
        tmp_path, ours, across=("ranks",), headings={"all": ("one", "two"), "late": ("two",)}, ranks={"A": {"all": 1.2}}
    )
    (table,) = across.tables(found)
    assert table.columns == ("method", "all, paper", "all, here", "late, paper", "late, here")
    assert table.rows == (
        ("ERM", "–", "2.0", "–", "1.0"), ("A", "1.2", "1.8", "–", "2.0"), ("B", "–", "2.2", "–", "3.0"),
    )  # fmt: skip
    assert record.study_as_dict(found)["ranks"]["late"] == {"ERM": 1.0, "A": 2.0, "B": 3.0}


def test_rows_of_the_record_say_which_part_they_are_of(tmp_path: Path) -> None:
    ours = {"one": {"ERM": [0.4], "A": [0.5]}, "two": {"ERM": [0.6], "A": [0.5]}}
    found = study(tmp_path, ours, across=("trend",))
    as_dict = record.study_as_dict(found)
    assert [(row["part"], row["label"]) for row in as_dict["rows"]] == [
        ("one", "ERM"), ("one", "A"), ("two", "ERM"), ("two", "A"),
    ]  # fmt: skip
    json_file, page = record.save_study(found, tmp_path)
    assert json_file.name == "t.json"
    assert "## one" in page.read_text()


def test_a_study_on_other_data_keeps_what_every_data_set_takes() -> None:
    parts = read_study("gbmix-table2").parts
    folders = [default_out(part, "digits", "small").name for part in parts]
    assert folders == ["digits-imbalance_ratio-2.0", "digits-imbalance_ratio-4.0", "digits-imbalance_ratio-8.0"]
    assert len({default_out(part, "digits", "small") for part in read_study("gbmix-table1").parts}) == 1


@pytest.fixture
def runs_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str]]:
    """Which data are asked for, by folder; CelebA is not there."""
    asked: list[tuple[str, str]] = []

    def made(table: Any, *, out: Path, data: str | None = None, **options: Any) -> Any:
        if (data or table.data) == "celeba":
            raise BadInput("celeba is not there")
        asked.append((data or table.data, Path(out).name))
        return replace(Runs(Path(out)).reproduction({}, {}), table=table)

    monkeypatch.setattr("evenhand.study.reproduction.reproduce_part", made)
    return asked


def test_parts_whose_data_are_missing_are_named(runs_made: list[tuple[str, str]], tmp_path: Path) -> None:
    found = reproduce_study("gbmix-table1", out=tmp_path, scale="small")
    assert runs_made == [("waterbirds", "Waterbirds"), ("utkface", "UTKFace")]
    assert found.missing == {"CelebA": "celeba is not there"}


def test_parts_that_differ_in_their_data_only_are_one_on_other_data(
    runs_made: list[tuple[str, str]], tmp_path: Path
) -> None:
    reproduce_study("gbmix-table1", out=tmp_path, data="digits", scale="small")
    assert [data for data, _ in runs_made] == ["digits"]


@pytest.mark.usefixtures("runs_made")
def test_with_no_data_at_all_nothing_is_reproduced(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no part of gbmix-table2 can be run; celeba is not there"):
        reproduce_study("gbmix-table2", out=tmp_path)


def test_every_study_is_listed_in_order() -> None:
    assert [name for name in papers.names() if name.startswith("gbmix-table")] == [
        f"gbmix-table{number}" for number in (1, 2, 3, 4, 6)
    ]


def test_on_other_data_the_tables_rule_of_selection_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def compared(data: str, contenders: Any, **options: Any) -> Any:
        asked.append(dict(options["settings"]))
        return Runs(tmp_path).reproduction({}, {}).comparison

    monkeypatch.setattr("evenhand.study.reproduction.compare", compared)
    monkeypatch.setattr("evenhand.study.reproduction.with_classes", lambda comparison: comparison)
    part = read_study("classes-table4").parts[0]
    reproduce_part(part, data="digits", scale="small")
    reproduce_part(part, scale="full")
    assert asked[0] == {"select": "average", "epochs": part.small["epochs"]}
    assert asked[1] == dict(part.settings)
