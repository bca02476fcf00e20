"""Loss of each group on training rows by epoch.

Lu, Chai and Wang (2024), Neural collapse-inspired debiased representation learning for min-max fairness, Equation 6,
Figures 6 (plain training) and 8 (their method).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.errors import BadInput
from evenhand.runs import Run
from evenhand.study.comparison import Entry
from evenhand.study.figures._epochs import (
    Curve,
    Record,
    at,
    by_seed,
    described,
    entries,
    groups_of,
    known,
    mean,
    number,
    pairs,
    told,
    trained,
    verdict,
)
from evenhand.study.reproduction import StudyReproduction, slug
from evenhand.study.tables import Table

if TYPE_CHECKING:
    import plotly.graph_objects as go

LEARNT = 0.5  # of the loss of guessing


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> Record:
    """Of each row, group and seed: the mean cross-entropy of the group's training rows as they went by, by epoch.

    Settings: `row`, by default ERM; `beside`, another row to compare it with.
    """
    labels = [settings.get("row", "ERM"), *([settings["beside"]] if "beside" in settings else [])]
    chosen = entries(found, labels)
    return {
        "data": found.parts[0].comparison.data,
        "groups": groups_of(chosen[0].finished[0]),
        "classes": chosen[0].finished[0].metrics["labels"]["classes"],
        "rows": [_row(entry) for entry in chosen],
    }


def _row(entry: Entry) -> Record:
    losses = [_losses(run) for run in entry.finished]
    return {
        **described(entry, [len(run[0]) for run in losses]),
        "loss": [[run[g] for run in losses] for g in range(len(losses[0]))],
    }


def _losses(run: Run) -> list[Curve]:
    """By group and epoch."""
    seen = [line["train"] for line in run.history]
    if not seen or any(each is None for each in seen):
        raise BadInput(f"{run.folder} has no loss of each group: its method shows no logits for its rows")
    return [[each["loss"][g] for each in seen] for g in range(len(seen[0]["loss"]))]


def drawn(record: Record) -> dict[str, go.Figure]:
    """A panel for each row, on the same scale."""
    from evenhand.plots.geometry import group_curves

    top = max(known([value for row in record["rows"] for of in row["loss"] for curve in of for value in curve]))
    single = len(record["rows"]) == 1
    return {
        "" if single else slug(row["label"]): group_curves(
            row["loss"], record["groups"], begins=row["begins"], top=top,
            title=f"{row['label']} on {record['data']}, training rows", y_title="cross-entropy (nats)",
        )
        for row in record["rows"]
    }  # fmt: skip


def tables(record: Record) -> list[Table]:
    """Losses of groups at the first and last epoch, and when they were learnt."""
    lines = []
    for row in record["rows"]:
        for group, curves in zip(record["groups"], row["loss"], strict=True):
            cells = (told(at(curves, 0)), told(_means(curves)), told(at(curves, -1)))
            lines.append((row["label"], group["name"], str(group["train"]), *cells, _learnt(record, curves)))
    note = (
        "Mean cross-entropy (nats) of a group's training rows as they went by, that is before each step, and with its "
        f"augmentation; mean ± sd over seeds. learnt: the first epoch at which it is below {LEARNT:g} of the loss of "
        "guessing (ln C), mean over seeds."
    )
    columns = ("method", "group", "train rows", "first epoch", "mean over epochs", "last epoch", "learnt")
    return [Table("Loss of groups in training", columns, tuple(lines), (note,), text_columns=(0, 1))]


def _means(curves: Sequence[Curve]) -> list[float | None]:
    """Of each seed, over its epochs."""
    return [sum(known(curve)) / len(known(curve)) if known(curve) else None for curve in curves]


def _epochs_until(record: Record, curve: Curve) -> int | None:
    """The first epoch, from 1, at which a group is learnt."""
    below = LEARNT * math.log(len(record["classes"]))
    return next((epoch for epoch, loss in enumerate(curve, 1) if loss is not None and loss < below), None)


def _learnt(record: Record, curves: Sequence[Curve]) -> str:
    epochs = [_epochs_until(record, curve) for curve in curves]
    missing = sum(epoch is None for epoch in epochs)
    if missing == len(epochs):
        return "never"
    return f"{mean(list(epochs)):.1f}" + (f", {missing} never" if missing else "")


def findings(record: Record) -> list[str]:
    """Whether majority groups are learnt faster in plain training, and all alike with the paper's method."""
    first, *others = record["rows"]
    lines = trained(record["rows"])
    if first["begins"]:
        epochs = "epoch is" if first["begins"] == 1 else f"{first['begins']} epochs are"
        lines.append(f"The first {epochs} plain training with {first['label']}, too.")
    if not others:
        return lines + _faster(record, first)
    return lines + _balanced(record, first, others[0]) + _faster(record, others[0])


def _faster(record: Record, row: Record) -> list[str]:
    """Section 4.2: the loss of majorities falls fast, and to a lower level than that of minorities."""
    lines = []
    for large, small in pairs(record["groups"]):
        names = [record["groups"][g]["name"] for g in (large, small)]
        until = [[_epochs_until(record, curve) for curve in row["loss"][g]] for g in (large, small)]
        never = math.inf
        sooner = [
            float((never if a is None else a) - (never if b is None else b))
            for a, b in zip(*until, strict=True)
            if not (a is None and b is None)
        ]
        end = by_seed(at(row["loss"][large], -1), at(row["loss"][small], -1))
        when = [_when(_learnt(record, row["loss"][g])) for g in (large, small)]
        lines.append(
            f"{row['label']}: the loss of {names[0]} (majority) {when[0]} {LEARNT:g} of that of guessing, that of "
            f"{names[1]} (minority) {when[1]}; that the majority is learnt faster, {_sooner(sooner)}; that it ends "
            f"lower ({told(at(row['loss'][large], -1))} and {told(at(row['loss'][small], -1))}), "
            f"{verdict(end, lambda value: value < 0)}."
        )
    return lines


def _when(learnt: str) -> str:
    return "is never below" if learnt == "never" else f"is from epoch {learnt} on below"


def _sooner(differences: Sequence[float]) -> str:
    """As `verdict`, where a group that is never learnt is infinitely late."""
    return verdict([max(-1e9, min(1e9, value)) for value in differences], lambda value: value < 0)


def _spreads(row: Record) -> tuple[list[float], list[float]]:
    """Of each seed, the largest less the smallest loss of groups: mean over epochs, and at the last epoch."""
    over, last = [], []
    for seed in range(row["seeds"]):
        by_epoch = [known([of[seed][epoch] for of in row["loss"]]) for epoch in range(row["epochs"][seed])]
        apart = [max(losses) - min(losses) for losses in by_epoch if losses]
        over.append(sum(apart) / len(apart))
        last.append(apart[-1])
    return over, last


def _balanced(record: Record, row: Record, beside: Record) -> list[str]:
    """Section 5.5: with their method losses of groups are alike, and minorities are learnt sooner."""
    (over, last), (plain_over, plain_last) = _spreads(row), _spreads(beside)
    narrower = by_seed(list(over), list(plain_over))
    lines = [
        f"Largest less smallest loss of groups: {told(list(over))} on average over epochs with {row['label']} "
        f"({told(list(last))} at the last), {told(list(plain_over))} with {beside['label']} "
        f"({told(list(plain_last))}). That groups are more alike with {row['label']}, "
        f"{verdict(narrower, lambda value: value < 0)}."
    ]
    for _, small in pairs(record["groups"]):
        own, plain = (_means(each["loss"][small]) for each in (row, beside))
        lower = by_seed(own, plain)
        lines.append(
            f"{record['groups'][small]['name']} (minority): mean loss over epochs {told(own)} with {row['label']} and "
            f"{told(plain)} with {beside['label']}; that it is learnt faster, "
            f"{verdict(lower, lambda value: value < 0)}."
        )
    levels = [mean(_means(of)) for of in row["loss"]]
    worst = max(range(len(levels)), key=lambda g: levels[g])
    lines.append(
        f"The highest loss of a group with {row['label']} is that of {record['groups'][worst]['name']} "
        f"({number(levels[worst])} on average over epochs)."
    )
    return lines
