"""An audit as Markdown."""

from __future__ import annotations

import html
import re
from typing import Any

from evenhand.auditing import cautions, values, words
from evenhand.auditing.figures import FIGURES

Record = dict[str, Any]


def render(record: Record) -> str:
    """A heading, the groups worst first, the reductions and the warnings; text of the data is escaped."""
    figures = [name for name in record["overall"] if name in FIGURES and name != "accuracy"]
    lines = [f"## Audit of {cell(record['source'])}", "", cell(words.facts(record)), ""]
    for note in (*record["notes"], words.missing(record)):
        lines += [cell(note), ""] if note else []
    for heading, groups in words.levels(record):
        columns = heading.split(" × ") if heading else []
        heads = [*map(cell, groups[0]["group"]), "rows", "share", "accuracy", "interval", *map(words.title, figures)]
        lines += [f"### By {cell(' and '.join(columns))}", "", _row(heads), _row(["---"] * len(heads))]
        lines += [_row(_cells(group, figures)) for group in groups]
        lines.append("")
    lines += ["### Over groups", "", _row(["", "value", "interval"]), _row(["---"] * 3)]
    for name in words.HEADLINES:
        measured = record["overall"][name]
        lines.append(_row([words.plainly(name), words.number(name, measured), words.span(name, measured)]))
    if record["worst"] is not None:
        lines += ["", f"Worst group: {cell(cautions.name_of(record['worst']['group']))}."]
    lines += ["", *(f"- ⚠ {cell(warning)}" for warning in record["warnings"])]
    return "\n".join(lines).rstrip() + "\n"


def cell(text: str) -> str:
    """Text of the data, so that it shows as it is: no markup, no line break."""
    escaped = re.sub(r"([\\`*_{}\[\]()#|~!@])", r"\\\1", " ".join(text.split()))
    return html.escape(escaped, quote=False)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(group: Record, figures: list[str]) -> list[str]:
    accuracy = group["accuracy"]
    return [
        *(cell(values.written(value)) for value in group["group"].values()),
        words.rows(group["count"]),
        f"{group['share']:.1%}",
        words.number("accuracy", accuracy),
        words.span("accuracy", accuracy),
        *(words.number(name, group[name]) for name in figures),
    ]
