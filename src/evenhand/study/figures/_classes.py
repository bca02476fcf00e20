"""What the figures of classes share: their order and thirds, values over seeds, what is loaded of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evenhand.errors import BadInput
from evenhand.runs import Run
from evenhand.study.classes import class_accuracy
from evenhand.study.comparison import Entry
from evenhand.study.reproduction import Reproduction, StudyReproduction, slug
from evenhand.study.tables import Table

if TYPE_CHECKING:
    import plotly.graph_objects as go

Floats = NDArray[np.float64]
Record = dict[str, Any]
Values = Sequence[float | None]

THIRDS = ("Easy", "Medium", "Hard")
SHOTS = ("Many", "Medium", "Few")
MANY, FEW = 100, 20  # training rows: more than MANY and fewer than FEW, Liu et al. (2019)
SMOOTH = 60  # classes from which on a trend is a running mean instead of a line


@dataclass(frozen=True)
class Ordered:
    """The classes of a part in the order in which they are shown.

    Attributes:
        order_C: places of the classes, first shown first.
        thirds: name and number of classes of each part of the order; a part may be empty.
    """

    part: Reproduction
    order_C: NDArray[np.int64]  # noqa: N815
    thirds: tuple[tuple[str, int], ...]

    @property
    def names(self) -> list[str]:
        """The classes' names, in order."""
        found: list[str] = reference(self.part).finished[0].metrics["labels"]["classes"]
        return [found[c] for c in self.order_C]

    def members(self, third: str) -> NDArray[np.int64]:
        """Places of the classes of a part of the order."""
        begin = 0
        for name, size in self.thirds:
            if name == third:
                return self.order_C[begin : begin + size]
            begin += size
        raise KeyError(third)

    def record(self) -> Record:
        """What every figure says of a part of the study."""
        return {
            "label": label(self.part),
            "data": self.part.comparison.data,
            "reference": self.part.comparison.reference,
            "seeds": len(self.part.comparison.seeds),
            "networks": networks(self.part),
            "classes": self.names,
            "thirds": [list(third) for third in self.thirds],
        }


def label(part: Reproduction) -> str:
    """The part's label; the data's name where it is repeated on other data than the paper's file names."""
    own = part.path in (None, part.table.data)
    return part.table.part if own and part.table.part else part.comparison.data


def networks(part: Reproduction) -> dict[str, str]:
    """What the rows' networks are where they are not those that the table names: at small scale, on other data."""
    named = {row.label: row.settings.get("encoder", part.table.settings.get("encoder")) for row in part.table.rows}
    found = {}
    for entry in part.comparison.shown:
        settings = entry.finished[0].config["settings"]
        widths = "-".join(str(width) for width in settings["widths"] or ())
        if settings["encoder"] != named[entry.label]:
            found[entry.label] = " ".join([settings["encoder"], *([widths] if widths else [])])
    return found


def reference(part: Reproduction) -> Entry:
    """The row by which classes are sorted."""
    return next(entry for entry in part.comparison.shown if entry.label == part.comparison.reference)


def by_accuracy(part: Reproduction, rows: str = "test") -> Ordered:
    """From the class that the reference is best at to that which it is worst at, by its mean accuracy over seeds.

    Thirds are as `metrics.thirds` has them; of two classes one is easy and one hard.

    Raises:
        BadInput: a class without rows there.
    """
    accuracy_C = np.mean([class_accuracy(run, rows) for run in reference(part).finished], axis=0)
    if np.isnan(accuracy_C).any():
        raise BadInput(
            f"classes of {part.comparison.data} cannot be sorted by accuracy: "
            f"{int(np.isnan(accuracy_C).sum())} of {len(accuracy_C)} have no {rows} row"
        )
    order_C = np.argsort(accuracy_C, kind="stable")[::-1]
    return Ordered(part, order_C, _thirds(THIRDS, len(order_C)))


def by_count(part: Reproduction, count_C: NDArray[np.int64]) -> Ordered:
    """From the class with most training rows to that with fewest, equal ones in their own order.

    Many have more than 100 rows, few less than 20, as Liu et al. (2019) divide ImageNet-LT; where one of the three
    would be empty, each is a third of the classes.
    """
    order_C = np.argsort(-count_C, kind="stable")
    many, few = int((count_C > MANY).sum()), int((count_C < FEW).sum())
    sizes = (many, len(count_C) - many - few, few)
    return Ordered(part, order_C, tuple(zip(SHOTS, sizes, strict=True)) if min(sizes) else _thirds(SHOTS, len(count_C)))


def _thirds(names: Sequence[str], n_classes: int) -> tuple[tuple[str, int], ...]:
    size = max(n_classes // 3, 1)
    return tuple(zip(names, (size, n_classes - 2 * size, size), strict=True))


# --- values ---


def over_seeds(values_SC: Sequence[Floats], ordered: Ordered) -> Record:
    """`mean` and, of several seeds, `sd` of each class, in the order of the classes."""
    stacked_SC = np.stack(values_SC)[:, ordered.order_C]
    sd_C = stacked_SC.std(axis=0, ddof=1) if len(stacked_SC) > 1 else None
    return {"mean": plain(stacked_SC.mean(axis=0)), "sd": None if sd_C is None else plain(sd_C)}


def plain(values: NDArray[np.floating[Any]]) -> list[float | None]:
    """Numbers as plain values; None where there is none."""
    return [float(value) if np.isfinite(value) else None for value in values]


def array(values: Values) -> Floats:
    """The other way round."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def third_means(values: Values, part: Record) -> dict[str, float | None]:
    """The mean over the classes of each part of the order that has any."""
    found: dict[str, float | None] = {}
    begin, numbers = 0, array(values)
    for name, size in part["thirds"]:
        own = numbers[begin : begin + size]
        if size:
            found[name] = float(own[np.isfinite(own)].mean()) if np.isfinite(own).any() else None
        begin += size
    return found


def trend(values: Values) -> list[float | None]:
    """The least-squares line along the order; of many classes a running mean over a twentieth of them."""
    numbers = array(values)
    if not np.isfinite(numbers).all() or len(numbers) < 3:
        return [None] * len(numbers)
    if len(numbers) < SMOOTH:
        along = np.arange(len(numbers))
        return plain(np.polyval(np.polyfit(along, numbers, 1), along))
    width = max(len(numbers) // 20, 3)
    weight = np.convolve(np.ones(len(numbers)), np.ones(width), "same")
    return plain(np.convolve(numbers, np.ones(width), "same") / weight)


def band(record: Record, scale: float = 1.0) -> tuple[list[float | None], list[float | None]] | None:
    """Mean − sd and mean + sd; None of one seed."""
    if record["sd"] is None:
        return None
    mean, sd = scale * array(record["mean"]), scale * array(record["sd"])
    return plain(mean - sd), plain(mean + sd)


def scaled(values: Values, scale: float) -> list[float | None]:
    """The values times `scale`."""
    return plain(scale * array(values))


def bands(series: Mapping[str, Record], scale: float = 1.0) -> dict[str, tuple[Values, Values]]:
    """The bands of those that have one."""
    found = {name: band(one, scale) for name, one in series.items()}
    return {name: both for name, both in found.items() if both is not None}


# --- what is read of runs ---


def accuracies(entry: Entry, ordered: Ordered, rows: str = "test") -> Record:
    """Accuracy of each class over seeds."""
    return over_seeds([class_accuracy(run, rows) for run in entry.finished], ordered)


def rows_per_class(part: Reproduction, ordered: Ordered, rows: str = "test") -> list[int]:
    """How many rows each class has in a split, in order."""
    y = reference(part).finished[0].predictions().filter(split=rows)["y"].to_numpy()
    return [int(count) for count in np.bincount(y, minlength=len(ordered.order_C))[ordered.order_C]]


def softmax(logits_NC: Floats) -> Floats:
    """(N, C) probabilities."""
    shifted = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    probability_NC: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return probability_NC


def classifier_weights(run: Run) -> tuple[Floats, Floats | None]:
    """(C, D) weights and (C,) bias of a run's classifier, from its stored model.

    Raises:
        BadInput: the run has none, or its file is damaged.
    """
    import safetensors
    from safetensors import safe_open

    file = run.folder / "model.safetensors"
    try:
        with safe_open(file, framework="numpy") as stored:
            bias = "classifier.bias" in stored.keys()  # noqa: SIM118  it is no mapping
            return (
                stored.get_tensor("classifier.weight").astype(np.float64),
                stored.get_tensor("classifier.bias").astype(np.float64) if bias else None,
            )
    except (OSError, safetensors.SafetensorError) as error:
        raise BadInput(f"{run.folder} has no classifier to look at: {file.name} cannot be read ({error})") from error


def norms(run: Run) -> Floats:
    """(C,) length of each class's classifier weights."""
    found: Floats = np.linalg.norm(classifier_weights(run)[0], axis=1)
    return found


def train_counts(part: Reproduction) -> NDArray[np.int64]:
    """(C,) training rows of each class."""
    from evenhand import features

    run = reference(part).finished[0]
    counts: NDArray[np.int64] = features.data_of(run, part.root, part.path).train.count_C.numpy()
    return counts


# --- records of all parts ---


def of_parts(found: StudyReproduction, measure: Callable[[Reproduction], Record]) -> Record:
    """The record of a figure: that of each of its parts."""
    return {"parts": [measure(part) for part in found.parts]}


def panels(record: Mapping[str, Any], draw: Callable[[Record], Mapping[str, go.Figure]]) -> dict[str, go.Figure]:
    """The panels of all parts, with the part's label in the name where there are several."""
    several = len(record["parts"]) > 1
    return {
        "-".join([*([slug(part["label"])] if several else []), *([name] if name else [])]): figure
        for part in record["parts"]
        for name, figure in draw(part).items()
    }


def heading(part: Record, text: str) -> str:
    """`cifar10: accuracy of each class`."""
    return f"{part['label']}: {text}"


def title(part: Record, text: str) -> str:
    """The heading of a picture, with a line on the network where one stands for all that rows are named after."""
    said = networks_said(part) if len(set(part["networks"].values())) == 1 else ""
    return heading(part, text) + (f"<br><span style='font-size:11px;color:#555555'>{said}</span>" if said else "")


def networks_said(part: Record) -> str:
    """`network here: small_cnn`, or that of each row; empty where rows have those that they are named after."""
    found: dict[str, str] = part["networks"]
    if len(set(found.values())) == 1:
        return f"network here: {next(iter(found.values()))}"
    return "networks here: " + ", ".join(f"{name} for {label}" for label, name in found.items()) if found else ""


def display(part: Record, label: str) -> str:
    """A row's label in a legend, with the network that stands for it where rows have different ones."""
    found: dict[str, str] = part["networks"]
    return f"{label} ({found[label]})" if label in found and len(set(found.values())) > 1 else label


def displayed(part: Record, series: Mapping[str, Any]) -> dict[str, Any]:
    """Series by rows, by what they are called in a legend."""
    return {display(part, label): one for label, one in series.items()}


def sorted_by(part: Record) -> str:
    """The title of the axis of classes."""
    return f"classes, from the easiest to the hardest for {part['reference']}"


def class_table(part: Record, text: str, columns: Mapping[str, Sequence[str]], notes: tuple[str, ...] = ()) -> Table:
    """A row for each class, in order, with the part of the order it belongs to; of many, the first and the last."""
    thirds = [name for name, size in part["thirds"] for _ in range(size)]
    rows = list(zip(part["classes"], thirds, *columns.values(), strict=True))
    if len(rows) > MOST_ROWS:
        rows = [*rows[: MOST_ROWS // 2], ("…", *[""] * (len(columns) + 1)), *rows[-MOST_ROWS // 2 :]]
    said = networks_said(part)
    notes = (*notes, said[0].upper() + said[1:] + ".") if said else notes
    return Table(heading(part, text), ("class", "", *columns), tuple(rows), notes, text_columns=(0, 1))


MOST_ROWS = 20  # of a table


def shown(values: Values, decimals: int = 2, scale: float = 1.0) -> list[str]:
    """Numbers as text."""
    return ["–" if value is None else f"{scale * value:.{decimals}f}" for value in values]
