"""An audit as Markdown."""

from __future__ import annotations

import html
import re
from typing import Any

from evenhand.auditing.figures.names import FIGURES
from evenhand.auditing.output import words
from evenhand.auditing.output.sections import sections
from evenhand.auditing.reading import values

Record = dict[str, Any]


def render(record: Record) -> str:
    """A heading, the groups worst first, the reductions and the warnings; text of the data is escaped."""
    figures = [name for name in record["overall"] if name in FIGURES and name not in ("accuracy", "error")]
    lines = [f"## Audit of {cell(record['source'])}", "", cell(words.facts(record)), ""]
    for note in (*record["notes"], words.missing(record)):
        lines += [cell(note), ""] if note else []
    for heading, groups in words.levels(record):
        columns = heading.split(" × ") if heading else []
        heads = [*map(cell, groups[0]["group"]), "rows", "share", "accuracy", "interval", *map(words.title, figures)]
        lines += [f"### By {cell(' and '.join(columns))}", "", _row(heads), _row(["---"] * len(heads))]
        lines += [_row(_cells(group, figures)) for group in groups]
        lines.append("")
    for section in sections(record):
        lines += [f"### {cell(section.title[:1].upper() + section.title[1:])}", ""]
        if section.rows:
            lines += [_row([*map(cell, section.columns)]), _row(["---"] * len(section.columns))]
            lines += [_row([*map(cell, row)]) for row in section.rows]
        lines += [part for note in section.notes for part in ("", cell(note))]
        lines.append("")
    lines += [*(f"- ⚠ {cell(warning)}" for warning in record["warnings"])]
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
