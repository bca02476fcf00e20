"""What the choice of the epoch costs: other rules on the same runs, and what a look at the test split would give."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from evenhand.report.blocks import Block, Cell, Section, Table, Text
from evenhand.report.found import Found
from evenhand.report.pieces import mean_sd, points
from evenhand.study.comparison import MAIN, Comparison, summarised
from evenhand.study.selection import LABELLED, WORDS

Record = Mapping[str, Any]


def sections(found: Found) -> list[Section]:
    """Worst-group accuracy on test under every rule, for runs that have test figures by epoch."""
    rules = (found.compared or {}).get("selection")
    if not rules:
        return []
    oracle = _oracle(found.comparison) if found.comparison else {}
    blocks: list[Block] = [Text(_sentences(rules, oracle)), _table(rules, oracle), Text((NOTE,), "note")]
    return [Section("selection", "How the epoch was chosen, and what that costs", tuple(blocks))]


NOTE = (
    "Accuracy of the worst group on test at the epoch that each rule chooses on validation, mean ± sd over seeds. Only "
    "the first two rules need group labels there. class gap: the smallest difference between the accuracies of two "
    "classes. chosen on test: what no user of the model would see; it is shown because published figures are often so."
)


def _oracle(comparison: Comparison) -> dict[str, Record]:
    """What choosing by the test split would give, by label."""
    return {
        entry.label: summarised(entry.values(MAIN, "oracle"))
        for entry in comparison.shown
        if all(run.metrics.get("oracle") for run in entry.finished)
    }


def _sentences(rules: Mapping[str, Record], oracle: Mapping[str, Record]) -> tuple[str, ...]:
    costs = {label: of["worst_class"]["mean"] - of[LABELLED]["mean"] for label, of in rules.items()}
    most = min(costs, key=lambda label: float(costs[label]))
    over = "" if len(costs) == 1 else " on average over methods"
    lines = [
        f"Without group labels in validation, choosing by the worst class changes the worst group on test by "
        f"{points(fmean(costs.values()))} points{over}"
        + (f", most for {most} ({points(costs[most])})." if len(costs) > 1 else ".")
    ]
    gaps = {label: of["mean"] - rules[label][LABELLED]["mean"] for label, of in oracle.items() if label in rules}
    if gaps:
        widest = max(gaps, key=lambda label: float(gaps[label]))
        lines.append(
            f"Choosing the epoch on the test split itself would add {points(fmean(gaps.values()))} points{over}"
            + (f", most for {widest} ({points(gaps[widest])})." if len(gaps) > 1 else ".")
        )
    return tuple(lines)


def _table(rules: Mapping[str, Record], oracle: Mapping[str, Record]) -> Table:
    rows = [
        (
            Cell(label),
            *(mean_sd(of[rule]) for rule in WORDS),
            *((mean_sd(oracle.get(label)),) if oracle else ()),
        )
        for label, of in rules.items()
    ]
    columns = ("method", *WORDS.values(), *(("chosen on test",) if oracle else ()))
    return Table("What selection leads to, %", columns, tuple(rows), (False, *(True for _ in columns[1:])))
