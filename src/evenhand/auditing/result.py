"""`Audit`: what an audit found, as tables, numbers and pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from evenhand.auditing.figures.estimates import Measured
from evenhand.auditing.figures.names import FIGURES
from evenhand.files import json_text

if TYPE_CHECKING:
    import polars as pl

    from evenhand.auditing.gate import Verdict

Record = dict[str, Any]


@dataclass(frozen=True, repr=False)
class Audit:
    """Figures of a classifier per group and overall.

    Attributes:
        record: everything, as one dictionary; what `to_json` writes. A figure is a `Measured`: a number with `.low` and
            `.high`.
    """

    record: Record

    @property
    def overall(self) -> dict[str, Any]:
        """Figures over all rows and reductions over groups by name: `accuracy`, `worst_group_accuracy`, …"""
        overall: dict[str, Any] = self.record["overall"]
        return overall

    @property
    def worst(self) -> Record | None:
        """The group with the lowest accuracy: `group`, `count`, and `accuracy` with an interval for the true worst."""
        worst: Record | None = self.record["worst"]
        return worst

    @cached_property
    def groups(self) -> pl.DataFrame:
        """One row a crossed group, worst first: its columns, `count`, `share`, every figure with its interval."""
        import polars as pl

        return pl.DataFrame(list(rows(self.record["groups"])), infer_schema_length=None, strict=False)

    @property
    def figures(self) -> list[str]:
        """The names of the figures that every group has."""
        return [name for name in FIGURES if name in self.overall]

    def check(self, expressions: Iterable[str], confident: bool = False) -> list[Verdict]:
        """Decide conditions such as `worst_group_accuracy < 0.8` or `accuracy[sex=F] < 75%`; see `gate.judge`.

        Raises:
            BadInput: a condition cannot be read, or names a figure or group that is not there.
        """
        from evenhand.auditing import gate

        found = self.as_dict()
        groups = [*found["groups"], *found["marginals"]]
        return gate.judge(expressions, gate.Record.from_json({**found, "groups": groups}), confident)

    def as_dict(self) -> Record:
        """The record with every figure as {"value", "low", "high"}."""
        written: Record = plain(self.record)
        return written

    def to_json(self) -> str:
        """Everything as JSON; a figure is {"value", "low", "high"}, null where undefined."""
        return json_text(self.as_dict())

    def to_csv(self) -> str:
        """The groups as CSV."""
        return self.groups.write_csv()

    def to_markdown(self) -> str:
        """The groups as a Markdown table, under a line with what matters most."""
        from evenhand.auditing.output import markdown

        return markdown.render(self.record)

    def to_html(self) -> str:
        """A self-contained <section> for a page; every text of the data is escaped."""
        from evenhand.auditing.output import html

        return html.render(self.record)

    def to_page(self) -> str:
        """The section as a page of its own."""
        from evenhand.auditing.output import html

        return html.page(self.record)

    def _repr_html_(self) -> str:
        return self.to_html()

    def __str__(self) -> str:
        from evenhand.auditing.output import terminal

        return terminal.text(self.record)

    def __repr__(self) -> str:
        worst = self.worst
        known = "" if worst is None else f", worst {worst['group']} {worst['accuracy']:.3f}"
        return f"<Audit of {self.record['rows']} rows, {len(self.record['groups'])} groups{known}>"


def rows(groups: list[Record]) -> Iterator[Record]:
    """Each group flat: its columns, count, share, and every figure with `_low` and `_high`."""
    for group in groups:
        flat: Record = {(name if name not in group else f"group {name}"): at for name, at in group["group"].items()}
        for name, value in group.items():
            if isinstance(value, Measured):
                flat |= {name: float(value), f"{name}_low": value.low, f"{name}_high": value.high}
            elif not isinstance(value, list | dict):
                flat[name] = value
        yield flat


def plain(value: Any) -> Any:
    """The record with every figure as {"value", "low", "high"}."""
    if isinstance(value, Measured):
        return {"value": float(value), "low": value.low, "high": value.high}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
