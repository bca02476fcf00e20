"""An audit as a section of a page: self-contained, without scripts, every text of the data escaped."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from evenhand.auditing.figures.estimates import Measured
from evenhand.auditing.figures.names import FIGURES
from evenhand.auditing.output import words
from evenhand.auditing.output.sections import Section, interval_heading, sections
from evenhand.auditing.reading import values

Record = dict[str, Any]

STYLE = """
.evenhand-audit { font: 15px/1.45 system-ui, sans-serif; color: #1c2430; max-width: 72rem; overflow-x: auto; }
.evenhand-audit table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-variant-numeric: tabular-nums; }
.evenhand-audit th { text-align: right; color: #556; border-bottom: 1px solid #99a; padding: .2rem .6rem; }
.evenhand-audit td { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid #e4e6ea; }
.evenhand-audit .text { text-align: left; }
.evenhand-audit .low td.value { color: #a4131f; font-weight: 700; }
.evenhand-audit .dim { color: #667; }
.evenhand-audit .warning { color: #7a4b00; }
"""
BAR, HEIGHT = 160, 14


def render(record: Record) -> str:
    """One `<section>` with its own style: tables of groups, the reductions, the warnings."""
    figures = [name for name in record["overall"] if name in FIGURES and name != "accuracy"]
    parts = [
        '<section class="evenhand-audit">',
        f"<style>{STYLE}</style>",
        f"<h2>Audit of {escape(record['source'])}</h2>",
        f'<p class="dim">{escape(words.facts(record))}</p>',
    ]
    notes = [note for note in (*record["notes"], words.missing(record)) if note]
    parts += [f'<p class="dim">{escape(note)}</p>' for note in notes]
    parts += [f'<p class="warning">⚠ {escape(warning)}</p>' for warning in record["warnings"]]
    parts += [_groups(heading, groups, figures, record) for heading, groups in words.levels(record)]
    parts += [_section(section) for section in sections(record)]
    parts.append("</section>\n")
    return "\n".join(parts)


def bar(measured: Measured) -> str:
    """The value as a bar, its interval as a whisker, both on 0 to 100 %."""
    if math.isnan(measured):
        return "undefined"
    value, low, high = (BAR * min(max(float(part), 0.0), 1.0) for part in (measured, measured.low, measured.high))
    whisker = f"M{low:.1f} {HEIGHT / 2}H{high:.1f}M{low:.1f} 3V{HEIGHT - 3}M{high:.1f} 3V{HEIGHT - 3}"
    label = f"{words.number('accuracy', measured)}, {words.span('accuracy', measured)}"
    return (
        f'<svg width="{BAR}" height="{HEIGHT}" role="img" aria-label="{label}">'
        f'<rect width="{BAR}" height="{HEIGHT}" fill="#eef0f3"/>'
        f'<rect width="{value:.1f}" height="{HEIGHT}" fill="#6f9fc8"/>'
        f'<path d="{whisker}" stroke="#1c2430"/>'
        "</svg>"
    )


def _groups(heading: str, groups: list[Record], figures: list[str], record: Record) -> str:
    texts = "".join(f'<th class="text" scope="col">{escape(str(name))}</th>' for name in groups[0]["group"])
    heads = ["rows", "share", "accuracy", "", interval_heading(record["confidence"]), *map(words.title, figures)]
    head = texts + "".join(f'<th scope="col">{escape(title)}</th>' for title in heads)
    rows = "\n".join(_row(group, figures, record["overall"]["accuracy"]) for group in groups)
    return (
        f"<h3>By {escape(heading)}</h3>\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    )


def _row(group: Record, figures: list[str], overall: Measured) -> str:
    names = "".join(f'<td class="text">{escape(values.written(value))}</td>' for value in group["group"].values())
    accuracy = group["accuracy"]
    cells = [words.rows(group["count"]), f"{group['share']:.1%}", bar(accuracy)]
    plain = [words.span("accuracy", accuracy), *(words.number(name, group[name]) for name in figures)]
    kind = ' class="low"' if words.below(group, overall) else ""
    numbers = "".join(f"<td>{cell}</td>" for cell in cells)
    numbers += f'<td class="value">{words.number("accuracy", accuracy)}</td>'
    return f"<tr{kind}>{names}{numbers}{''.join(f'<td>{cell}</td>' for cell in plain)}</tr>"


def _section(section: Section) -> str:
    parts = [f"<h3>{escape(section.title)}</h3>"]
    if section.rows:
        first, *others = section.columns
        head = f'<th class="text" scope="col">{escape(first)}</th>'
        head += "".join(f'<th scope="col">{escape(title)}</th>' for title in others)
        rows = "\n".join(_cells(row, stressed=index in section.stressed) for index, row in enumerate(section.rows))
        parts.append(f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>")
    parts += [f'<p class="dim">{escape(note)}</p>' for note in section.notes]
    return "\n".join(parts)


def _cells(row: tuple[str, ...], *, stressed: bool) -> str:
    first, *others = (f"<b>{escape(cell)}</b>" if stressed else escape(cell) for cell in row)
    return f'<tr><td class="text">{first}</td>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>'
