"""An explanation as tables of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evenhand.explanations.energy import OVERALL
from evenhand.projection import NAMES
from evenhand.study.tables import Table, percent, signed

Record = Mapping[str, Any]
MOST_WORDS = 6  # of a row of the table of examples
TITLES = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "ablation": "Ablation-CAM",
    "hires": "HiResCAM",
    "layer": "LayerCAM",
}


def tables(record: Record) -> list[Table]:
    """Energies where masks were known, then the examples, and the strength of columns."""
    found = []
    if record.get("energy"):
        found.append(energies(record))
        if record["energy"]["differences"]:
            found.append(differences(record))
    found.append(examples(record))
    if record.get("projection"):
        found.append(planes(record))
    return [*found, strengths(record)] if "columns" in record else found


def planes(record: Record) -> Table:
    """What a projection says in numbers, for each run and epoch."""
    found = record["projection"]
    rows = tuple(
        (
            named(each["run"], record), each["epoch"], percent(each["purity_class"]),
            *([percent(each["purity_group"])] if found["groups"] else []), f"{each['trust']:.2f}",
        )
        for each in found["panels"]
    )  # fmt: skip
    notes = (
        f"{NAMES[found['kind']]} of {len(found['panels'][0]['x'])} rows of {record['split']}; `evenhand report` draws "
        "it. Purity: the share of a row's 10 nearest neighbours among the features that are of its own class or group. "
        "Trustworthiness: how far neighbours on the plane are neighbours among the features, 1 is all of them.",
    )
    groups = ("purity of groups, %",) if found["groups"] else ()
    columns = ("run", "epoch", "purity of classes, %", *groups, "trustworthiness")
    return Table("Features on a plane", columns, rows, notes, text_columns=(0, 1))


def energies(record: Record) -> Table:
    """The mean energy inside the object for each run, kind and group."""
    means = record["energy"]["means"]
    groups = ordered([*record["groups"], OVERALL], means)
    at = {(each["run"], each["kind"], each["group"]): each for each in means}
    rows = [
        (f"{titled(kind)}, {named(run, record)}", *(_with_interval(at.get((run, kind, group))) for group in groups))
        for kind in record["kinds"]
        for run in runs(record)
    ]
    chance = {each["group"]: each["chance"] for each in means}
    rows.append(("the same everywhere", *(percent(chance[group]) for group in groups)))
    n_empty = sum(each["empty"] for each in means if each["group"] == OVERALL)
    notes = [
        f"Over {record['energy']['rows']} rows of {record['split']}; 95 % intervals by bootstrap over rows within each "
        "group. A map that is the same everywhere has the object's share of the image."
    ]
    if n_empty:
        notes.append(f"{n_empty} maps without any evidence for their class are left out.")
    if record["energy"]["without_mask"]:
        notes.append(f"{record['energy']['without_mask']} rows have no mask and are left out.")
    return Table("Share of a map's energy on the object, %", ("map", *groups), tuple(rows), tuple(notes))


def differences(record: Record) -> Table:
    """What the run has more than the other one, kind by kind."""
    found = record["energy"]["differences"]
    groups = ordered([*record["groups"], OVERALL], found)
    at = {(each["kind"], each["group"]): each for each in found}
    rows = [(titled(kind), *(_signed_interval(at.get((kind, group))) for group in groups)) for kind in record["kinds"]]
    note = "Paired by row; 95 % intervals by bootstrap over rows, which do not cover the noise of training."
    first, second = (named(record[which], record) for which in ("run", "against"))
    title = f"Energy on the object of {first} minus that of {second}, percentage points"
    return Table(title, ("map", *groups), tuple(rows), (note,))


def examples(record: Record) -> Table:
    """The rows that were chosen, and what was predicted of them."""
    against = record["against"] is not None
    words = _words(record)
    rows = [
        (
            each["group"], each["reason"], str(each["row"]), each["label"], each["prediction"],
            *([each["against_prediction"]] if against else []), *([words[each["row"]]] if words else []),
        )
        for each in record["examples"]
    ]  # fmt: skip
    columns = ("group", "chosen as", "row", "label", "prediction", *["of the other run"] * against)
    most = ("strongest columns",) if "columns" in record else ("strongest words",)
    columns = (*columns, *most) if words else columns
    text = tuple(number for number in range(len(columns)) if number != 2)
    target = "label" if record["target"] == "label" else "prediction"
    title = f"Examples of {record['split']}, explained for their {target}"
    return Table(title, columns, tuple(rows), text_columns=text)


def strengths(record: Record) -> Table:
    """The mean absolute score of the columns that matter most, by group."""
    own = record["columns"][record["run"]]
    by_group = {group: values for group, values in own["mean_by_group"].items() if values and values[0] is not None}
    total = [sum(values[f] or 0 for values in by_group.values()) for f in range(len(own["names"]))]
    order = sorted(range(len(total)), key=lambda f: -total[f])[:12]
    rows = [(own["names"][f], *(f"{values[f]:.3f}" for values in by_group.values())) for f in order]
    note = f"Mean absolute addition to the logit over {own['mean_rows']} rows of {record['split']}."
    return Table(f"Strength of columns for {named(record['run'], record)}", ("column", *by_group), tuple(rows), (note,))


def runs(record: Record) -> list[str]:
    """The run, and the other one where there is one."""
    return [record["run"], *([record["against"]] if record["against"] else [])]


def named(run: str, record: Record) -> str:
    """A run by its method, or by its folder where both runs are of one method."""
    methods = record["method"]
    return str(methods.get(run, run)) if len(set(methods.values())) == len(methods) else run


def titled(kind: str) -> str:
    """A kind of map as papers call it."""
    return TITLES.get(kind, kind)


def ordered(groups: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those of the groups that there are rows of."""
    there = {row["group"] for row in rows}
    return [group for group in groups if group in there]


def _words(record: Record) -> dict[int, str]:
    """What adds most to, or takes most from, the logit of the run, by row."""
    if "tokens" in record:
        parts = [(each["row"], each["words"], each["scores"]) for each in record["tokens"][record["run"]]]
    elif "columns" in record:
        own = record["columns"][record["run"]]
        parts = [(row, own["names"], scores) for row, scores in zip(own["rows"], own["scores"], strict=True)]
    else:
        return {}
    found = {}
    for row, names, scores in parts:
        order = sorted(range(len(names)), key=lambda k: -abs(scores[k]))[:MOST_WORDS]
        found[row] = ", ".join(f"{names[k]} " + f"{scores[k]:+.2f}".replace("-", "−") for k in order)
    return found


def _with_interval(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "–"
    return f"{percent(cell['value'])} {_interval(cell, percent)}"


def _signed_interval(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "–"
    return f"{signed(cell['value'])} {_interval(cell, signed)}"


def _interval(cell: Mapping[str, Any], written: Any) -> str:
    low, high = cell["low"], cell["high"]
    if low is None or high is None:
        return "[–]"
    return f"[{written(low)}, {written(high)}]"
