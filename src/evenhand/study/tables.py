"""A comparison as plain tables of text, for the terminal and for Markdown alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evenhand.study.comparison import MAIN, Comparison, Figure, worst_group
from evenhand.study.measures import MEASURES

GROUP_METRICS = ("worst_group_accuracy", "best_group_accuracy", "accuracy_gap", "accuracy")
PARITY_METRICS = (
    "group_mean_accuracy",
    "demographic_parity_difference",
    "equal_opportunity_difference",
    "equalized_odds_difference",
    "average_odds_difference",
)
BEST, TIED = "*", "≈"


@dataclass(frozen=True)
class Table:
    """A table of text. `text_columns` are aligned left, the others, being figures, right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    text_columns: tuple[int, ...] = (0,)


def tables(comparison: Comparison) -> list[Table]:
    """All tables of a comparison: figures, worst groups, differences, group sizes."""
    found = [
        figures(comparison, GROUP_METRICS, f"{heading(comparison)}: accuracy by group", (marks_explained(comparison),)),
        figures(comparison, PARITY_METRICS, "Mean over groups and parity"),
        worst_groups(comparison),
    ]
    if comparison.can_infer:
        found.append(differences(comparison))
    return [*found, group_sizes(comparison)]


def heading(comparison: Comparison) -> str:
    """`adult, 8 methods × 3 seeds`."""
    n_methods, n_seeds = len(comparison.shown), len(comparison.seeds)
    return (
        f"{comparison.data}, {n_methods} method{'s' * (n_methods > 1)} × {n_seeds} seed{'s' * (n_seeds > 1)}, "
        "test split"
    )


def figures(comparison: Comparison, names: Sequence[str], title: str, notes: tuple[str, ...] = ()) -> Table:
    """Mean ± sd over seeds of some metrics, in percent, with the best marked."""
    names = [name for name in names if name in comparison.metric_names]
    signs = {name: marks(comparison, name) for name in names}
    rows = [
        (entry.label, *(mean_sd(entry.values(name)) + signs[name].get(entry.label, " ") for name in names))
        for entry in comparison.shown
    ]
    return Table(f"{title}, %", ("method", *map(header, names)), tuple(rows), notes)


def header(metric: str) -> str:
    """`WGA ↑`."""
    return MEASURES[metric].header


def marks_explained(comparison: Comparison) -> str:
    """One line on the marks, or on why there are none."""
    n = len(comparison.seeds)
    if n < 2:
        return "One seed: nothing can be said about noise, so there is no sd, no interval and no winner."
    if len(comparison.shown) < 2:
        return f"Mean ± sd over {n} seeds."
    return (
        f"Mean ± sd over {n} seeds. {BEST} best beyond the noise; {TIED} cannot be told from the best; no mark in a "
        "column: no two can (each method against the best mean: paired t tests over seeds, Holm-corrected, 95 %)."
    )


def worst_groups(comparison: Comparison) -> Table:
    """The worst group of each method with its size and an interval."""
    rows = []
    for entry in comparison.shown:
        worst = worst_group(entry)
        interval = f"[{percent(worst.low)}, {percent(worst.high)}]"
        rows.append((entry.label, worst.group, str(worst.count), percent(worst.accuracy), interval))
    note = (
        "The group with the smallest mean accuracy over seeds (WGA: the mean of each seed's own smallest); 95 % "
        "interval for the test rows drawn, which accounts for taking the minimum over groups."
    )
    columns = ("method", "worst group", "test rows", "accuracy", "95 % interval")
    return Table("Worst group of each method, %", columns, tuple(rows), (note,), text_columns=(0, 1))


def differences(comparison: Comparison, metric: str = MAIN) -> Table:
    """Paired differences to the reference with corrected intervals."""
    higher = MEASURES[metric].higher_is_better
    rows = []
    for d in comparison.differences(metric):
        better = (d.mean > 0) == higher
        verdict = ("better" if better else "worse") if d.p_adjusted <= 0.05 else "not told apart"
        interval = f"[{signed(max(d.low, -1.0))}, {signed(min(d.high, 1.0))}]"
        rows.append((d.method, signed(d.mean), interval, p_value(d.p_adjusted), verdict))
    title = f"{MEASURES[metric].short} minus that of {comparison.reference}, percentage points"
    note = (
        f"Paired by seed (n = {len(comparison.seeds)}); intervals and p are Holm-corrected for {len(rows)} "
        f"comparison{'s' * (len(rows) > 1)}."
    )
    columns = ("method", "difference", "95 % interval", "p", "verdict")
    return Table(title, columns, tuple(rows), (note,), text_columns=(0, 4))


def group_sizes(comparison: Comparison) -> Table:
    """How many rows each group has in each split."""
    groups = comparison.groups()
    rows = [(group["group"], *(str(group[part]) for part in ("train", "val", "test"))) for group in groups]
    rows.append(("all", *(str(sum(group[part] for group in groups)) for part in ("train", "val", "test"))))
    return Table("Rows of each group", ("group", "train", "val", "test"), tuple(rows))


def markdown(found: Iterable[Table]) -> str:
    """The tables as GitHub Markdown."""
    return "\n".join(_markdown(table) for table in found)


def _markdown(table: Table) -> str:
    align = ["---" if number in table.text_columns else "--:" for number in range(len(table.columns))]
    lines = [f"**{_escaped(table.title)}**", ""]
    lines += ["| " + " | ".join(_escaped(cell.strip()) for cell in row) + " |" for row in (table.columns, align)]
    lines += ["| " + " | ".join(_escaped(cell.strip()) for cell in row) + " |" for row in table.rows]
    for note in table.notes:
        lines += ["", _escaped(note)]
    return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    for sign in ("\\", "|", "*", "<", "`"):
        text = text.replace(sign, "\\" + sign)
    return text


def marks(comparison: Comparison, metric: str) -> dict[str, str]:
    """The sign of each entry that has one; none where all would have the same."""
    best = comparison.best(metric)
    return {} if len(best) == len(comparison.shown) else dict.fromkeys(best, BEST if len(best) == 1 else TIED)


def mean_sd(values: Sequence[float]) -> str:
    """`57.93±1.18`, `57.93` for one seed, `–` for none."""
    return figure_text(Figure.over(values))


def figure_text(figure: Figure | None, scale: float = 100.0) -> str:
    """`57.93±1.18`, `57.93` without an sd, `–` for none."""
    if figure is None:
        return "–"
    return percent(figure.mean, scale) + ("" if figure.sd is None else f"±{percent(figure.sd, scale)}")


def percent(value: float, scale: float = 100.0) -> str:
    """A share as a percentage (or another quantity times its scale) with two decimals, `–` for NaN."""
    return "–" if math.isnan(value) else f"{scale * value:.2f}"


def signed(value: float, scale: float = 100.0) -> str:
    """A difference in percentage points (or of another scale) with its sign."""
    return "–" if math.isnan(value) else f"{scale * value:+.2f}"


def p_value(value: float) -> str:
    """`0.031`, `<0.001`."""
    return "–" if math.isnan(value) else "<0.001" if value < 0.001 else f"{value:.3f}"
