"""The tables that follow the groups, as texts: the same in the terminal, in Markdown and in pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evenhand.auditing.figures.estimates import Measured
from evenhand.auditing.output import words
from evenhand.auditing.reading import values

Record = dict[str, Any]
MOST_CLASSES = 20  # the worst; JSON has all


@dataclass(frozen=True)
class Section:
    """A table of texts with its notes; the first column names what a row is about, `stressed` rows stand out."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    stressed: frozenset[int] = frozenset()


def sections(record: Record) -> list[Section]:
    """What follows from the groups, the classes if they are many, the comparison and the search if there were any."""
    found = [_headlines(record)]
    if record["positive"] is None:
        found.append(_classes(record))
    if "against" in record:
        found.append(_against(record))
    if "slices" in record:
        found.append(_slices(record["slices"], record["confidence"]))
    return found


def interval_heading(confidence: float) -> str:
    """`95% interval`."""
    return f"{100 * confidence:g}% interval"


def _headlines(record: Record) -> Section:
    overall, worst = record["overall"], record["worst"]
    rows = tuple(
        (words.plainly(name), words.number(name, overall[name]), words.span(name, overall[name]))
        for name in words.HEADLINES
    )
    about = () if worst is None else (f"worst group: {words.group(worst['group'])} ({words.counted(worst['count'])})",)
    return Section("Over groups", ("", "value", interval_heading(record["confidence"])), rows, about)


def _classes(record: Record) -> Section:
    classes = record["by_class"]
    rows = tuple(
        (
            values.written(one["class"]), words.rows(one["count"]), one.get("third", "–"),
            *(words.number(name, one[name]) for name in ("accuracy", "precision", "f1")),
            words.span("accuracy", one["accuracy"]),
        )
        for one in classes[:MOST_CLASSES]
    )  # fmt: skip
    more = len(classes) - MOST_CLASSES
    notes = (f"… and {more} more classes with higher accuracy",) if more > 0 else ()
    heads = ("class", "rows", "third", "accuracy", "precision", "F1", interval_heading(record["confidence"]))
    return Section("Classes, worst first", heads, rows, notes)


def _against(record: Record) -> Section:
    other, confidence = record["against"], record["confidence"]
    listed = [*other["groups"], {"group": {}, **other["overall"]}]
    rows = tuple(
        (
            words.values_of(row["group"]) or "all rows", words.rows(row["count"]),
            *(words.number("accuracy", row[name]) for name in ("accuracy_against", "accuracy")),
            words.points(row["difference"]), f"{words.points(row['low'])} to {words.points(row['high'])}",
            words.p_value(row["p_adjusted"]),
        )
        for row in listed
    )  # fmt: skip
    heads = (
        " × ".join(record["columns"]),
        "rows",
        "other",
        "this",
        "difference",
        interval_heading(confidence),
        "p (Holm)",
    )
    sure = frozenset(index for index, row in enumerate(listed) if row["p_adjusted"] < 1 - confidence)
    notes = ["McNemar's test; this minus other, in points"]
    if other["rows_are_dependent"]:
        notes.append("rows with one id are taken to be independent here: p-values and intervals are too optimistic")
    return Section(f"Against {other['source']}", heads, rows, tuple(notes), sure)


def _slices(found: Record, confidence: float) -> Section:
    rows = []
    for one in found["found"][:MOST_CLASSES]:
        error = Measured(one["value"], one["low"], one["high"])
        numbers = (words.number("error", error), words.span("error", error), words.number("error", one["rest"]))
        rows.append((words.group(one["conditions"]), words.rows(one["size"]), *numbers, words.p_value(one["q_value"])))
    notes = [
        f"{words.rows(found['examined'])} slices seen in one half of the rows, {found['tested']} tested on the other, "
        "which error, interval and rest are of"
    ]
    if not rows:
        notes.insert(0, "no slice is served worse than the rest")
    if found["skipped"]:
        notes.append(f"not searched: {', '.join(found['skipped'])}")
    return Section(
        "Worst slices", ("slice", "rows", "error", interval_heading(confidence), "rest", "q"), tuple(rows), tuple(notes)
    )
