"""Sizes of data sets, of their groups, and shares of positives, counted in the data and beside a paper's table.

Mouheb, Elbatel, Klein and Bron (2024), Evaluating the fairness of neural collapse in medical image classification,
Table 1. Nothing is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from evenhand.study.figures._medical import Record
from evenhand.study.reproduction import Reproduction, StudyReproduction
from evenhand.study.tables import Table

if TYPE_CHECKING:
    import plotly.graph_objects as go

PARTS = ("train", "val", "test")
NEAR = 0.01  # of a share: nearer than that to the paper's it is the same


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> Record:
    """Rows, positives and groups of each data set and attribute; positive is class 1.

    Settings: `paper`, by the label of a part: `samples`, `positives`, `splits` (shares of train, val, test), and by
    group `share` and `positive` (rate), shares in percent; what is left out is not printed there. A `note` is said
    where groups differ.
    """
    return {"parts": [_counted(part, settings.get("paper", {}).get(part.table.part, {})) for part in found.parts]}


def _counted(part: Reproduction, paper: Mapping[str, Any]) -> Record:
    labels = part.counts["labels"]
    values = [" ".join(names) for names in product(*(each["values"] for each in labels["attributes"]))]
    count_PCA = np.array([part.counts[name] for name in PARTS]).reshape(len(PARTS), len(labels["classes"]), len(values))
    count_CA = count_PCA.sum(0)
    attribute = " × ".join(each["name"] for each in labels["attributes"])
    own = part.comparable
    record: Record = {
        "name": part.table.part if own else f"{part.comparison.data}, {attribute}",
        "positive": labels["classes"][1],
        "samples": int(count_CA.sum()),
        "positives": int(count_CA[1].sum()),
        "splits": (count_PCA.sum((1, 2)) / count_CA.sum()).tolist(),
        "groups": [
            {
                "group": value or "all",
                "samples": int(count_CA[:, a].sum()),
                "share": float(count_CA[:, a].sum() / count_CA.sum()),
                "positive": float(count_CA[1, a] / max(1, count_CA[:, a].sum())),
            }
            for a, value in enumerate(values)
        ],
    }
    if own and paper:
        record["paper"] = {
            **{name: paper[name] for name in ("samples", "positives", "note") if name in paper},
            **{
                name: [value / 100 for value in paper[name]]
                for name in ("splits", "share", "positive")
                if name in paper
            },
        }
    return record


def drawn(record: Record) -> dict[str, go.Figure]:
    """Shares of positives in each group, here and in the paper."""
    from evenhand.plots import bars

    names, here, paper = [], [], []
    for part in record["parts"]:
        for a, group in enumerate(part["groups"]):
            names.append(f"{part['name']}: {group['group']}")
            here.append(100 * group["positive"])
            printed = part.get("paper", {}).get("positive")
            paper.append(None if printed is None else 100 * printed[a])
    series = {"here": here} | ({"paper": paper} if any(value is not None for value in paper) else {})
    figure = bars(series, names, y_title="share of positives, %")
    figure.update_xaxes(showgrid=False)
    return {"": figure}


def tables(record: Record) -> list[Table]:
    """Two tables: of data sets, and of their groups."""
    sizes, groups = [], []
    for part in record["parts"]:
        paper = part.get("paper", {})
        printed = f"{paper['samples']} ({paper['positives']})" if "samples" in paper else "–"
        sizes.append((
            part["name"], f"{part['samples']} ({part['positives']})", printed, _shares(part["splits"]),
            _shares(paper.get("splits")),
        ))  # fmt: skip
        for a, group in enumerate(part["groups"]):
            groups.append((
                part["name"], group["group"], str(group["samples"]), _percent(group["share"]),
                _percent(_at(paper, "share", a)), _percent(group["positive"]), _percent(_at(paper, "positive", a)),
            ))  # fmt: skip
    of_sizes = ("data", "samples (positive)", "paper", "train-val-test, %", "paper")
    of_groups = ("data", "group", "samples", "share, %", "paper", "positive, %", "paper")
    positive = "; ".join(f"{part['name']}: {part['positive']}" for part in record["parts"])
    return [
        Table("Data sets", of_sizes, tuple(sizes), (f"Positive is {positive}.",)),
        Table("Their groups", of_groups, tuple(groups), text_columns=(0, 1)),
    ]


def findings(record: Record) -> list[str]:
    """Where the data are those of the paper's table and where they are not."""
    lines = []
    for part in record["parts"]:
        paper = part.get("paper")
        if not paper:
            continue
        same = (part["samples"], part["positives"]) == (paper.get("samples"), paper.get("positives"))
        apart = [
            f"{group['group']} ({_percent(group[key])} % here, {_percent(printed)} % there)"
            for key in ("share", "positive")
            for a, group in enumerate(part["groups"])
            if (printed := _at(paper, key, a)) is not None and abs(group[key] - printed) >= NEAR
        ]
        size = "as many samples and positives as" if same else (
            f"{part['samples']} samples with {part['positives']} positives, not {paper.get('samples')} with "
            f"{paper.get('positives')} as"
        )  # fmt: skip
        shares = (
            f"groups differ by a point or more: {'; '.join(apart)}" if apart else "shares of groups are the paper's"
        )
        note = f" {paper['note']}" if apart and "note" in paper else ""
        lines.append(f"{part['name']}: {size} in the paper; {shares}.{note}")
    return lines


def _at(paper: Mapping[str, Any], key: str, place: int) -> float | None:
    values = paper.get(key, [])
    return float(values[place]) if place < len(values) else None


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _shares(values: list[float] | None) -> str:
    return "–" if values is None else "-".join(f"{100 * value:.0f}" for value in values)
