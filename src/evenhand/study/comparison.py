"""What finished runs say when they are put side by side: figures over seeds, differences, and what is mere noise."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from evenhand import metrics
from evenhand.runs import Run
from evenhand.study.measures import MEASURES

MAIN = "worst_group_accuracy"
CONFIDENCE = 0.95

Source = Literal["test", "val", "oracle"]


@dataclass(frozen=True)
class Figure:
    """A share in [0, 1] (or seconds) with its standard deviation over seeds; None where there is none."""

    mean: float
    sd: float | None

    @classmethod
    def over(cls, values: Sequence[float]) -> Figure:
        """Mean and sd (n − 1) of the defined values."""
        mean, sd = metrics.mean_sd(values)
        return cls(mean, None if math.isnan(sd) else sd)


@dataclass(frozen=True)
class Entry:
    """One row of a comparison: a method with its options, and its run for each seed (None where there is none).

    Attributes:
        extra: figures that follow from more than the run itself, by metric and seed; of the test split.
    """

    label: str
    method: str
    options: dict[str, Any]
    runs: tuple[Run | None, ...]
    extra: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def values(self, metric: str, source: Source = "test") -> list[float]:
        """The metric for each seed, in [0, 1]; NaN where there is no run or it is undefined."""
        if metric in self.extra and source == "test":
            return list(self.extra[metric])
        return [math.nan if run is None else _value(run, metric, source) for run in self.runs]

    @property
    def finished(self) -> list[Run]:
        """The runs that there are."""
        return [run for run in self.runs if run is not None]


@dataclass(frozen=True)
class Failure:
    """A run that there is no result of."""

    label: str
    seed: int
    reason: str


@dataclass(frozen=True)
class WorstGroup:
    """The worst test group of a method's runs together.

    `accuracy` is the smallest mean over seeds; `low`, `high` its 95 % interval, which accounts for taking the minimum
    over groups. It is of a classifier that picks one of the seeds at random, and says how much the test rows matter.
    """

    group: str
    count: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Several methods on the same data over the same seeds, every figure from their run folders."""

    data: str
    seeds: tuple[int, ...]
    entries: tuple[Entry, ...]
    failures: tuple[Failure, ...] = ()
    reference_label: str = ""

    @cached_property
    def shown(self) -> list[Entry]:
        """The entries with at least one finished run."""
        return [entry for entry in self.entries if entry.finished]

    @cached_property
    def metric_names(self) -> list[str]:
        """The names of all metrics that the runs have."""
        found = {name for entry in self.shown for run in entry.finished for name in run.metrics["test"]}
        found |= {name for entry in self.shown for name in entry.extra}
        return [name for name in MEASURES if name in found]

    @property
    def reference(self) -> str:
        """What the others are compared with: what was asked for, else erm, else the first entry."""
        wanted = [entry.label for entry in self.shown if entry.label == self.reference_label]
        erm = [entry.label for entry in self.shown if entry.method == "erm"]
        return [*wanted, *erm, self.shown[0].label][0]

    @property
    def can_infer(self) -> bool:
        """Whether there are enough seeds and methods to tell differences from noise."""
        return len(self.seeds) > 1 and len(self.shown) > 1

    def values(self, metric: str = MAIN) -> dict[str, list[float]]:
        """The metric by entry and seed."""
        return {entry.label: entry.values(metric) for entry in self.shown}

    def differences(self, metric: str = MAIN) -> list[metrics.Difference]:
        """Each entry minus the reference, paired by seed, Holm-corrected; empty where nothing can be inferred."""
        return metrics.paired_differences(self.values(metric), self.reference, CONFIDENCE) if self.can_infer else []

    def best(self, metric: str = MAIN) -> set[str]:
        """The entries that cannot be told from the best; empty where nothing can be inferred."""
        if not self.can_infer:
            return set()
        return metrics.winners(self.values(metric), MEASURES[metric].higher_is_better, CONFIDENCE)

    def groups(self) -> list[dict[str, Any]]:
        """Name and number of rows of every group in each split."""
        if not self.shown:
            return []
        groups = self.shown[0].finished[0].metrics["groups"]
        return [{key: group[key] for key in ("group", "train", "val", "test")} for group in groups]

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            "kind": "comparison",
            "data": self.data,
            "seeds": list(self.seeds),
            "rows": [self._row(entry) for entry in self.shown],
            "groups": self.groups(),
            "reference": self.reference if self.shown else None,
            "differences": [d._asdict() for d in self.differences()],
            "best": {name: sorted(self.best(name)) for name in self.metric_names},
            "failures": [asdict(failure) for failure in self.failures],
        }

    def _row(self, entry: Entry) -> dict[str, Any]:
        return {
            "method": entry.method,
            "label": entry.label,
            "options": entry.options,
            "metrics": summary(entry, self.metric_names),
            "worst_group": asdict(worst_group(entry)),
            "runs": [None if run is None else run.folder.name for run in entry.runs],
            "selected_epochs": [None if run is None else run.metrics["selection"]["epoch"] for run in entry.runs],
            "seconds": [None if run is None else run.metrics["seconds"] for run in entry.runs],
        }


def summary(entry: Entry, names: Sequence[str], source: Source = "test") -> dict[str, dict[str, Any]]:
    """Mean, standard deviation and values over seeds of each metric."""
    return {name: summarised(entry.values(name, source)) for name in names}


def summarised(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation and the values themselves."""
    mean, sd = metrics.mean_sd(values)
    return {"mean": mean, "sd": sd, "values": list(values)}


def worst_group(entry: Entry) -> WorstGroup:
    """The group that an entry serves worst, by its mean accuracy over seeds."""
    groups = [run.metrics["groups"] for run in entry.finished]
    count_G = np.array([group["test"] for group in groups[0]])
    accuracy_SG = np.array([[_number(group["accuracy"]) for group in run] for run in groups])
    mean_G = np.where(count_G > 0, np.nan_to_num(accuracy_SG.mean(axis=0)), np.inf)
    # An interval is of whole rows; which group is the worst is not, or rounding would choose among small ones.
    correct_G = np.rint(np.where(count_G > 0, mean_G, 0) * count_G).astype(np.int64)
    worst = metrics.worst_group(correct_G, count_G, CONFIDENCE)
    if worst.group is None:
        return WorstGroup("", 0, math.nan, 0.0, 1.0)
    least = int(mean_G.argmin())
    return WorstGroup(groups[0][least]["group"], int(count_G[least]), float(mean_G[least]), worst.low, worst.high)


def variants(found: Sequence[Run]) -> tuple[tuple[int, ...], tuple[Entry, ...]]:
    """The seeds of these runs, and an entry for each method and configuration among them: erm first, then by name."""
    by_variant: dict[str, dict[int, Run]] = {}
    for run in found:
        by_variant.setdefault(str(_variant(run)), {})[run.config["settings"]["seed"]] = run
    seeds = tuple(sorted({seed for by_seed in by_variant.values() for seed in by_seed}))
    firsts = {key: next(iter(by_seed.values())) for key, by_seed in by_variant.items()}
    labels = _labels(firsts)
    entries = [
        Entry(labels[key], first.config["method"]["name"], first.config["method"]["options"],
              tuple(by_variant[key].get(seed) for seed in seeds))
        for key, first in firsts.items()
    ]  # fmt: skip
    return seeds, tuple(sorted(entries, key=lambda entry: (entry.method != "erm", entry.label)))


def _variant(run: Run) -> dict[str, Any]:
    """What makes two runs the same but for the seed, flat."""
    config = run.config
    settings = {key: value for key, value in config["settings"].items() if key != "seed"}
    return {"method": config["method"]["name"], **config["method"]["options"], **settings, "oracle": config["oracle"]}


def _labels(firsts: dict[str, Run]) -> dict[str, str]:
    """The method's name, with the options and settings in which it differs from other variants of the same method."""
    described = {key: _variant(run) for key, run in firsts.items()}
    common = Counter(variant["method"] for variant in described.values())
    labels = {}
    for key, mine in described.items():
        others = [other for other in described.values() if other["method"] == mine["method"]]
        differs = [name for name in mine if any(other.get(name) != mine[name] for other in others)]
        extra = ", ".join(f"{name}={mine[name]}" for name in differs) if common[mine["method"]] > 1 else ""
        labels[key] = f"{mine['method']} ({extra})" if extra else mine["method"]
    return labels


def _value(run: Run, metric: str, source: Source) -> float:
    if metric == "training_seconds":
        return math.nan if source == "oracle" else float(sum(epoch["seconds"] for epoch in run.history))
    figures = run.metrics["oracle"]["test"] if source == "oracle" else run.metrics[source]
    return _number(figures.get(metric))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
