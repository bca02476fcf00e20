"""Papers' tables and figures beside our numbers, from the records that `evenhand reproduce` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evenhand.report.blocks import Block, Cell, Section, Table, Text
from evenhand.report.found import Found
from evenhand.report.pieces import MISSING, charted, mean_sd, points, tabled
from evenhand.study import figures
from evenhand.study.comparison import MAIN
from evenhand.study.measures import MEASURES

Record = Mapping[str, Any]


def sections(found: Found) -> list[Section]:
    """A section for each record."""
    return [_section(path, record, number) for number, (path, record) in enumerate(found.reproductions)]


def _section(path: Path, record: Record, number: int) -> Section:
    blocks: list[Block] = [Text((f"{record['title']}. {record['source']}",), "note")]
    if record["findings"]:
        blocks.append(Text(tuple(record["findings"]), "list"))
    if record.get("figure"):
        blocks += _figure(record["figure"])
    parts: Iterable[Record] = record.get("parts") or (record,)
    for part in parts:
        blocks += _part(part)
    missing = record.get("missing") or {}
    if missing:
        blocks.append(Text(tuple(f"Not run: {label}. {reason}" for label, reason in missing.items()), "list"))
    blocks.append(Text((f"evenhand reproduce {record['table']}",), "code"))
    return Section(f"reproduction-{number + 1}", f"{record['table']} beside the paper", tuple(blocks))


def _part(part: Record) -> list[Block]:
    """Each metric that the paper prints: its figure, ours, the difference, and what choosing on test adds."""
    label = f"{part['part']}: " if part.get("part") else ""
    names = list(dict.fromkeys(name for row in part["rows"] for name in row["paper"]))
    names = [name for name in names if name in MEASURES] or [MAIN]
    blocks: list[Block] = [
        _table(part, name, label) for name in names if any(name in row["ours"] for row in part["rows"])
    ]
    return [*blocks, Text(_notes(part), "note"), *([Text(tuple(part["findings"]), "list")] if label else [])]


def _table(part: Record, name: str, label: str) -> Table:
    measure, rows = MEASURES[name], []
    best = part.get("best", {}).get(name, [])
    alone = len(best) == 1
    for row in part["rows"]:
        paper, ours, oracle = row["paper"].get(name), row["ours"].get(name), row.get("oracle", {}).get(name)
        apart = row.get("difference", {}).get(name)
        first = alone and row["label"] in best
        rows.append((
            Cell(row["label"]), mean_sd(paper, measure.scale),
            mean_sd(ours, measure.scale, "best" if first else "", " *" if first else ""),
            Cell(MISSING if apart is None else _apart(apart, measure.scale), apart),
            mean_sd(oracle, measure.scale),
        ))  # fmt: skip
    caption = f"{label}{measure.header}  {measure.description}, {measure.unit}"
    columns = ("method", "paper", "here", "here − paper", "chosen on test")
    return Table(caption, columns, tuple(rows), (False, True, True, True, True))


def _apart(value: float, scale: float) -> str:
    return points(value * scale / 100)


def _notes(part: Record) -> tuple[str, ...]:
    n = len(part.get("seeds", ())) or 1
    lines = [
        f"here: {n} seed{'s' * (n > 1)}, epoch chosen on validation, mean ± sd. * best beyond the noise of the seeds. "
        "chosen on test: the same runs with the epoch chosen on the test split, as the published code does."
    ]
    if not part.get("comparable", True):
        lines.append(
            f"The paper's figures are on {part['paper_data']}, those here on {part['data']}: levels cannot be "
            "compared, only the order of the methods."
        )
    if part.get("scale", "full") != "full":
        lines.append("Small scale: a quick look, not the paper's settings.")
    return tuple(lines)


def _figure(record: Mapping[str, Any]) -> list[Block]:
    """The panels of a figure, its tables and what it shows here."""
    tables = [tabled(table) for table in figures.tables(record)]
    findings = figures.findings(record)
    blocks: list[Block] = [Text(tuple(findings), "list")] if findings else []
    for name, panel in figures.drawn(record).items():
        height = int(panel.layout.height or 440)
        title = panel.layout.title.text or name.replace("_", " ") or "The figure, measured here"
        alt = f"{title}. The numbers are in the tables below. {' '.join(findings[:1])}"
        blocks.append(charted(title, panel, alt, height=height))
    return [*blocks, *(block for table in tables for block in table)]
