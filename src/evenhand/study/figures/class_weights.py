"""Classifier or features: weights, angles, neighbours and fixed frames: Figure 5 of Cui et al. (2024)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from evenhand.study.comparison import Entry
from evenhand.study.reproduction import Reproduction, StudyReproduction
from evenhand.study.tables import Table

from . import _classes as c
from ._relations import LEVEL, spearman, told, unequal, verdict

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from evenhand.data import Data

MOST_TRAIN = 50_000  # rows among which neighbours are looked for
FIXED = "etf"  # the method whose classifier is fixed
QUANTITIES = {"norm": "length of weights", "angle": "class mean angle"}


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of each plain row: weight lengths, class mean angles and k-NN accuracy; of all rows: accuracy of each class.

    Settings: `k` neighbours, by majority as the paper has it (k = 20, cosine), of at most `most_train` training rows
    (50,000, at random), in eval mode and without augmentation.
    """
    return c.of_parts(found, lambda part: _part(part, settings))


def _part(part: Reproduction, settings: Mapping[str, Any]) -> c.Record:
    from evenhand import features

    ordered, shown = c.by_accuracy(part), part.comparison.shown
    data = features.data_of(c.reference(part).finished[0], part.root, part.path)
    plain, fixed = ([entry for entry in shown if (entry.method == FIXED) == is_fixed] for is_fixed in (False, True))
    k, most = settings.get("k", 20), settings.get("most_train", MOST_TRAIN)
    return ordered.record() | {
        "k": min(k, len(data.train), most),
        "most_train": most,
        "count": c.rows_per_class(part, ordered),
        "norm": {entry.label: c.over_seeds([c.norms(run) for run in entry.finished], ordered) for entry in plain},
        "angle": {entry.label: c.over_seeds(_angles(entry), ordered) for entry in plain},
        "accuracy": {entry.label: c.accuracies(entry, ordered) for entry in plain},
        "knn": {entry.label: c.over_seeds(_neighbours(entry, data, k, most), ordered) for entry in plain},
        "fixed": {entry.label: c.accuracies(entry, ordered) for entry in fixed},
    }


def _angles(entry: Entry) -> list[c.Floats]:
    from evenhand.collapse import Classifier, class_mean_angle

    return [class_mean_angle(Classifier.of(c.classifier_weights(run)[0])).numpy() for run in entry.finished]


def _neighbours(entry: Entry, data: Data, k: int, most: int) -> list[c.Floats]:
    """(C,) accuracy of each class by the nearest training rows, of each run."""
    from evenhand import collapse, features

    found = []
    for run in entry.finished:
        model = features.load_model(run, data)
        memory, rows = (features.encoded(model, data, part, most=most) for part in ("train", "test"))
        guess_N = collapse.knn(
            memory.features, memory.y, rows.features, data.train.n_classes, min(k, len(memory.y)), weighting="uniform"
        )
        size, y = data.train.n_classes, rows.y.numpy()
        right_C = np.bincount(y[guess_N.numpy() == y], minlength=size)
        with np.errstate(invalid="ignore"):
            found.append(right_C / np.bincount(y, minlength=size))
    return found


def drawn(record: Mapping[str, Any]) -> dict[str, go.Figure]:
    """Panels a: weight lengths, b: class mean angles, c: k-NN beside the classifier, d: fixed classifiers."""
    return c.panels(record, _four)


def _four(part: c.Record) -> dict[str, go.Figure]:
    from evenhand.plots.classes import Strip, sorted_curves

    def curves(text: str, y_title: str, series: Mapping[str, c.Record], scale: float = 1.0) -> go.Figure:
        values = {label: c.scaled(one["mean"], scale) for label, one in series.items()}
        trends = {label: c.trend(one) for label, one in values.items()} if len(part["classes"]) > c.SMOOTH else {}
        strip = Strip(y_title, values, c.bands(series, scale), trends)
        title = c.title(part, text)
        return sorted_curves([strip], part["classes"], part["thirds"], title=title, x_title=c.sorted_by(part))

    beside: dict[str, c.Record] = {}
    for label, one in part["accuracy"].items():
        name = c.display(part, label)
        beside |= {f"{name}, classifier": one, f"{name}, {part['k']}-NN": part["knn"][label]}
    panels = {
        "a": curves("length of the classifier's weights", "length", c.displayed(part, part["norm"])),
        "b": curves(
            "class mean angle of the classifier", "mean cosine with all classes", c.displayed(part, part["angle"])
        ),
        "c": curves(f"classifier and {part['k']} nearest neighbours", "accuracy, %", beside, 100),
    }
    if part["fixed"]:
        both = c.displayed(part, part["accuracy"] | part["fixed"])
        panels["d"] = curves("learned and fixed classifiers", "accuracy, %", both, 100)
    return panels


def tables(record: Mapping[str, Any]) -> list[Table]:
    """Every quantity of each class, and how far classes are apart by each way to classify."""
    return [table for part in record["parts"] for table in (_spreads(part), _each(part))]


def _ways(part: c.Record) -> dict[str, c.Record]:
    """Accuracy of each class by every way to classify."""
    ways: dict[str, c.Record] = {f"{label}, classifier": one for label, one in part["accuracy"].items()}
    ways |= {f"{label}, {part['k']}-NN": one for label, one in part["knn"].items()}
    ways |= part["fixed"]
    return ways


def _spreads(part: c.Record) -> Table:
    names = [name for name, size in part["thirds"] if size]
    rows = []
    for label, one in _ways(part).items():
        means, defined = c.third_means(one["mean"], part), [value for value in one["mean"] if value is not None]
        figures = [*(means[name] for name in names), max(defined), min(defined), max(defined) - min(defined)]
        rows.append((label, *c.shown(figures, 2, 100)))
    note = (
        f"k-NN: majority of the {part['k']} training rows of largest cosine (of at most {part['most_train']:,} rows, "
        "drawn at random), features in eval mode without augmentation."
    )
    columns = ("by", *names, "best class", "worst class", "spread")
    return Table(c.heading(part, "how far classes are apart, %"), columns, tuple(rows), (note,))


def _each(part: c.Record) -> Table:
    columns: dict[str, list[str]] = {}
    for key, name in QUANTITIES.items():
        columns |= {f"{name}, {label}": c.shown(one["mean"], 3) for label, one in part[key].items()}
    columns |= {f"{label}, %": c.shown(one["mean"], 1, 100) for label, one in _ways(part).items()}
    return c.class_table(part, "every class", columns)


def findings(record: Mapping[str, Any]) -> list[str]:
    """Whether weights explain accuracy, and whether classes stay unequal without a learned classifier."""
    return [line for part in record["parts"] for line in _said(part)]


def _said(part: c.Record) -> Iterator[str]:
    for label, one in part["accuracy"].items():
        accuracy, norm = one["mean"], c.array(part["norm"][label]["mean"])
        relation = spearman(part["norm"][label]["mean"], accuracy)
        yield (
            f"{part['label']}, {label}: that lengths of classifier weights have nothing to do with accuracy "
            f"{verdict(relation, 0)} ({told(relation)}); they vary by {100 * norm.std() / norm.mean():.1f} % of their "
            "mean."
        )
        relation = spearman(part["angle"][label]["mean"], accuracy)
        yield (
            f"{part['label']}, {label}: that harder classes have the smaller class mean angle, which is to be farther "
            f"from the others, {verdict(relation, 1)} ({told(relation)})."
        )
    for label, one in _ways(part).items():
        if not label.endswith(", classifier"):
            yield _still_unequal(part, label, one["mean"])


def _still_unequal(part: c.Record, label: str, values: list[float | None]) -> str:
    defined = [value for value in values if value is not None]
    base = [value for value in part["accuracy"][part["reference"]]["mean"] if value is not None]
    p = unequal(values, part["count"])
    stay = "stay unequal" if p is not None and p <= LEVEL else "cannot be told from equal ones"
    relation = spearman(values, part["accuracy"][part["reference"]]["mean"])
    return (
        f"{part['label']}: by {label} classes {stay}: from {100 * min(defined):.1f} to {100 * max(defined):.1f} %, "
        f"where the classifier of {part['reference']} has {100 * min(base):.1f} to {100 * max(base):.1f} %; that they "
        f"have the same order {verdict(relation, 1)} ({told(relation)})."
    )
