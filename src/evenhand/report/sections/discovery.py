"""What `evenhand discover --json` found: candidate hidden groups, worst first, with examples of each."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenhand.report.blocks import Block, Cell, Image, Images, Section, Table, Text
from evenhand.report.found import Found
from evenhand.report.pieces import MISSING, count, thousands

Record = Mapping[str, Any]

MOST_SHOWN = 20  # groups of a table, as in the terminal
MOST_PICTURED, MOST_QUOTED = 12, 6  # groups with pictures, with texts
MOST_CLASSES = 10  # with more of them, agreement is said as their mean
SHEET = "examples.png"
HEAD, FOOT, MOST_ON_SHEET = 20, 6, 40  # of the contact sheet: pixels above and below the groups, and how many it has
WIDEST, QUALITY = 1240, 82  # pixels and JPEG quality of the picture in the page
MOST_PIXELS = 60_000_000  # of a sheet that is opened
CANDIDATES = (
    "Intervals (Wilson) are of one group each and do not account for looking at the worst of them. Candidates are no "
    "findings: look at their examples."
)


def sections(found: Found) -> list[Section]:
    """A section for each discovery; one that was written to two files is shown once, from beside its pictures."""
    by_content: dict[str, tuple[Path, Record]] = {}
    for path, record in found.discoveries:
        key = repr(record)
        if key not in by_content or path.with_name(SHEET).is_file():
            by_content[key] = path, record
    several = len(by_content) > 1
    return [
        Section(
            f"discovery-{number}" if several else "discovery",
            f"Hidden groups of {_of(record)}" if several else "Hidden groups",
            tuple(_blocks(path, record)),
        )
        for number, (path, record) in enumerate(by_content.values(), 1)
    ]


def _of(record: Record) -> str:
    return str(record.get("run") or (record.get("data") or {}).get("name") or record["features"])


def _blocks(path: Path, record: Record) -> list[Block]:
    groups = list(record["groups"])
    by, predicts = record["ranked_by"], any(_accuracy(group, record["ranked_by"]) is not None for group in groups)
    made: list[Block] = [Text((_lead(record, groups, by, predicts=predicts),), "lead"), Text((_how(record),), "note")]
    made.append(ranked(record, groups, by, predicts=predicts))
    if predicts:
        made.append(Text((CANDIDATES,), "note"))
    made += [*_sheet(path, groups), *_apart(groups), *_quoted(groups)]
    if record.get("known_attributes"):
        made += [judged(record["known_attributes"]), Text((record["known_attributes"]["note"],), "note")]
    return made


def _accuracy(group: Record, split: str) -> float | None:
    value: float | None = group["figures"][split]["accuracy"]
    return value


def _lead(record: Record, groups: list[Record], by: str, *, predicts: bool) -> str:
    if not groups:
        return "No group was found."
    first, found = groups[0], f"{len(groups)} candidate group{'s' * (len(groups) > 1)}"
    own = first["figures"][by]
    if not predicts:
        return f"{found} without any group label; the smallest is {first['name']} with {thousands(own['count'])} rows."
    return (
        f"{found} without any group label. Worst served is {first['name']}: {_two(own['accuracy'])} % of its "
        f"{thousands(own['count'])} rows of {by} are right ({_two(own['low'])} to {_two(own['high'])})."
    )


def _how(record: Record) -> str:
    options = ", ".join(f"{key}={value}" for key, value in record["options"].items() if value is not None)
    order = f"Accuracies are on {record['ranked_by']}"
    return f"Found in {record['looked_at']} by {record['kind']} ({options}), on {record['features']}. {order}."


def ranked(record: Record, groups: list[Record], by: str, *, predicts: bool) -> Table:
    """Size, accuracy with its interval, loss and mean score of each group, worst first."""
    score = str(record["score"])
    scored = score not in ("loss", "accuracy")
    others = [split for split in (groups[0]["figures"] if groups else ()) if split != by]
    rows = []
    for group in groups[:MOST_SHOWN]:
        own = group["figures"][by]
        figures = (_share(own), Cell(f"{_two(own['low'])} to {_two(own['high'])}", own["low"]), _three(own["loss"]))
        rows.append((
            Cell(group["name"]), Cell(str(group["label"])), *(figures if predicts else ()),
            *[_three(own["score"])] * scored,
            *(count(group["figures"][split]["count"]) for split in (by, *others)),
        ))  # fmt: skip
    head = ("accuracy, %", "95 % interval", "loss") if predicts else ()
    columns = (
        "group",
        "class",
        *head,
        *[score.replace("_", " ")] * scored,
        f"{by} rows",
        *(f"{s} rows" for s in others),
    )
    more = f" (the first {MOST_SHOWN} of {len(groups)})" if len(groups) > MOST_SHOWN else ""
    caption = f"Groups found in {record['looked_at']}, {'worst' if predicts else 'smallest'} first{more}"
    return Table(caption, columns, tuple(rows), (False, False, *[True] * (len(columns) - 2)))


def _sheet(path: Path, groups: list[Record]) -> list[Block]:
    """The contact sheet that lies beside the record, as far as its worst groups."""
    file = path.with_name(SHEET)
    if not groups or not file.is_file():
        return []
    from PIL import Image as Picture

    with Picture.open(file, formats=["PNG"]) as sheet:
        if sheet.width * sheet.height > MOST_PIXELS:
            return []
        on_sheet = min(len(groups), MOST_ON_SHEET)
        shown = min(on_sheet, MOST_PICTURED)
        bottom = HEAD + round((sheet.height - HEAD - FOOT) / on_sheet * shown)
        cut = sheet.convert("RGB").crop((0, 0, sheet.width, min(bottom, sheet.height)))
    cut.thumbnail((WIDEST, cut.height))
    stream = io.BytesIO()
    cut.save(stream, "JPEG", quality=QUALITY, optimize=True)
    source = f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
    named = ", ".join(str(group["name"]) for group in groups[:shown])
    alt = f"Pictures of the groups {named}: a row for each, the most typical left and the most critical right"
    caption = "Examples: most typical left, most critical right; framed in orange where the prediction is wrong"
    return [Images(caption, (Image(source, alt),))]


def _apart(groups: list[Record]) -> list[Block]:
    """The features that set each group apart, where inputs are a table."""
    if not any(group.get("apart") for group in groups):
        return []
    rows = tuple(
        (Cell(group["name"]), Cell(", ".join(_feature(each) for each in group.get("apart") or ()) or "none"))
        for group in groups[:MOST_SHOWN]
    )
    caption = "What sets the groups apart from the rest of their class, in standard deviations"
    return [Table(caption, ("group", "features"), rows)]


def _feature(each: Record) -> str:
    difference = each["difference"]
    return f"{each['feature']} {MISSING if difference is None else f'{difference:+.2f}'.replace('-', '−')}"


def _quoted(groups: list[Record]) -> list[Block]:
    """Beginnings of the texts of each group."""
    rows = tuple(
        (Cell(group["name"]), Cell(sort), Cell(f"“{text}”"))
        for group in groups[:MOST_QUOTED]
        for sort, texts in (group.get("excerpts") or {}).items()
        for text in texts
    )
    return (
        [Table("Texts of the worst groups, most typical and most critical", ("group", "", "text"), rows)]
        if rows
        else []
    )


def judged(known: Record) -> Table:
    """Agreement with attributes that are known: precision and recall of the best match, and areas by score."""
    splits = known["splits"]
    measures: dict[str, dict[str, float | None]] = {}
    for split, own in splits.items():
        for name in ("precision", "recall"):
            measures.setdefault(f"best match of that group, {name}", {})[split] = own["best_match"][name]
        rand = own["adjusted_rand_index"]
        if len(rand) > MOST_CLASSES:
            known_ones = [value for value in rand.values() if value is not None]
            rand = {"mean over classes": sum(known_ones) / len(known_ones) if known_ones else None}
        for label, value in rand.items():
            measures.setdefault(f"adjusted Rand index, {label}", {})[split] = value
        for score, areas in own["auc"].items():
            measures.setdefault(f"AUC of minority membership, {score.replace('_', ' ')}", {})[split] = areas["all"]
    rows = tuple((Cell(name), *(_three(values.get(split)) for split in splits)) for name, values in measures.items())
    caption = f"Agreement with the known attributes, for {known['worst_group']}"
    return Table(caption, ("measure", *splits), rows, (False, *[True] * len(splits)))


def _share(figures: Record) -> Cell:
    return Cell(_two(figures["accuracy"]), figures["accuracy"], "", figures["low"], figures["high"])


def _two(value: float | None) -> str:
    return MISSING if value is None else f"{100 * value:.2f}"


def _three(value: float | None) -> Cell:
    return Cell(MISSING if value is None else f"{value:.3f}", value)
