"""Prediction bias on the rows of easy, medium and hard (or frequent and rare) classes separately."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evenhand.runs import Run
from evenhand.study.comparison import Entry
from evenhand.study.tables import Table

from . import _classes as c

if TYPE_CHECKING:
    from evenhand.collapse import PredictionBias
    from evenhand.plots.classes import Strip


def by_third(entry: Entry, ordered: c.Ordered) -> dict[str, c.Record]:
    """On the test rows of the classes of each part of the order: the probability that goes to each class wrongly.

    `others_C` of `collapse.PredictionBias` (G_n) on these rows, over their number: in [0, 1], a share of all the
    probability that there is to give on them.
    """
    import torch

    biases = [_of_run(run) for run in entry.finished]
    found = {}
    for name, size in ordered.thirds:
        if size:
            members = torch.from_numpy(ordered.members(name).copy())
            values = [(bias.others_C(members) / bias.count_C[members].sum()).numpy() for bias in biases]
            found[name] = c.over_seeds(values, ordered)
    return found


def on_all(run: Run, rows: str = "test") -> c.Floats:
    """(C,) the same on all rows of a split."""
    bias = _of_run(run, rows)
    found: c.Floats = (bias.others_C() / bias.count_C.sum()).numpy()
    return found


def of(probability_NC: c.Floats, y_N: NDArray[np.int64]) -> PredictionBias:
    """The bias of these predictions."""
    from evenhand.collapse import PredictionBias

    bias = PredictionBias(probability_NC.shape[1])
    bias.update(probability_NC, y_N)
    return bias


def _of_run(run: Run, rows: str = "test") -> PredictionBias:
    found = run.predictions().filter(split=rows)
    logits_NC = found.select([name for name in found.columns if name.startswith("logit_")]).to_numpy().astype(float)
    return of(c.softmax(logits_NC), found["y"].to_numpy())


def strips(part: c.Record) -> list[Strip]:
    """A strip for the rows of each part of the order."""
    from evenhand.plots.classes import Strip

    found = []
    for third, one in part["bias"].items():
        series = {"prediction bias": c.scaled(one["mean"], 100)}
        found.append(Strip(f"on {third} rows, %", series, c.bands({"prediction bias": one}, 100), from_zero=True))
    return found


def table(part: c.Record) -> Table:
    """The bias of each class."""
    columns = {f"on {third} rows": c.shown(one["mean"], 2, 100) for third, one in part["bias"].items()}
    note = "The probability that each class takes on rows of other classes, in percent of the rows (G_n over rows)."
    return c.class_table(part, f"prediction bias of {part.get('biased', part['reference'])}, %", columns, (note,))
