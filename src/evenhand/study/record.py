"""A reproduction as tables, JSON and Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenhand.files import write_atomically, write_json
from evenhand.study import across
from evenhand.study import figures as figures_of_papers
from evenhand.study.comparison import MAIN, Entry, summary
from evenhand.study.findings import findings
from evenhand.study.measures import MEASURES
from evenhand.study.papers import Row
from evenhand.study.reproduction import Reproduction, StudyReproduction
from evenhand.study.tables import (
    Table,
    differences,
    figure_text,
    header,
    markdown,
    marks,
    marks_explained,
    signed,
    worst_groups,
)


def tables(found: Reproduction) -> list[Table]:
    """A table for each metric of the paper's table, then the worst groups and the differences."""
    shown = [figures(found, metric) for metric in found.table.metrics]
    if MAIN in found.table.metrics:
        shown.append(worst_groups(found.comparison))
        if found.comparison.can_infer:
            shown.append(differences(found.comparison))
    return shown


def figures(found: Reproduction, metric: str) -> Table:
    """Paper, ours, difference, and the test-selected figure, for each row."""
    signs, measure = marks(found.comparison, metric), MEASURES[metric]
    scale, rows = measure.scale, []
    for row, entry in found.rows:
        ours, paper = found.figure(entry, metric), row.paper.get(metric)
        difference = signed(ours.mean - paper.mean, scale) if paper and found.comparable else "–"
        rows.append((
            row.label, figure_text(paper, scale), figure_text(ours, scale) + signs.get(row.label, " "), difference,
            figure_text(found.figure(entry, metric, "oracle"), scale), signed(found.oracle_gap(entry, metric), scale),
        ))  # fmt: skip
    columns = ("method", "paper", "here", "here − paper", "test-selected", "gap")
    return Table(f"{header(metric)}  {measure.description}, {measure.unit}", columns, tuple(rows))


def explanations(found: Reproduction) -> list[str]:
    """How to read the tables; nothing where there is none."""
    if not found.table.rows:
        return []
    n = len(found.comparison.seeds)
    lines = [
        f"here: {n} seed{'s' * (n > 1)}, {_epoch_of(found)}. test-selected: the same runs, epoch chosen on the "
        "test split, as the published code does; gap: what that adds, which no user of the model would see.",
        marks_explained(found.comparison),
    ]
    if not found.comparable:
        lines.append(
            f"The paper's figures are on {found.table.paper_data}, those here on {found.comparison.data}: levels "
            "cannot be compared, only the order of the methods."
        )
    if found.scale != "full":
        small = ", ".join(f"{key} {value}" for key, value in found.settings.items())
        lines.append(f"Small scale ({small}): a quick look, not the paper's settings.")
    return lines


def _epoch_of(found: Reproduction) -> str:
    """Which epoch the figures are of: chosen on validation, unless all runs or some are of the last one."""
    last = [
        row.label
        for row, entry in found.rows
        if {run.metrics["selection"].get("rule") for run in entry.finished} == {"last"}
    ]
    if not last:
        return "epoch chosen on validation"
    if len(last) == len(found.rows):
        return "the last epoch, whatever validation says"
    return f"epoch chosen on validation; of {', '.join(last)} the last epoch, whatever validation says"


def as_dict(found: Reproduction) -> dict[str, Any]:
    """Everything as plain values, for JSON."""
    table, compared = found.table, found.comparison.as_dict()
    return {
        "table": table.name,
        "title": table.title,
        "source": table.source,
        "data": found.comparison.data,
        "paper_data": table.paper_data,
        "comparable": found.comparable,
        "scale": found.scale,
        "settings": dict(found.settings),
        "rows": [_row(found, row, entry) for row, entry in found.rows],
        "findings": findings(found),
        **{key: compared[key] for key in ("seeds", "groups", "reference", "differences", "best", "failures")},
    }


def _row(found: Reproduction, row: Row, entry: Entry) -> dict[str, Any]:
    names = list(dict.fromkeys([*found.comparison.metric_names, *found.table.metrics]))
    ours = summary(entry, names)
    return {
        "method": row.method,
        "label": row.label,
        "options": dict(row.options),
        "paper": {name: {"mean": figure.mean, "sd": figure.sd} for name, figure in row.paper.items()},
        "ours": ours,
        "difference": {
            name: ours[name]["mean"] - figure.mean for name, figure in row.paper.items() if found.comparable
        },
        "oracle": summary(entry, names, "oracle"),
    }


def study_as_dict(found: StudyReproduction, figure: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A study as plain values: that of its table, or all rows with the part that they belong to; and its figure."""
    return {"kind": "reproduction"} | _study_as_dict(found) | ({} if figure is None else {"figure": dict(figure)})


def _study_as_dict(found: StudyReproduction) -> dict[str, Any]:
    if not found.study.several:
        return as_dict(found.parts[0])
    parts = [as_dict(part) | {"part": part.table.part} for part in found.parts]
    return {
        "table": found.study.name,
        "title": found.study.title,
        "source": found.study.source,
        "scale": found.parts[0].scale,
        "rows": [row | {"part": part["part"]} for part in parts for row in part["rows"]],
        "parts": parts,
        "missing": dict(found.missing),
        "findings": across.findings(found),
        "ranks": {
            heading: across.average_ranks([part for part in found.parts if part.table.part in labels])
            for heading, labels in found.study.headings.items()
        },
        "failures": [failure | {"part": part["part"]} for part in parts for failure in part["failures"]],
    }


def save_study(found: StudyReproduction, out: str | Path, figure: Mapping[str, Any] | None = None) -> tuple[Path, Path]:
    """Write `TABLE.json` and `TABLE.md` in `out`, with the record of the study's figure; return their paths.

    Raises:
        RunFailed: they cannot be written.
    """
    paths = Path(out) / f"{found.study.name}.json", Path(out) / f"{found.study.name}.md"
    write_json(paths[0], study_as_dict(found, figure))
    pages = [_page(part, f"## {part.table.part}\n\n" if found.study.several else "") for part in found.parts]
    together = markdown(across.tables(found)) + _list(across.findings(found))
    if figure is not None:
        together += "\n## Figure\n\n" + markdown(figures_of_papers.tables(figure))
        together += _list(figures_of_papers.findings(figure))
    write_atomically(paths[1], "\n".join([*pages, together]).encode())
    return paths


def _page(found: Reproduction, heading: str) -> str:
    return heading + markdown(tables(found)) + _list(explanations(found)) + _list(findings(found))


def _list(lines: list[str]) -> str:
    return "\n".join(["", *(f"- {line}" for line in lines), ""]) if lines else ""
