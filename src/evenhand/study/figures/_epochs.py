"""What figures by epoch share: rows by label, groups by size in training, curves of seeds, and how they are told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evenhand.errors import BadInput
from evenhand.runs import Run
from evenhand.study.comparison import Entry
from evenhand.study.figures._medical import mean_sd, text, with_sd
from evenhand.study.reproduction import StudyReproduction

Record = dict[str, Any]
Curve = list[float | None]  # by epoch


def entries(found: StudyReproduction, labels: Sequence[str]) -> list[Entry]:
    """The rows of these labels in the first part.

    Raises:
        BadInput: one has no finished run, or the data have no attribute, so no majority and minority.
    """
    by_label = {entry.label: entry for entry in found.parts[0].comparison.shown}
    missing = [label for label in labels if label not in by_label]
    if missing:
        raise BadInput(f"{found.study.name} needs a finished run of {', '.join(missing)}")
    chosen = [by_label[label] for label in labels]
    if not chosen[0].finished[0].metrics["labels"]["attributes"]:
        raise BadInput(f"{found.study.name} tells groups apart; {found.parts[0].comparison.data} has no attribute")
    return chosen


def groups_of(run: Run) -> list[Record]:
    """`name`, `class`, `attribute`, training rows and `rank` of each group: 0 for the largest of its class in training.

    Equally large: the first is the larger one.
    """
    groups, labels = run.metrics["groups"], run.metrics["labels"]
    A = math.prod(len(attribute["values"]) for attribute in labels["attributes"])
    found: list[Record] = [
        {"name": group["group"], "class": g // A, "attribute": g % A, "train": group["train"]}
        for g, group in enumerate(groups)
    ]
    for c in range(len(found) // A):
        own = sorted(found[c * A : (c + 1) * A], key=lambda group: -group["train"])
        for rank, group in enumerate(own):
            group["rank"] = rank
    return found


def pairs(groups: Sequence[Record]) -> list[tuple[int, int]]:
    """Of each class with several groups, the places of its largest and of its smallest group in training."""
    found = []
    for c in sorted({group["class"] for group in groups}):
        own = sorted((g for g, group in enumerate(groups) if group["class"] == c), key=lambda g: groups[g]["rank"])
        if len(own) > 1:
            found.append((own[0], own[-1]))
    return found


def begins(run: Run) -> int:
    """How many epochs come before the last stage."""
    stages = [line["stage"] for line in run.history]
    return sum(stage != stages[-1] for stage in stages)


def described(entry: Entry, epochs: Sequence[int]) -> Record:
    """What the record of every row begins with; `epochs` of each seed."""
    return {
        "label": entry.label,
        "method": entry.method,
        "seeds": len(epochs),
        "epochs": list(epochs),
        "begins": begins(entry.finished[0]),
        "train_accuracy": [train_accuracy(run) for run in entry.finished],
    }


def train_accuracy(run: Run) -> float | None:
    """Over the rows that were trained on in the last epoch; None where the method shows no logits for its rows."""
    seen = run.history[-1]["train"]
    if seen is None:
        return None
    known = [(a, n) for a, n in zip(seen["accuracy"], seen["count"], strict=True) if n]
    return sum(a * n for a, n in known) / sum(n for _, n in known) if known else None


def at(curves: Sequence[Curve], place: int) -> list[float | None]:
    """The value of each seed at an epoch (-1 is the last of each)."""
    return [curve[place] for curve in curves]


def known(values: Sequence[float | None]) -> list[float]:
    """Those that are defined."""
    return [value for value in values if value is not None]


def told(values: Sequence[float | None], digits: int = 3) -> str:
    """Mean ± sd over seeds."""
    return minus(with_sd(*mean_sd(values), digits))


def mean(values: Sequence[float | None]) -> float:
    """Over the seeds in which it is defined; NaN where it is in none."""
    return mean_sd(values)[0]


def minus(words: str) -> str:
    """With the sign of numbers in the place of hyphens before digits."""
    return words.replace("-", "−")


def number(value: float, digits: int = 3) -> str:
    """`−0.123`."""
    return minus(text(value, digits))


def by_seed(first: Sequence[float | None], second: Sequence[float | None]) -> list[float]:
    """First minus second in every seed in which both are defined."""
    return [a - b for a, b in zip(first, second, strict=False) if a is not None and b is not None]


def in_seeds(differences: Sequence[float], holds: Callable[[float], bool]) -> str:
    """`in 3 of 3 seeds`."""
    n = len(differences)
    return f"in {sum(holds(value) for value in differences)} of {n} seed{'' if n == 1 else 's'}"


def verdict(differences: Sequence[float], holds: Callable[[float], bool]) -> str:
    """Whether something holds of the differences of seeds: of their mean and of each."""
    if not differences:
        return "cannot be judged here"
    if not holds(mean(differences)):
        return f"this does not hold here ({in_seeds(differences, holds)})"
    if not all(holds(value) for value in differences):
        return f"this holds on average only ({in_seeds(differences, holds)})"
    return f"this holds here ({in_seeds(differences, holds)})"


def trained(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How far training went, as the paper's statements are of networks that are right on all training rows."""
    lines = []
    for row in rows:
        epochs = max(row["epochs"])
        accuracies = known(row["train_accuracy"])
        if accuracies:
            lines.append(
                f"{row['label']}: after {epochs} epoch{'s' * (epochs > 1)} {100 * mean(accuracies):.1f} % of the rows "
                "trained on are right as they go by; the paper trains to 100 %."
            )
    return lines
