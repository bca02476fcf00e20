"""What classes and attributes of a run folder are called: its predictions hold indices, its metrics the names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any


def read(run: Path, attributes: Sequence[str]) -> tuple[list[str], dict[str, dict[int, str]]]:
    """Names of the classes (`income=>50K`), and per attribute column index → name; nothing where they are unclear.

    Runs hold them as `labels`. Older ones have only groups, by index with the last attribute changing fastest, each as
    `label=name, attribute=name, …`.
    """
    try:
        metrics = json.loads((run / "metrics.json").read_text())
        if "labels" in metrics:
            return _stored(metrics["labels"], attributes)
        groups = [group["group"] for group in metrics["groups"]]
        parts = [group.split(", ") for group in groups]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [], {}
    if not parts or any(len(part) != 1 + len(attributes) for part in parts):
        return [], {}
    classes, *named = (list(dict.fromkeys(column)) for column in zip(*parts, strict=True))
    if prod(map(len, [classes, *named])) != len(groups):
        return [], {}
    texts = [[name.partition("=")[2] for name in names] for names in named]
    if not all(all(names) for names in texts):
        return [], {}
    return classes, {column: dict(enumerate(names)) for column, names in zip(attributes, texts, strict=True)}


def _stored(labels: Any, attributes: Sequence[str]) -> tuple[list[str], dict[str, dict[int, str]]]:
    classes = [f"{labels['label']}={name}" for name in labels["classes"]]
    values = [[str(value) for value in each["values"]] for each in labels["attributes"]]
    if len(values) != len(attributes):
        return classes, {}
    return classes, {column: dict(enumerate(names)) for column, names in zip(attributes, values, strict=True)}
