"""Class frequency and false-positive frequency: Figure 6 of Cui et al. (2024), Classes are not equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from evenhand.study.reproduction import Reproduction, StudyReproduction
from evenhand.study.tables import Table

from . import _bias
from . import _classes as c
from ._relations import spearman, told, verdict

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_TRAIN = 50_000  # rows on which the false positives of training are counted
FREQUENCY, TRAIN, TEST = "class frequency", "false positives, training rows", "false positives, test rows"


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of the reference: how frequent each class is, and how much probability it takes from rows of other classes.

    Settings: `most_train`, training rows that the model is asked about (without augmentation); `tailed`, labels of the
    parts whose classes are sorted by their training rows instead of by accuracy.
    """
    tailed = settings.get("tailed", ())
    most = settings.get("most_train", MOST_TRAIN)
    return c.of_parts(found, lambda part: _part(part, most, by_count=c.label(part) in tailed))


def _part(part: Reproduction, most: int, *, by_count: bool) -> c.Record:
    from evenhand import features

    entry = c.reference(part)
    data = features.data_of(entry.finished[0], part.root, part.path)
    count_C = data.train.count_C.numpy()
    ordered = c.by_count(part, count_C) if by_count else c.by_accuracy(part)
    rates: dict[str, list[c.Floats]] = {"others": [], "own": [], "frequency": []}
    for run in entry.finished:
        rows = features.encoded(features.load_model(run, data), data, "train", most=most)
        bias = _bias.of(c.softmax(rows.logits.double().numpy()), rows.y.numpy())
        total = float(bias.count_C.sum())
        rates["others"].append(bias.others_C().numpy() / total)
        rates["own"].append(bias.own_C().numpy() / total)
        rates["frequency"].append(bias.count_C.numpy() / total)
    balance = np.mean([a + b - f for a, b, f in zip(*rates.values(), strict=True)], axis=0)
    return ordered.record() | {
        "tailed": by_count,
        "most_train": most,
        "balanced": int(count_C.max()) == int(count_C.min()),
        "accuracy": c.accuracies(entry, ordered),
        "frequency": c.plain((count_C / count_C.sum())[ordered.order_C]),
        "train": c.over_seeds(rates["others"], ordered),
        "test": c.over_seeds([_bias.on_all(run) for run in entry.finished], ordered),
        "unmet": float(np.abs(balance).sum()),
    }


def drawn(record: Mapping[str, Any]) -> dict[str, go.Figure]:
    """The curves of each part."""
    return c.panels(record, _curves)


def _curves(part: c.Record) -> dict[str, go.Figure]:
    from evenhand.plots.classes import Strip, sorted_curves

    series = {
        FREQUENCY: c.scaled(part["frequency"], 100),
        TRAIN: c.scaled(part["train"]["mean"], 100),
        TEST: c.scaled(part["test"]["mean"], 100),
    }
    strip = Strip("% of rows", series, c.bands({TRAIN: part["train"], TEST: part["test"]}, 100), from_zero=True)
    title = c.title(part, f"class frequency and false positives of {part['reference']}")
    axis = "classes, from most training rows to fewest" if part["tailed"] else c.sorted_by(part)
    return {"": sorted_curves([strip], part["classes"], part["thirds"], title=title, x_title=axis)}


def tables(record: Mapping[str, Any]) -> list[Table]:
    """Frequencies of each class."""
    return [_each(part) for part in record["parts"]]


def _each(part: c.Record) -> Table:
    columns = {
        "accuracy": c.shown(part["accuracy"]["mean"], 1, 100),
        FREQUENCY: c.shown(part["frequency"], 2, 100),
        TRAIN: c.shown(part["train"]["mean"], 2, 100),
        TEST: c.shown(part["test"]["mean"], 2, 100),
    }
    note = (
        "False positives: the probability that a class takes on rows of other classes, in percent of the rows (G_n "
        f"over rows); of at most {part['most_train']:,} training rows, without augmentation."
    )
    return c.class_table(part, "class frequency and false positives, %", columns, (note,))


def findings(record: Mapping[str, Any]) -> list[str]:
    """Whether false positives go to hard classes, or to frequent ones, and whether training balances them."""
    return [line for part in record["parts"] for line in _said(part)]


def _said(part: c.Record) -> Iterator[str]:
    accuracy, frequency = part["accuracy"]["mean"], part["frequency"]
    for key, where in (("train", "training rows"), ("test", "test rows")):
        relation = spearman(part[key]["mean"], accuracy)
        if part["tailed"]:
            relation = spearman(part[key]["mean"], frequency)
            yield (
                f"{part['label']}: that false positives on {where} go to frequent classes {verdict(relation, 1)} "
                f"({told(relation)})."
            )
        else:
            yield (
                f"{part['label']}: that false positives on {where} go to classes of low accuracy "
                f"{verdict(relation, -1)} ({told(relation)})."
            )
    if not part["balanced"] and not part["tailed"]:
        yield f"{part['label']}: classes are not equally frequent here, so that frequency plays a part, too."
    yield (
        f"{part['label']}: Lemma 1 (true and false positives of a class add up to its frequency on training rows) is "
        f"missed by {100 * part['unmet']:.2f} % of the rows in all; it needs a converged training without weight decay "
        "on the bias, on the very rows, augmentation included."
    )
    outweighed = [
        name for name, f, g in zip(part["classes"], frequency, part["test"]["mean"], strict=True) if g and f and g > f
    ]
    share = f"{len(outweighed)} of {len(part['classes'])} classes"
    yield f"{part['label']}: on test rows false positives outweigh the class's own frequency for {share}."
