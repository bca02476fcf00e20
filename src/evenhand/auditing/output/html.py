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
.evenhand-audit { --ink: #1c2430; --soft: #59616e; --line: #dfe2e7; --strong: #9aa1ac; --empty: #eceff3;
  --full: #6f9fc8; --low: #a4131f; --warn: #7a4b00; color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; max-width: 80rem; }
.evenhand-audit h2 { font-size: 1.4rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
.evenhand-audit h3 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; overflow-wrap: anywhere; }
.evenhand-audit p { margin: .2rem 0; overflow-wrap: anywhere; }
.evenhand-audit .wide { overflow-x: auto; }
.evenhand-audit table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
.evenhand-audit th, .evenhand-audit td { text-align: right; white-space: nowrap; padding: .25rem .5rem; }
.evenhand-audit th { color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--strong); }
.evenhand-audit td { border-bottom: 1px solid var(--line); }
.evenhand-audit .text { text-align: left; padding-left: 0; }
.evenhand-audit th.text, .evenhand-audit td.long { white-space: normal; }
.evenhand-audit td.long { min-width: min(14rem, 45vw); max-width: 24rem; overflow-wrap: break-word; }
.evenhand-audit .all td { color: var(--soft); border-top: 1px solid var(--strong); }
.evenhand-audit .low td.value { color: var(--low); font-weight: 700; }
.evenhand-audit .dim { color: var(--soft); }
.evenhand-audit .warning { color: var(--warn); }
.evenhand-audit svg { display: block; }
@media (max-width: 640px) { .evenhand-audit .bar { display: none; } }
"""
PAGE_STYLE = """
body { margin: 1.5rem auto; padding: 0 1rem; max-width: 80rem; background: #fff; }
@media (prefers-color-scheme: dark) {
  body { background: #14171c; }
  .evenhand-audit { --ink: #e3e6ea; --soft: #a2a9b4; --line: #2c323b; --strong: #5a626e; --empty: #272d36;
    --full: #4a7ba6; --low: #ff8a8f; --warn: #e8b866; }
}
@media print { body { margin: 0; } .evenhand-audit .wide { overflow: visible; } }
"""
BAR, HEIGHT = 100, 14
LONGEST_LINE = 24  # characters of a text that stays in one line


def page(record: Record) -> str:
    """A whole page with the section in it, light or dark as the reader prefers."""
    title = f"Audit of {escape(record['source'])}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n</head>\n<body>\n{render(record)}<style>{PAGE_STYLE}</style>\n</body>\n</html>\n"
    )


def render(record: Record) -> str:
    """One `<section>` with its own style: tables of groups, the reductions, the warnings."""
    figures = [name for name in record["overall"] if name in FIGURES and name not in ("accuracy", "error")]
    parts = [
        '<section class="evenhand-audit">',
        f"<style>{STYLE}</style>",
        f"<h2>Audit of {escape(record['source'])}</h2>",
        f'<p class="dim">{escape(words.facts(record))}</p>',
    ]
    notes = [note for note in (*record["notes"], words.missing(record)) if note]
    parts += [f'<p class="dim">{escape(note)}</p>' for note in notes]
    if any(words.below(group, record["overall"]["accuracy"]) for group in (*record["groups"], *record["marginals"])):
        parts.append('<p class="dim">▼ the whole interval lies below the accuracy of all rows</p>')
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
        f'<rect width="{BAR}" height="{HEIGHT}" style="fill:var(--empty)"/>'
        f'<rect width="{value:.1f}" height="{HEIGHT}" style="fill:var(--full)"/>'
        f'<path d="{whisker}" style="stroke:var(--ink)"/>'
        "</svg>"
    )


def _groups(heading: str, groups: list[Record], figures: list[str], record: Record) -> str:
    overall, columns = record["overall"], list(groups[0]["group"])
    texts = "".join(f'<th class="text" scope="col">{escape(str(name))}</th>' for name in columns)
    titles = ("rows", "share", *map(words.title, figures))
    head = f'{texts}<th scope="col">accuracy</th><th scope="col">{interval_heading(record["confidence"])}</th>'
    head += '<th class="bar"></th>' + "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    rows = [_row(_names(group["group"]), group, figures, overall["accuracy"]) for group in groups]
    if columns == record["columns"]:
        name = f'<td class="text" colspan="{len(columns)}">all rows</td>'
        rows.append(_row(name, {**overall, "group": {}}, figures, overall["accuracy"]))
    return f"<h3>By {escape(heading)}</h3>\n{_table(head, rows)}"


def _names(group: Record) -> str:
    return "".join(_text(values.written(value)) for value in group.values())


def _text(text: str, *, stressed: bool = False) -> str:
    """A cell of text, which is broken into lines if it is long."""
    kind = "text long" if len(text) > LONGEST_LINE else "text"
    return f'<td class="{kind}">{_stressed(text) if stressed else escape(text)}</td>'


def _stressed(text: str) -> str:
    return f"<b>{escape(text)}</b>"


def _row(names: str, group: Record, figures: list[str], overall: Measured) -> str:
    accuracy = group["accuracy"]
    low = bool(group["group"]) and words.below(group, overall)
    kind = ' class="low"' if low else "" if group["group"] else ' class="all"'
    plain = [words.rows(group["count"]), f"{group['share']:.1%}"]
    plain += [words.number(name, group[name]) for name in figures]
    numbers = f'<td class="value">{"▼ " if low else ""}{words.number("accuracy", accuracy)}</td>'
    numbers += f'<td>{words.span("accuracy", accuracy)}</td><td class="bar">{bar(accuracy)}</td>'
    return f"<tr{kind}>{names}{numbers}{''.join(f'<td>{cell}</td>' for cell in plain)}</tr>"


def _table(head: str, rows: list[str]) -> str:
    body = "\n".join(rows)
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return f'<div class="wide" role="region" aria-label="table" tabindex="0">\n{table}\n</div>'


def _section(section: Section) -> str:
    parts = [f"<h3>{escape(section.title)}</h3>"]
    if section.rows:
        first, *others = section.columns
        head = f'<th class="text" scope="col">{escape(first)}</th>'
        head += "".join(f'<th scope="col">{escape(title)}</th>' for title in others)
        rows = [_cells(row, stressed=index in section.stressed) for index, row in enumerate(section.rows)]
        parts.append(_table(head, rows))
    parts += [f'<p class="dim">{escape(note)}</p>' for note in section.notes]
    return "\n".join(parts)


def _cells(row: tuple[str, ...], *, stressed: bool) -> str:
    first, *others = row
    cells = (_stressed(cell) if stressed else escape(cell) for cell in others)
    return f"<tr>{_text(first, stressed=stressed)}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
