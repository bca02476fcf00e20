"""What `evenhand diagnose --json` found: the cause of a run's gap, and what it was told from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenhand.plots import bars
from evenhand.report.blocks import Block, Cell, Section, Table, Text
from evenhand.report.found import Found
from evenhand.report.pieces import MISSING, charted, count

Record = Mapping[str, Any]

HEIGHT_OF_GROUP, HEIGHT_OF_AXES = 46, 110  # CSS pixels


def sections(found: Found) -> list[Section]:
    """A section for each diagnosis."""
    several = len(found.diagnoses) > 1
    made = []
    for number, (path, record) in enumerate(found.diagnoses, 1):
        of = f" of {Path(str(record.get('run', path.stem))).name}" if several else ""
        made.append(Section(f"diagnosis-{number}" if several else "diagnosis", f"Why{of}", tuple(_blocks(record))))
    return made


def _blocks(record: Record) -> list[Block]:
    groups = sorted(record["groups"], key=lambda group: (group["accuracy"] is None, group["accuracy"]))
    worst = next(group for group in record["groups"] if group["group"] == record["worst_group"])
    made: list[Block] = [Text((heading(record["verdict"]),), "lead"), Text(tuple(sentences(record, worst)))]
    if record["verdict"]["asked"]:
        made += [evidence(record["verdict"], worst["name"]), Text((SETTLED,), "note")]
    made += [_chart(groups), Text((REFITS,), "note"), representation(groups), Text((_cosines(record), PROBES), "note")]
    if record["attributes"]:
        made += [attributes(record["attributes"]), Text((LINEAR,), "note")]
    return made


SETTLED = "A figure whose interval contains its threshold settles nothing."
REFITS = (
    "Refits: the last layer alone, with equal weight on every group, judged on validation rows that did not fit it. "
    "Detectable: the smallest gap to all others that so many validation rows show four times in five."
)
PROBES = (
    "AUC: of the group against other classes with its attribute. Neighbours: the 20 nearest training rows, every group "
    "with the same weight; suspect are labels that four fifths of this weight contradict."
)
LINEAR = "A linear probe fitted on training rows, judged on validation rows: 0.5 tells nothing, 1 everything."


def heading(verdict: Record) -> str:
    """The cause in words: `Classifier, surely: the features …`."""
    sentence = str(verdict["sentence"])
    if verdict["cause"] == "nothing":
        return f"{sentence[:1].upper()}{sentence[1:]}."
    sure = "sure" if verdict["sure"] else "likely"
    return f"Cause: {verdict['cause']} ({sure}). {sentence[:1].upper()}{sentence[1:]}."


def sentences(record: Record, worst: Record) -> list[str]:
    """What follows from the verdict."""
    verdict, lines = record["verdict"], []
    if verdict["doubts"]:
        few = f"With {worst['val']} validation rows of {worst['name']}, it may change."
        lines.append(f"Not settled by its interval: {'; '.join(verdict['doubts'])}. {few}")
    if verdict["cause"] == "nothing" and worst["detectable"] is not None:
        usual = f"{100 * worst['detectable']:.2f} points"
        lines.append(f"With {worst['val']} validation rows, {worst['name']} would usually show gaps above {usual}.")
    needed = record.get("rows_needed")
    if needed and needed > worst["val"]:
        lines.append(f"To show a gap like the observed one usually, {needed} rows of it would be needed.")
    lines.append(str(verdict["advice"]))
    if verdict["methods"]:
        lines.append(f"Methods that address it: {', '.join(verdict['methods'])}.")
    lines.append("Only training and validation rows were looked at.")
    return lines


def evidence(verdict: Record, group: str) -> Table:
    """What was asked in the order of the questions, and what each answer was."""
    rows = tuple(
        (
            Cell(asked["name"]),
            _figure(asked["value"]),
            _interval(asked),
            Cell(f"{asked['threshold']:.2f}", asked["threshold"]),
            Cell(f"{'above' if asked['above'] else 'not above'}{'' if asked['decided'] else ', not settled'}"),
        )
        for asked in verdict["asked"]
    )
    columns = ("question", "value", "95 % interval", "threshold", "answer")
    return Table(f"Evidence on {group}", columns, rows, (False, True, True, True, False))


def _chart(groups: list[Record]) -> Block:
    names = [group["name"] for group in groups]
    shown = {
        "as trained": "accuracy",
        "refitted on validation": "refit_val",
        "refitted on training rows": "refit_train",
    }
    series = {title: [group[key] for group in groups] for title, key in shown.items()}
    ends = ([group["low"] for group in groups], [group["high"] for group in groups])
    figure = bars(
        series, names, intervals={"as trained": ends}, horizontal=True, x_title="accuracy on validation",
        xaxis_range=[0, 1.02], xaxis_tickformat=".0%",
    )  # fmt: skip
    figure.update_layout(yaxis_autorange="reversed", legend_y=-0.28)  # the worst on top
    alt = (
        f"Accuracy of {len(names)} groups on validation rows, as trained and after two refits of the last layer; worst "
        f"is {groups[0]['name']}."
    )
    height = HEIGHT_OF_AXES + HEIGHT_OF_GROUP * len(names) + 40
    return charted("Accuracy of each group before and after refits", figure, alt, outcomes(groups), height)


def outcomes(groups: list[Record]) -> Table:
    """Accuracy of each group before and after refits."""
    rows = tuple(
        (
            Cell(group["name"]), count(group["train"]), count(group["val"]), _percent(group["seen"]),
            Cell(_percent(group["accuracy"]).text, group["accuracy"], "", group["low"], group["high"]),
            *(_percent(group[key]) for key in ("refit_val", "refit_train", "detectable")),
        )
        for group in groups
    )  # fmt: skip
    columns = (
        "group", "train rows", "val", "acc. on train, %", "on val, %", "refit on val", "refit on train",
        "detectable gap",
    )  # fmt: skip
    return Table("Accuracy of each group, %", columns, rows, (False, *[True] * 7))


def representation(groups: list[Record]) -> Table:
    """What the features tell of the classes in each group."""
    rows = tuple(
        (Cell(group["name"]), _figure(group["told_apart"]), *map(_percent, (group[key] for key in KEYS)))
        for group in groups
    )
    columns = ("group", "AUC", "nearest class mean, %", "neighbours agree, %", "suspect labels, %")
    return Table("Classes in the features of each group", columns, rows, (False, *[True] * 4))


KEYS = ("nearest", "agreement", "suspect")


def _cosines(record: Record) -> str:
    largest, smallest = (_figure(record[key]).text for key in ("majority_cosine", "minority_cosine"))
    return (
        f"Cosine of class means: {largest} between the largest groups, {smallest} between the smallest (small is well "
        "separated)."
    )


def attributes(probes: list[Record]) -> Table:
    """How well attributes are told from features and from inputs."""
    rows = tuple(
        (
            Cell(f"{probe['attribute']}={probe['value']}"), Cell(probe["source"]),
            Cell(_figure(probe["auc"]).text, probe["auc"], "", probe["low"], probe["high"]), _interval(probe),
        )
        for probe in probes
    )  # fmt: skip
    columns = ("attribute", "from", "AUC", "95 % interval")
    return Table("What the features tell of the attributes", columns, rows, (False, False, True, True))


def _figure(value: float | None) -> Cell:
    return Cell(MISSING if value is None else f"{value:.3f}", value)


def _percent(value: float | None) -> Cell:
    return Cell(MISSING if value is None else f"{100 * value:.2f}", value)


def _interval(figure: Record) -> Cell:
    low, high = figure["low"], figure["high"]
    return Cell(MISSING if low is None or high is None else f"{low:.3f} to {high:.3f}", low)
