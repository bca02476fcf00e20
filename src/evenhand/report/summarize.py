"""A folder as a page of plain values: every section writes what it finds to say."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from evenhand.errors import EvenhandError
from evenhand.report.blocks import Page, Section, Text
from evenhand.report.found import Found, find
from evenhand.study.tables import heading

__all__ = ["ORDER", "Found", "find", "summarize"]

# In the order that a reader asks.
ORDER = (
    "verdict",
    "groups",
    "methods",
    "training",
    "selection",
    "geometry",
    "diagnosis",
    "audit",
    "discovery",
    "explanations",
    "projections",
    "reproduction",
    "settings",
)


def summarize(path: Path) -> Page:
    """The page of a run, a folder of runs, or the JSON file of a command.

    Raises:
        BadInput: there is nothing that a page could show.
    """
    return page_of(find(path))


def page_of(found: Found) -> Page:
    """The page of what was found; a section that fails on a damaged file is named on the page."""
    made = [section for name in ORDER for section in _sections(name, found)]
    if found.problems:
        made.append(Section("problems", "Left out", (Text(tuple(found.problems), "list"),)))
    return Page(_title(found), _subtitle(found), tuple(made), _facts(found))


def _sections(name: str, found: Found) -> list[Section]:
    module = import_module(f"evenhand.report.sections.{name}")
    try:
        made: list[Section] = module.sections(found)
    except Exception as error:  # of one damaged file; the others are still worth reading
        if os.environ.get("EVENHAND_DEBUG"):
            raise
        found.failed = True
        reason = str(error) if isinstance(error, EvenhandError) else f"{type(error).__name__}: {error}"
        found.problems.append(f"The part on {name} could not be written: {reason}.")
        return []
    return made


def _title(found: Found) -> str:
    if found.compared:
        return str(found.compared["data"])
    for records in (found.reproductions, found.audits):
        if records:
            return str(records[0][1].get("title") or records[0][1].get("source"))
    return found.path.resolve().stem


def _subtitle(found: Found) -> str:
    if found.comparison:
        return heading(found.comparison).partition(", ")[2].capitalize()
    if found.compared:
        n_methods, n_seeds = len(found.compared["rows"]), len(found.compared["seeds"])
        return f"{n_methods} methods × {n_seeds} seeds, test split"
    return ""


def _facts(found: Found) -> tuple[tuple[str, str], ...]:
    facts: list[tuple[str, str]] = []
    compared = found.compared
    if compared:
        rows = sum(group["test"] for group in compared["groups"])
        facts += [("groups", str(len(compared["groups"]))), ("test rows", f"{rows:,}".replace(",", "\u202f"))]
    if found.runs:
        facts.append(("runs", str(len(found.runs))))
        seconds = sum(run.metrics["seconds"] for run in found.runs)
        facts.append(("training, all runs", duration(seconds)))
    return tuple(facts)


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
