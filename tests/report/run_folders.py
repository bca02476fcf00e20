"""Folders of runs as training leaves them, written in a moment from made-up curves."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evenhand import metrics

GROUPS = ("coat=black, light=day", "coat=black, light=night", "coat=white, light=day", "coat=white, light=night")
ROWS = (400, 120, 60, 380)
LEVEL = {"erm": (0.97, 0.80, 0.42, 0.96), "groupdro": (0.91, 0.86, 0.79, 0.90), "rwg": (0.92, 0.87, 0.74, 0.91)}


def run_folder(
    out: Path,
    method: str = "erm",
    seed: int = 0,
    *,
    groups: Sequence[str] = GROUPS,
    data: str = "cats",
    epochs: int = 5,
    tracked: bool = False,
    oracle: bool = False,
) -> Path:
    """One run of two classes by two attributes."""
    rng = random.Random(f"{method}{seed}")
    folder = out / f"{method}-seed{seed}-{rng.randrange(16**12):012x}"
    folder.mkdir(parents=True)
    levels = [min(level + rng.uniform(-0.01, 0.01), 1.0) for level in LEVEL.get(method, LEVEL["erm"])]
    by_epoch = [_counts([level * (0.6 + 0.4 * (epoch + 1) / epochs) for level in levels]) for epoch in range(epochs)]
    test = by_epoch[-1]
    _write(folder / "config.json", {
        "format": 1, "data": {"name": data, "fingerprint": "5eed" * 16},
        "method": {"name": method, "options": {"step_size": 0.01} if method == "groupdro" else {}},
        "settings": {"encoder": "mlp", "epochs": epochs, "lr": 0.001, "select": "worst_group", "threads": 1,
                     "seed": seed, "widths": None},
        "oracle": oracle,
    })  # fmt: skip
    history = [
        {"stage": 0, "epoch": epoch, "val": {"loss": [0.5] * 4, "accuracy": accuracies(counts), "count": list(ROWS)},
         "score": min(accuracies(counts)), "seconds": 1.5}
        for epoch, counts in enumerate(by_epoch)
    ]  # fmt: skip
    _write_lines(folder / "history.jsonl", history)
    figures = metrics.evaluate(test)
    worst = min(range(4), key=lambda g: accuracies(test)[g])
    _write(folder / "metrics.json", {
        "val": figures, "test": figures,
        "labels": {"label": "coat", "classes": ["black", "white"],
                   "attributes": [{"name": "light", "values": ["day", "night"]}]},
        "worst_group": {"group": groups[worst], "value": accuracies(test)[worst], "low": 0.3, "high": 0.6},
        "groups": [
            {"group": name, "train": 10 * rows, "val": rows, "test": rows, "accuracy": accuracy,
             "low": max(accuracy - 0.05, 0.0), "high": min(accuracy + 0.05, 1.0)}
            for name, rows, accuracy in zip(groups, ROWS, accuracies(test), strict=True)
        ],
        "unknown_groups": {}, "selection": {"rule": "worst_group", "epoch": epochs - 1, "score": 0.5},
        "oracle": {"epoch": epochs - 1, "test": figures} if oracle else None, "epochs": epochs, "seconds": 8.0,
        "environment": {"evenhand": "0.1.0", "device": "cpu"},
    })  # fmt: skip
    if oracle:
        lines = [{"stage": 0, "epoch": epoch, "counts": counts.to_list()} for epoch, counts in enumerate(by_epoch)]
        _write_lines(folder / "test_by_epoch.jsonl", lines)
    if tracked:
        _track(folder, groups, epochs)
    return folder


def comparison_folder(
    out: Path, methods: Sequence[str] = ("erm", "groupdro", "rwg"), seeds: int = 3, **options: Any
) -> Path:
    """Runs of several methods and seeds."""
    for method in methods:
        for seed in range(seeds):
            run_folder(out, method, seed, **options)
    return out


def accuracies(counts: metrics.Counts) -> list[float]:
    """Of each group, in the order of `y * A + a`."""
    nested = counts.to_list()
    return [nested[a][y][y] / sum(nested[a][y]) for y in range(2) for a in range(2)]


def _counts(levels: Sequence[float]) -> metrics.Counts:
    right = [round(level * rows) for level, rows in zip(levels, ROWS, strict=True)]
    cells = [[[0, 0], [0, 0]], [[0, 0], [0, 0]]]
    for y in range(2):
        for a in range(2):
            g = 2 * y + a
            cells[a][y][y], cells[a][y][1 - y] = right[g], ROWS[g] - right[g]
    return metrics.Counts.from_list(cells)


def _track(folder: Path, groups: Sequence[str], epochs: int) -> None:
    names = ("d_cls", "d_maj", "d_min", "w_sim", "nc1_cdnv", "nc2_structure_group_means", "nc3_product", "nc4_mismatch")
    lines = [
        {"stage": 0, "epoch": epoch, "parts": {
            part: {"scalars": {name: (epoch + place) / 20 for place, name in enumerate(names)} | {"nc5_cosine": None},
                   "classes": {}, "groups": {"variance": [1.0 + epoch, 2.0, None, 3.0]}}
            for part in ("train", "val")
        }}
        for epoch in range(epochs)
    ]  # fmt: skip
    _write_lines(folder / "collapse.jsonl", lines)
    vectors = [
        {"kind": "group_mean", "name": name, "class": g // 2, "attribute": g % 2, "count": ROWS[g],
         "xyz": [1.0 - g, 0.3 * g, 0.1 * g * g]}
        for g, name in enumerate(groups)
    ]  # fmt: skip
    vectors += [
        {"kind": "weight", "name": name, "class": y, "attribute": None, "count": 0, "xyz": [1.0 - 2 * y, 0.5, -0.2 * y]}
        for y, name in enumerate(("black", "white"))
    ]
    part = {"scalars": {}, "classes": {}, "groups": {}}
    _write(folder / "geometry.json", {"parts": {"val": part, "test": part}, "vectors": vectors, "explained": 0.93})


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def _write_lines(path: Path, lines: Sequence[Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
