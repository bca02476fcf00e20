"""Reproductions of tables from figures alone, for tests of what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

from evenhand.runs import Run
from evenhand.study.comparison import Comparison, Entry, Figure
from evenhand.study.papers import PaperTable, Row
from evenhand.study.reproduction import Reproduction

WGA = "worst_group_accuracy"


class Runs:
    """Makes reproductions of a table with one metric from figures alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entry(self, label: str, values: list[float], oracle: list[float]) -> Entry:
        made = []
        for seed, (value, leaked) in enumerate(zip(values, oracle, strict=True)):
            run = self.folder / f"{label}-{seed}"
            run.mkdir()
            groups = [{"group": "g", "train": 1, "val": 1, "test": 1000, "accuracy": value, "low": 0.0, "high": 1.0}]
            found = {"test": {WGA: value}, "oracle": {"test": {WGA: leaked}}, "groups": groups}
            (run / "metrics.json").write_text(json.dumps(found | {"selection": {"epoch": 0}, "seconds": 1.0}))
            made.append(Run(run))
        return Entry(label, "erm" if label == "ERM" else "rwg", {}, tuple(made))

    def reproduction(self, ours: dict[str, list[float]], paper: dict[str, Figure], gain: float = 0.0) -> Reproduction:
        entries = [self.entry(label, values, [v + gain for v in values]) for label, values in ours.items()]
        rows = tuple(
            Row(label, "rwg", {}, {WGA: paper[label]} if label in paper else {}) for label in ours
        )  # fmt: skip
        table = PaperTable("t", "T", "S", "d", "d", (WGA,), 3, {}, {"seeds": 2, "epochs": 1}, rows)
        n_seeds = len(next(iter(ours.values()), []))
        return Reproduction(table, Comparison("d", tuple(range(n_seeds)), tuple(entries)), "full", {})
