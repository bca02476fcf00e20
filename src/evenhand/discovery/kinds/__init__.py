"""Kinds of discovery, one module each, found by file name: `kinds/clusters.py` holds the kind `clusters`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evenhand import by_name
from evenhand.errors import unknown
from evenhand.options import checked

if TYPE_CHECKING:
    from evenhand.discovery.kinds._base import Kind


def names() -> tuple[str, ...]:
    """Every kind's name, in alphabetical order, without importing any."""
    return by_name.names(__name__)


def find(name: str) -> type[Kind]:
    """The class of the kind `name`.

    Raises:
        BadInput: there is no such kind; the message suggests the nearest.
    """
    if name not in names():
        raise unknown("kind of discovery", name, names())
    found: type[Kind] = by_name.find(__name__, name, "Kind")
    return found


def make(name: str, /, **options: Any) -> Kind:
    """The kind `name` with these options.

    Raises:
        BadInput: no such kind, an option it does not have, or a value that does not fit.
    """
    kind = find(name)
    return kind(**checked(kind, options, f"discovery by {name}"))
