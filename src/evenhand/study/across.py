"""What several parts of a study say together: average ranks of methods, and how differences move between parts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evenhand.study.comparison import Figure
from evenhand.study.measures import MEASURES
from evenhand.study.reproduction import Reproduction, StudyReproduction
from evenhand.study.tables import Table, signed


def tables(found: StudyReproduction) -> list[Table]:
    """The tables that the study asks for, if at least two parts were run."""
    if len(found.parts) < 2:
        return []
    shown = []
    if "trend" in found.study.across:
        shown += [trend(found, metric) for metric in found.parts[0].table.metrics]
    if "ranks" in found.study.across:
        shown.append(ranking(found))
    return shown


def findings(found: StudyReproduction) -> list[str]:
    """What the trends say, in sentences."""
    if len(found.parts) < 2 or "trend" not in found.study.across:
        return []
    return [line for metric in found.parts[0].table.metrics for line in trend_findings(found, metric)]


def trend(found: StudyReproduction, metric: str) -> Table:
    """Each method minus the reference, in every part: the paper's difference and ours."""
    measure = MEASURES[metric]
    rows = []
    for label in labels(found):
        cells = []
        for part in found.parts:
            theirs, ours = differences(part, label, metric)
            cells += [signed(theirs, measure.scale), signed(ours, measure.scale)]
        rows.append((label, *cells))
    heads = [f"{part.table.part}, {whose}" for part in found.parts for whose in ("paper", "here")]
    title = f"{measure.header}  minus that of {found.parts[0].comparison.reference}, by part, {measure.unit}"
    return Table(title, ("method", *heads), tuple(rows))


def trend_findings(found: StudyReproduction, metric: str) -> Iterator[str]:
    """Whether a difference moves the same way from the first part to the last as in the paper."""
    measure = MEASURES[metric]
    for label in labels(found):
        pairs = [differences(part, label, metric) for part in found.parts]
        theirs, ours = ([pair[k] for pair in pairs] for k in (0, 1))
        if np.isnan(theirs).any() or np.isnan(ours).any():
            continue
        first, last = found.parts[0].table.part, found.parts[-1].table.part
        towards = np.sign(theirs[-1] - theirs[0])
        seen = np.sign(ours[-1] - ours[0]) == towards
        monotone = bool((np.sign(np.diff(ours)) == towards).all())
        how = "in every step" if monotone else "from the first to the last, though not in every step"
        yield (
            f"{measure.short}: {label} minus {found.parts[0].comparison.reference} goes from "
            f"{signed(theirs[0], measure.scale)} ({first}) to {signed(theirs[-1], measure.scale)} ({last}) in the "
            f"paper, here from {signed(ours[0], measure.scale)} to {signed(ours[-1], measure.scale)}: the trend is "
            + (f"seen here, {how}" if seen else "not seen here")
            + f"; {_noise(changes(found, label, metric))}."
        )


def changes(found: StudyReproduction, label: str, metric: str) -> list[float]:
    """By how much the difference to the reference moves from the first part to the last, by seed."""
    moved = []
    for part in (found.parts[0], found.parts[-1]):
        values = {entry.label: entry.values(metric) for _, entry in part.rows}
        mine, base = values[label], values[part.comparison.reference]
        moved.append([a - b for a, b in zip(mine, base, strict=True)])
    return [late - early for early, late in zip(*moved, strict=True)]


def _noise(change_S: list[float]) -> str:
    """What the seeds say of a change: its 95 % interval by Student's t."""
    from scipy.stats import t

    if len(change_S) < 2:
        return "one seed cannot tell it from noise"
    half = float(t.ppf(0.975, len(change_S) - 1) * np.std(change_S, ddof=1) / len(change_S) ** 0.5)
    word = "beyond" if abs(float(np.mean(change_S))) > half else "within"
    return f"the change is {word} the noise of {len(change_S)} seeds"


def ranking(found: StudyReproduction) -> Table:
    """The average rank of each method over the metrics and parts under each heading; 1 is best, ties share a rank."""
    headings = dict(found.study.headings) or {"all": tuple(part.table.part for part in found.parts)}
    shown = {heading: [part for part in found.parts if part.table.part in parts] for heading, parts in headings.items()}
    ours = {heading: average_ranks(parts) for heading, parts in shown.items() if parts}
    rows = []
    for row in found.parts[0].table.rows:
        cells: list[str] = []
        for heading, ranks in ours.items():
            paper, mine = found.study.ranks.get(row.label, {}).get(heading), ranks.get(row.label)
            cells += ["–" if paper is None else f"{paper:.1f}", "–" if mine is None else f"{mine:.1f}"]
        rows.append((row.label, *cells))
    heads = [f"{heading}, {whose}" for heading in ours for whose in ("paper", "here")]
    return Table("Average rank over data sets and metrics (1 is best)", ("method", *heads), tuple(rows))


def average_ranks(parts: list[Reproduction]) -> dict[str, float]:
    """By label; a method that a part lacks is ranked in the others only."""
    from scipy.stats import rankdata

    found: dict[str, list[float]] = {}
    for part in parts:
        for metric in part.table.metrics:
            sign = -1 if MEASURES[metric].higher_is_better else 1
            means = {row.label: part.figure(entry, metric).mean for row, entry in part.rows}
            known = {label: mean for label, mean in means.items() if not np.isnan(mean)}
            for label, rank in zip(known, rankdata([sign * mean for mean in known.values()]), strict=True):
                found.setdefault(label, []).append(float(rank))
    return {label: float(np.mean(ranks)) for label, ranks in found.items()}


def labels(found: StudyReproduction) -> list[str]:
    """Every row but the reference."""
    reference = found.parts[0].comparison.reference
    return [row.label for row in found.parts[0].table.rows if row.label != reference]


def differences(part: Reproduction, label: str, metric: str) -> tuple[float, float]:
    """The paper's and our mean minus that of the reference; NaN where there is none."""
    rows = {row.label: (row, entry) for row, entry in part.rows}
    both = [rows.get(name) for name in (label, part.comparison.reference)]
    theirs: list[Figure | None] = [pair[0].paper.get(metric) if pair else None for pair in both]
    ours = [part.figure(pair[1], metric) if pair else None for pair in both]
    return _minus(theirs), _minus(ours)


def _minus(pair: list[Figure | None]) -> float:
    first, second = pair
    return float("nan") if first is None or second is None else first.mean - second.mean
