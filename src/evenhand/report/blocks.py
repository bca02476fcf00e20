"""What a page is made of, as plain values: a `Page` of `Section`s of blocks; `as_dict` is stored and rendered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Sortable = float | int | str | None
Mark = Literal["", "worst", "best", "muted"]


@dataclass(frozen=True)
class Cell:
    """What a table shows in a place.

    Attributes:
        text: as it is read; escaped when it is rendered.
        sort: by which the column is sorted, where the text would not do.
        mark: `worst`, `best` or `muted` where it is to be told from others (never by colour alone: say it too).
        low, high: of an interval around `sort` in [0, 1], which is then drawn as a bar beside the text.
    """

    text: str
    sort: Sortable = None
    mark: Mark = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Text:
    """Paragraphs; `code` shows them as commands to copy, `lead` as what a hurried reader should read."""

    paragraphs: tuple[str, ...]
    style: Literal["plain", "lead", "note", "code", "list"] = "plain"
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class Table:
    """Rows of cells, sortable by every column; `numeric` says which columns hold numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: tuple[bool, ...] = ()
    folded: bool = False
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Chart:
    """A Plotly figure as plain values (`figure.to_plotly_json()` through JSON), with the table behind it.

    Attributes:
        alt: what it shows, in a sentence, for those who cannot see it.
        table: its numbers; shown on demand.
        height: in CSS pixels.
    """

    title: str
    figure: Mapping[str, Any]
    alt: str
    table: Table | None = None
    height: int = 420
    kind: Literal["chart"] = "chart"


@dataclass(frozen=True)
class Charts:
    """Small charts side by side, with one legend for all: `legend` holds names and the number of their colour."""

    title: str
    charts: tuple[Chart, ...]
    legend: tuple[tuple[str, int], ...] = ()
    kind: Literal["charts"] = "charts"


@dataclass(frozen=True)
class Image:
    """A picture as a `data:` address, with its description."""

    source: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Images:
    """Pictures in rows; `columns` are titles of columns where the pictures form a table, row by row."""

    caption: str
    images: tuple[Image, ...]
    columns: tuple[str, ...] = ()
    kind: Literal["images"] = "images"


Block = Text | Table | Chart | Charts | Images


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        id: by which it is linked; small letters and hyphens.
        title: its heading.
    """

    id: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A whole page; `facts` are short pairs under the title, such as the data and the number of runs."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    facts: Sequence[tuple[str, str]] = field(default_factory=tuple)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return asdict(self)
