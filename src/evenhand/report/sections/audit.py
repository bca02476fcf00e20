"""What `evenhand audit --json` found: whom a classifier serves badly, and how sure that is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from evenhand.auditing.figures.estimates import Measured
from evenhand.auditing.output import sections as tables
from evenhand.auditing.output import words
from evenhand.plots import bars
from evenhand.report.blocks import Block, Cell, Section, Table, Text
from evenhand.report.found import Found
from evenhand.report.pieces import charted, number_in

Record = dict[str, Any]

MOST_SHOWN = 20  # groups of a chart, the worst
MOST_LISTED = 200  # rows of a table, the worst; the JSON has all
HEIGHT_OF_GROUP, HEIGHT_OF_AXES = 26, 90  # CSS pixels
MARK = "▼"
DIFFERENCE = 4  # the column of a comparison that holds it


def sections(found: Found) -> list[Section]:
    """A section for each audit."""
    several = len(found.audits) > 1
    return [
        Section(
            f"audit-{number}" if several else "audit",
            f"Audit of {Path(str(record['source'])).name}",
            tuple(_blocks(_measured(record))),
        )
        for number, (_, record) in enumerate(found.audits, 1)
    ]


def _measured(value: Any) -> Any:
    """The record with its figures as those that the tables of an audit are made of; null is NaN again."""
    if isinstance(value, list):
        return [_measured(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"value", "low", "high"}:
        return Measured(*(math.nan if value[key] is None else value[key] for key in ("value", "low", "high")))
    numeric = {"value", "low", "high", "rest", "q_value", "p_adjusted", "difference", "accuracy_against", "accuracy"}
    return {
        key: math.nan if item is None and key in numeric else _measured(item) for key, item in value.items()
    }  # fmt: skip


def _blocks(record: Record) -> list[Block]:
    made: list[Block] = [Text((_lead(record),), "lead"), Text((f"{words.facts(record)}.",), "note")]
    said = [*record["notes"], *([words.missing(record)] if record["missing"] else [])]
    if said:
        made.append(Text(tuple(map(_sentence, said)), "note"))
    if record["warnings"]:
        made.append(Text(tuple(f"Caution: {warning}." for warning in record["warnings"]), "list"))
    if record.get("gate"):
        made.append(gate(record["gate"]))
    (crossed, groups), *marginals = words.levels(record)
    made += [_chart(crossed, groups, record), level(crossed, groups, record)]
    made.append(Text((_below(record),), "note"))
    made += [level(heading, groups, record, folded=True) for heading, groups in marginals]
    return [*made, *(block for one in tables.sections(record) for block in _tabled(one))]


def _lead(record: Record) -> str:
    worst, overall = record["worst"], record["overall"]
    if worst is None:
        return "No group has rows: nothing can be said of the groups."
    own = worst["accuracy"]
    return (
        f"Worst served is {words.group(worst['group'])}: {words.number('accuracy', own)} of its "
        f"{words.counted(worst['count'])} are right ({words.span('accuracy', own)}, which accounts for choosing the "
        f"worst), and {words.number('accuracy', overall['accuracy'])} of all."
    )


def _below(record: Record) -> str:
    return f"{MARK} The whole {tables.interval_heading(record['confidence'])} lies below the accuracy of all rows."


def gate(decisions: list[Record]) -> Table:
    """The conditions of `--fail-if`, and whether they hold."""
    rows = tuple(
        (
            Cell("✗ failed" if one["failed"] else "✓ passed", mark="worst" if one["failed"] else "best"),
            Cell(one["expression"]),
            Cell(one["reason"]),
        )
        for one in decisions
    )
    return Table("Gate: conditions that must not hold", ("", "condition", "because"), rows)


def _chart(heading: str, groups: list[Record], record: Record) -> Block:
    shown = [group for group in groups if not math.isnan(group["accuracy"])][:MOST_SHOWN]
    names = [words.values_of(group["group"]) for group in shown]
    accuracies = [group["accuracy"] for group in shown]
    series = {"accuracy": [float(value) for value in accuracies]}
    ends = ([value.low for value in accuracies], [value.high for value in accuracies])
    figure = bars(
        series, names, intervals={"accuracy": ends}, horizontal=True, x_title="accuracy", xaxis_range=[0, 1.02],
        xaxis_tickformat=".0%",
    )  # fmt: skip
    figure.update_layout(yaxis_autorange="reversed")  # the worst on top
    overall = record["overall"]["accuracy"]
    figure.add_vline(x=float(overall), line={"dash": "dot", "width": 1.5, "color": "#222222"})
    which = f"the {len(shown)} worst of {len(groups)} groups" if len(groups) > len(shown) else f"{len(shown)} groups"
    alt = f"Accuracy of {which} with intervals; the dotted line is the accuracy of all rows, {_number(overall)}."
    title = f"Accuracy by {heading}; dotted: all rows, {_number(overall)}"
    return charted(title, figure, alt, height=HEIGHT_OF_AXES + HEIGHT_OF_GROUP * len(names))


def _number(value: Measured) -> str:
    return words.number("accuracy", value)


def level(heading: str, groups: list[Record], record: Record, *, folded: bool = False) -> Table:
    """Groups, worst first, with size, accuracy and its interval drawn, and the other figures of the command."""
    overall, names = record["overall"], words.shown_figures(record)
    rows = []
    for group in groups[:MOST_LISTED]:
        own, below = group["accuracy"], words.below(group, overall["accuracy"])
        rows.append((
            Cell(words.values_of(group["group"])),
            Cell(words.rows(group["count"]), group["count"]),
            Cell(words.number("share", group["share"]), group["share"]),
            _share(own, below=below),
            Cell(words.span("accuracy", own), _plain(own.low)),
            *(Cell(words.number(name, group[name]), _plain(group[name])) for name in names),
        ))  # fmt: skip
    rows.append(_all_rows(overall, names))
    figures = ("accuracy", tables.interval_heading(record["confidence"]), *map(words.title, names))
    columns = (heading, "rows", "share", *figures)
    caption = f"Accuracy by {heading}" + (
        f": the {MOST_LISTED} worst of {len(groups):,} groups" if len(groups) > MOST_LISTED else ""
    )
    return Table(caption, columns, tuple(rows), (False, *[True] * (len(columns) - 1)), folded)


def _all_rows(overall: Record, names: list[str]) -> tuple[Cell, ...]:
    own = overall["accuracy"]
    return (
        Cell("all rows", mark="muted"), Cell(words.rows(overall["count"]), overall["count"]), Cell("100.0%", 1.0),
        _share(own), Cell(words.span("accuracy", own), _plain(own.low)),
        *(Cell(words.number(name, overall[name]), _plain(overall[name])) for name in names),
    )  # fmt: skip


def _share(value: Measured, *, below: bool = False) -> Cell:
    text = f"{MARK} {_number(value)}" if below else _number(value)
    return Cell(text, _plain(value), "worst" if below else "", _plain(value.low), _plain(value.high))


def _plain(value: float) -> float | None:
    return None if math.isnan(value) or math.isinf(value) else float(value)


def _tabled(one: tables.Section) -> list[Block]:
    """A table of the command, as it is printed."""
    rows = tuple(
        tuple(
            Cell(text, number_in(text) if place else None, _mark(row) if number in one.stressed and not place else "")
            for place, text in enumerate(row)
        )
        for number, row in enumerate(one.rows)
    )
    made: list[Block] = [Table(one.title, one.columns, rows, (False, *[True] * (len(one.columns) - 1)))] if rows else []
    return [*made, *([Text(tuple(map(_sentence, one.notes)), "note")] if one.notes else [])]


def _mark(row: tuple[str, ...]) -> Literal["best", "worst"]:
    """Of a row of a comparison that differs for sure: which way."""
    return "worst" if row[DIFFERENCE].startswith("-") else "best"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
