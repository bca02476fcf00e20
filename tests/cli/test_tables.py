"""Tables fit the terminal without a figure being cut."""

from __future__ import annotations

import sys

import pytest

from evenhand.cli import _tables
from evenhand.study.tables import Table

GROUP = "income=more than fifty thousand, sex=Female"
FIGURES = Table(
    "Figures",
    ("method", "worst group", *(f"metric {k}" for k in range(5))),
    (("erm", GROUP, *(f"{k}2.96±10.51*" for k in range(5))), ("ncdebias", GROUP, *("–",) * 5)),
    text_columns=(0, 1),
)


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_narrow_terminal_cuts_nothing(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _tables.show([FIGURES])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    shown = "\n".join(lines)
    assert "…" not in shown
    for k in range(5):
        assert shown.count(f"metric {k}") == 1
        assert shown.count(f"{k}2.96±10.51*") == 1
    assert shown.count("ncdebias") == len(_tables.parts(FIGURES, columns))
    for word in GROUP.split():
        assert word in shown


def test_a_pipe_gets_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    _tables.show([FIGURES])
    assert capsys.readouterr().out.count("ncdebias") == 1


def test_each_part_begins_with_the_first_column() -> None:
    assert _tables.parts(FIGURES, 1000) == [[0, 1, 2, 3, 4, 5, 6]]
    assert _tables.parts(FIGURES, 1) == [[0, k] for k in range(1, 7)]
