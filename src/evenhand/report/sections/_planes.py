"""Features of rows on a plane, as blocks: a chart for each run and epoch, coloured by what rows are, and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from evenhand.plots.projections import RIGHT, WRONG, projections
from evenhand.report.blocks import Block, Cell, Chart, Charts, Table
from evenhand.report.pieces import charted, percent, share

MOST_KINDS = 24
HEIGHT = 260
TRUST_NOTE = (
    "Trustworthiness is how far neighbours on the plane are neighbours among all features (1: all of them; below 0.9 "
    "what one sees may not be there). Purity is of all features: the share of a row's 10 nearest neighbours that are "
    "of its own class or group, mean over classes or groups."
)


@dataclass(frozen=True)
class Panel:
    """A run's rows at one epoch: where they are on the plane, and the kind of each by what they are coloured by."""

    label: str
    epoch: str
    x: list[float]
    y: list[float]
    kinds: dict[str, list[str]]
    trust: float
    purity: dict[str, float]
    wrong: float


def blocks(panels: Sequence[Panel], coloured: dict[str, list[str]]) -> list[Block]:
    """The panels by each of the kinds of `coloured` (names in order), by error, and their numbers as a table."""
    charts = [_charts(panels, by, names) for by, names in coloured.items() if len(names) <= MOST_KINDS]
    return [*charts, _errors(panels), numbers(panels, list(coloured))]


def _charts(panels: Sequence[Panel], by: str, names: Sequence[str]) -> Charts:
    charts = tuple(
        _chart(panel, by, names, f"purity of {by} {percent(_or_none(panel.purity[by]))} %") for panel in panels
    )
    return Charts(f"Features by {by}", charts, tuple((name, number) for number, name in enumerate(names)))


def _errors(panels: Sequence[Panel]) -> Charts:
    charts = tuple(
        _chart(panel, "error", (RIGHT, WRONG), f"{percent(panel.wrong)} % predicted wrong") for panel in panels
    )
    return Charts("Features by error", charts, ((RIGHT, 6), (WRONG, 1)))


def _chart(panel: Panel, by: str, names: Sequence[str], said: str) -> Chart:
    order = [*names, *({*panel.kinds[by]} - {*names})]
    figure = projections({"": (panel.x, panel.y)}, {"": panel.kinds[by]}, order=order)
    figure.update_layout(showlegend=False, margin={"l": 8, "r": 8, "t": 8, "b": 8})
    title = f"{panel.label}, {panel.epoch} epoch"
    alt = f"Features of {title}, by {by}, in two dimensions: {said}, trustworthiness {panel.trust:.2f}."
    return charted(title, figure, alt, height=HEIGHT)


def numbers(panels: Sequence[Panel], coloured: list[str]) -> Table:
    """Purity, errors and trustworthiness of each panel."""
    rows = tuple(
        (
            Cell(panel.label), Cell(panel.epoch), *(share(_or_none(panel.purity[by])) for by in coloured),
            share(panel.wrong), Cell(f"{panel.trust:.2f}", _or_none(panel.trust)),
        )
        for panel in panels
    )  # fmt: skip
    columns = ("method", "epoch", *(f"purity of {by}, %" for by in coloured), "wrong, %", "trustworthiness")
    return Table("What the points say in numbers", columns, rows, (False, False, *(True for _ in coloured), True, True))


def _or_none(value: float | None) -> float | None:
    return None if value is None or isnan(value) else value
