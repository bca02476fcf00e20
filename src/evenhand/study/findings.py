"""What a reproduction shows, in sentences that are derived from its figures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from evenhand import metrics
from evenhand.study import classes
from evenhand.study.comparison import MAIN, Figure
from evenhand.study.measures import MEASURES, THIRDS
from evenhand.study.reproduction import Reproduction
from evenhand.study.tables import figure_text, percent, signed

NOISE = 2.0  # standard deviations


def findings(found: Reproduction) -> list[str]:
    """Which of the paper's statements hold in our runs and which do not, by the figures alone."""
    if not found.table.rows:
        return []
    lines: list[str] = []
    for metric in found.table.metrics:
        if MEASURES[metric].unit == "s":
            lines += ratios(found, metric)
            continue
        lines += first_place(found, metric)
        lines += order(found, metric)
        if found.comparable:
            lines += levels(found, metric)
    if set(found.table.metrics) & set(THIRDS):
        lines += classes.findings(found.comparison)
    return [*lines, *extras(found), *oracle(found)]


def ratios(found: Reproduction, metric: str) -> Iterator[str]:
    """Each row's time as a multiple of the reference's: seconds of different machines say nothing to each other."""
    base = next(((row, entry) for row, entry in found.rows if row.label == found.comparison.reference), None)
    for row, entry in found.rows:
        if base is None or row.label == base[0].label:
            continue
        ours = found.figure(entry, metric).mean / found.figure(base[1], metric).mean
        line = f"{short(metric)}: {row.label} takes {ours:.3f} times as long as {base[0].label} here"
        if metric in row.paper and metric in base[0].paper:
            line += f", in the paper {row.paper[metric].mean / base[0].paper[metric].mean:.3f} times"
        yield f"{line}."


def first_place(found: Reproduction, metric: str) -> Iterator[str]:
    """Whether the paper's best method is the best here."""
    rows = [(row, entry) for row, entry in found.rows if metric in row.paper]
    if len(rows) < 2:
        return
    sign = 1 if MEASURES[metric].higher_is_better else -1
    theirs = max(rows, key=lambda pair: sign * pair[0].paper[metric].mean)
    ours = max(rows, key=lambda pair: sign * found.figure(pair[1], metric).mean)
    figure = figure_text(found.figure(theirs[1], metric))
    start = f"{short(metric)}: the paper's best is {theirs[0].label} ({figure_text(theirs[0].paper[metric])})"
    if not found.comparison.can_infer:
        yield f"{start}, here it is {ours[0].label}; one seed cannot say more."
        return
    values = {row.label: entry.values(metric) for row, entry in rows}
    best = metrics.winners(values, sign > 0)
    if best == {theirs[0].label}:
        yield f"{start}; it is best beyond the noise here, too ({figure})."
    elif theirs[0].label in best:
        rest = [row.label for row, _ in rows if row.label in best - {theirs[0].label}]
        yield f"{start}; here it has {figure} and cannot be told from {listed(rest)}."
    else:
        leader = figure_text(found.figure(ours[1], metric))
        yield f"{start}; this does not hold here: it has {figure}, and {ours[0].label} is better with {leader}."


def order(found: Reproduction, metric: str) -> Iterator[str]:
    """How many of the paper's clear differences between two methods are found again."""
    if not found.comparison.can_infer:
        return
    rows = [(row, found.figure(entry, metric)) for row, entry in found.rows if metric in row.paper]
    clear = [(a, b) for a, b in combinations(rows, 2) if direction(a[0].paper[metric], b[0].paper[metric])]
    same, reversed_ = 0, []
    for (first, our_first), (second, our_second) in clear:
        theirs, ours = direction(first.paper[metric], second.paper[metric]), direction(our_first, our_second)
        same += theirs == ours
        if theirs == -ours:
            reversed_.append(f"{first.label} and {second.label}")
    if not clear:
        return
    undecided = len(clear) - same - len(reversed_)
    has_sd = any(row.paper[metric].sd is not None for row, _ in rows)
    how = f"separates by more than {NOISE:g} sd" if has_sd else "orders, without giving an sd"
    pairs = f"{len(clear)} pair{'s' * (len(clear) > 1)} of methods"
    line = (
        f"{short(metric)}: of {pairs} that the paper {how}, {same} come{'s' * (same == 1)} out the same way here, "
        f"{undecided} within the noise, {len(reversed_)} the other way round"
    )
    yield line + (f" ({'; '.join(reversed_)})." if reversed_ else ".")


def levels(found: Reproduction, metric: str) -> Iterator[str]:
    """Where the paper's figure lies outside our mean ± 2 sd."""
    if len(found.comparison.seeds) < 2:
        return
    outside, inside = [], 0
    for row, entry in found.rows:
        paper, ours = row.paper.get(metric), found.figure(entry, metric)
        if paper is None or ours.sd is None:
            continue
        if abs(paper.mean - ours.mean) > NOISE * ours.sd:
            outside.append(f"{row.label} ({percent(paper.mean)}, here {figure_text(ours)})")
        else:
            inside += 1
    if outside:
        rest = f"; inside for the other {inside}" if inside else ""
        yield f"{short(metric)}: the paper's figure lies outside our mean ± {NOISE:g} sd for {listed(outside)}{rest}."
    elif inside:
        yield f"{short(metric)}: the paper's figure lies within our mean ± {NOISE:g} sd for all {inside} methods."


def extras(found: Reproduction) -> Iterator[str]:
    """What the rows that are not in the paper reach."""
    metric = found.table.metrics[0]
    added = ", which the paper does not have," if any(row.paper for row in found.table.rows) else ""
    for row, entry in found.rows:
        if not row.paper:
            figure = figure_text(found.figure(entry, metric))
            yield f"{row.label}{added} reaches {short(metric)} {figure}."


def oracle(found: Reproduction) -> Iterator[str]:
    """What choosing the epoch on test would have added to the worst group, where it was chosen at all."""
    gaps = {
        row.label: found.oracle_gap(entry)
        for row, entry in found.rows
        if any(run.metrics["selection"].get("rule") != "last" for run in entry.finished)
    }
    if not gaps:
        return
    most = max(gaps, key=lambda label: gaps[label])
    yield (
        f"Choosing the epoch on test instead of validation would add {100 * sum(gaps.values()) / len(gaps):.2f} points "
        f"of {short(MAIN)} on average, most for {most} ({signed(gaps[most])})."
    )


def short(metric: str) -> str:
    """The metric's name in the head of a column."""
    return MEASURES[metric].short


def direction(first: Figure, second: Figure) -> int:
    """1 or -1 where the first lies above or below the second by more than 2 sd of both together, else 0."""
    noise = NOISE * ((first.sd or 0) ** 2 + (second.sd or 0) ** 2) ** 0.5
    difference = first.mean - second.mean
    return 0 if abs(difference) <= noise else 1 if difference > 0 else -1


def listed(names: list[str]) -> str:
    """`a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
