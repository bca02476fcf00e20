"""Cosines of means and classifier vectors by epoch, and the variance within groups, of test features.

Lu, Chai and Wang (2024), Neural collapse-inspired debiased representation learning for min-max fairness, Figures 1, 2,
3 (plain training), 5 (min-max fairness) and 9 (their method).
"""

from __future__ import annotations

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
    in_seeds,
    mean,
    number,
    told,
    trained,
    verdict,
)
from evenhand.study.reproduction import StudyReproduction
from evenhand.study.tables import Table

if TYPE_CHECKING:
    import plotly.graph_objects as go

PART = "test"
MEASURES = ("w_sim", "d_cls", "d_maj", "d_min")
NEAR = 0.1  # cosines that are no further apart are called near


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> Record:
    """Of each row and seed, by epoch: the cosines, and the variance of each group, of test features.

    Settings: `row`, by default ERM; `beside`, another row to compare it with, and `beside_measures`, which of its
    cosines are drawn; `claims`, which of the paper's statements are looked at: `collapse`, `minmax` or `debias`.
    """
    labels = [settings.get("row", "ERM"), *([settings["beside"]] if "beside" in settings else [])]
    chosen = entries(found, labels)
    return {
        "part": PART,
        "data": found.parts[0].comparison.data,
        "claims": settings["claims"],
        "variance": "beside" not in settings,
        "beside_measures": list(settings.get("beside_measures", MEASURES)),
        "groups": groups_of(chosen[0].finished[0]),
        "classes": chosen[0].finished[0].metrics["labels"]["classes"],
        "rows": [_row(entry) for entry in chosen],
    }


def _row(entry: Entry) -> Record:
    parts = [_tracked(run) for run in entry.finished]
    return {
        **described(entry, [len(part) for part in parts]),
        "cosines": {name: [[each["scalars"].get(name) for each in part] for part in parts] for name in MEASURES},
        "variance": _of_groups(parts, "variance"),
        "variance_share": _of_groups(parts, "variance_share"),
    }


def _tracked(run: Run) -> list[Record]:
    """What was tracked of the test part, by epoch."""
    found = [line["parts"][PART] for line in run.collapse if line["parts"].get(PART)]
    if not found:
        raise BadInput(f"{run.folder} has no collapse.jsonl with the {PART} part: it was not trained with tracking")
    return found


def _of_groups(parts: Sequence[Sequence[Record]], column: str) -> list[list[Curve]]:
    """By group, seed and epoch."""
    n_groups = len(parts[0][0]["groups"][column])
    return [[[each["groups"][column][g] for each in part] for part in parts] for g in range(n_groups)]


def drawn(record: Record) -> dict[str, go.Figure]:
    """`cosines`, and of a single row also `variance`."""
    from evenhand.plots.geometry import cosines, group_curves

    first, *others = record["rows"]
    curves = {first["label"]: first["cosines"]}
    for other in others:
        curves[other["label"]] = {name: other["cosines"][name] for name in record["beside_measures"]}
    names = " and ".join(row["label"] for row in record["rows"])
    panels = {"cosines": cosines(curves, begins=first["begins"], title=f"{names} on {record['data']}, test features")}
    if record["variance"]:
        panels["variance"] = group_curves(
            first["variance"], record["groups"], begins=first["begins"],
            title=f"{names} on {record['data']}, test features", y_title="variance within the group",
        )  # fmt: skip
    return panels


def tables(record: Record) -> list[Table]:
    """Cosines, and variances of groups, at the first and at the last epoch."""
    cosines = [
        (row["label"], name, told(at(row["cosines"][name], 0)), told(at(row["cosines"][name], -1)))
        for row in record["rows"]
        for name in MEASURES
    ]
    note = (
        "Cosines of means as they are, without a centre (of more than two classes the mean over pairs): w_sim of the "
        "classifier's vectors, d_cls of class means, d_maj and d_min of the means of each class's largest and smallest "
        "group in training. Mean ± sd over seeds."
    )
    columns = ("method", "cosine", "first epoch", "last epoch")
    found = [Table(f"Cosine similarities on {PART} by epoch", columns, tuple(cosines), (note,), text_columns=(0, 1))]
    if record["variance"]:
        found.append(_variances(record))
    return found


def _variances(record: Record) -> Table:
    row = record["rows"][0]
    lines = []
    for group, values, shares in zip(record["groups"], row["variance"], row["variance_share"], strict=True):
        cells = (told(at(of, place)) for of in (values, shares) for place in (0, -1))
        lines.append((group["name"], str(group["train"]), *cells))
    note = (
        "Trace of the covariance of a group's features (divided by its rows), in squared units of the features, which "
        "may grow in training; share: of that of all rows together, without a unit (both divided by one row less), as "
        "the authors' code plots it."
    )
    columns = ("group", "train rows", "first epoch", "last epoch", "share, first", "share, last")
    return Table(f"Variance within groups of {row['label']} on {PART}", columns, tuple(lines), (note,))


def findings(record: Record) -> list[str]:
    """Whether what the paper says of its figure holds here."""
    claims = {"collapse": _collapse, "minmax": _minmax, "debias": _debias}[record["claims"]]
    return [*trained(record["rows"]), *claims(record)]


def _collapse(record: Record) -> list[str]:
    """Section 3.2.1: what becomes of features and classifier in plain training."""
    row = record["rows"][0]
    cosines = row["cosines"]
    first, last = ({name: at(cosines[name], place) for name in MEASURES} for place in (0, -1))
    falling = [name for name in MEASURES if mean(last[name]) < mean(first[name])]
    limit = -1 / (len(record["classes"]) - 1)
    near = abs(mean(last["w_sim"]) - limit) <= NEAR
    apart = by_seed(last["w_sim"], last["d_cls"])
    return [
        _variance_falls(record),
        f"The paper sees all four cosines fall; from the first to the last epoch {_counted(falling)} here.",
        f"w_sim goes from {number(mean(first['w_sim']))} to {told(last['w_sim'])}, where vectors as far apart as can "
        f"be have {number(limit)}: "
        + ("it comes near, as in the paper." if near else "it does not come near in so many epochs."),
        f"w_sim ends {number(abs(mean(apart)))} {'below' if mean(apart) < 0 else 'above'} d_cls "
        f"({told(last['d_cls'])}); in the paper it is much smaller: {verdict(apart, lambda gap: gap < -NEAR)}.",
        *_majority_lower(row),
    ]


def _variance_falls(record: Record) -> str:
    row, lines = record["rows"][0], []
    fell = {"variance": 0, "variance_share": 0}
    for group, values in zip(record["groups"], row["variance"], strict=True):
        start, end = mean(at(values, 0)), mean(at(values, -1))
        fell["variance"] += end < start
        lines.append(f"{group['name']} {number(start)} → {number(end)}")
    fell["variance_share"] = sum(mean(at(of, -1)) < mean(at(of, 0)) for of in row["variance_share"])
    n = len(lines)
    holds = {n: "this holds here", 0: "this does not hold here"}.get(
        fell["variance"], f"here in {fell['variance']} of {n} groups"
    )
    return (
        f"Variance within groups falls as training goes on, says the paper: {holds} ({'; '.join(lines)}). As a share "
        f"of the variance of all rows it falls in {fell['variance_share']} of {n} groups."
    )


def _counted(falling: Sequence[str]) -> str:
    return {len(MEASURES): "all do", 0: "none does"}.get(len(falling), f"only {', '.join(falling)} do")


def _majority_lower(row: Record) -> list[str]:
    last = {name: at(row["cosines"][name], -1) for name in ("d_maj", "d_min")}
    gaps = by_seed(last["d_maj"], last["d_min"])
    if not gaps:
        return [
            f"{row['label']}: d_maj or d_min is not defined at the last epoch: a group has no test rows, or the "
            "features of a group have collapsed to 0."
        ]
    return [
        f"{row['label']}: d_maj ends at {told(last['d_maj'])} and d_min at {told(last['d_min'])}. In the paper "
        f"majority groups are further apart than minority groups: {verdict(gaps, lambda gap: gap < 0)}."
    ]


def _ends(record: Record) -> tuple[Record, Record, list[list[float | None]]]:
    """The row, what it is beside, and d_maj and d_min of both at the last epoch."""
    row, beside = record["rows"]
    return row, beside, [at(each["cosines"][name], -1) for each in (row, beside) for name in ("d_maj", "d_min")]


def _minmax(record: Record) -> list[str]:
    """Section 3.2.2: min-max fairness narrows the gap, at the level of plain training's minority."""
    row, beside, (maj, least, plain_maj, plain_min) = _ends(record)
    gap, plain_gap = by_seed(least, maj), by_seed(plain_min, plain_maj)
    if not gap or not plain_gap:
        return [*_majority_lower(row), *_majority_lower(beside), "Nothing can be said of the gap."]
    narrower = by_seed(_apart(least, maj), _apart(plain_min, plain_maj))
    middle = [None if a is None or b is None else (a + b) / 2 for a, b in zip(maj, least, strict=True)]
    nearer = by_seed(_apart(middle, plain_min), _apart(middle, plain_maj))
    return [
        f"d_min − d_maj ends at {told(list(gap))} with {row['label']} and {told(list(plain_gap))} with "
        f"{beside['label']}: that {row['label']} narrows the gap, {verdict(narrower, lambda value: value < 0)}.",
        f"Both cosines of {row['label']} (d_maj {told(maj)}, d_min {told(least)}) are at the level of d_min of "
        f"{beside['label']} ({told(plain_min)}) in the paper, not of its d_maj ({told(plain_maj)}); nearer to d_min: "
        f"{verdict(nearer, lambda value: value < 0)}.",
        *_majority_lower(beside),
    ]


def _apart(first: Sequence[float | None], second: Sequence[float | None]) -> list[float | None]:
    """How far two values are apart in each seed."""
    return [None if a is None or b is None else abs(a - b) for a, b in zip(first, second, strict=False)]


def _debias(record: Record) -> list[str]:
    """Section 5.5: their method sets groups further apart than plain training does."""
    row, beside, (maj, least, plain_maj, plain_min) = _ends(record)
    lines = [
        f"{name} ends at {told(own)} with {row['label']} and {told(plain)} with {beside['label']}: that it is lower, "
        f"{verdict(by_seed(own, plain), lambda value: value < 0)}."
        for name, own, plain in (("d_maj", maj, plain_maj), ("d_min", least, plain_min))
    ]
    gap, close = by_seed(least, maj), by_seed(least, plain_maj)
    if gap and close:
        lines += [
            f"A gap between minority and majority stays in the paper; here d_min − d_maj of {row['label']} is "
            f"{told(list(gap))}, above 0 {in_seeds(gap, lambda value: value > 0)}.",
            f"d_min of {row['label']} is close to d_maj of {beside['label']} in the paper; here it is "
            f"{number(abs(mean(close)))} {'above' if mean(close) > 0 else 'below'}: that it is within {NEAR:g}, "
            f"{verdict(close, lambda value: abs(value) <= NEAR)}.",
        ]
    return lines + _majority_lower(beside)
