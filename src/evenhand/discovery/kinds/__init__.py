"""Kinds of discovery, one module each, found by file name: `kinds/clusters.py` holds the kind `clusters`."""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.errors import unknown
from evenhand.options import checked

if TYPE_CHECKING:
    from evenhand.discovery.kinds._base import Kind


@cache
def names() -> tuple[str, ...]:
    """Every kind's name, in alphabetical order, without importing any."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))


@cache
def find(name: str) -> type[Kind]:
    """The class of the kind `name`.

    Raises:
        BadInput: there is no such kind; the message suggests the nearest.
    """
    if name not in names():
        raise unknown("kind of discovery", name, names())
    module = import_module(f"{__name__}.{name}")
    own: list[Any] = [value for value in vars(module).values() if inspect.isclass(value) and _is_kind(value)]
    (kind,) = (value for value in own if value.__module__ == module.__name__)
    found: type[Kind] = kind
    return found


def make(name: str, /, **options: Any) -> Kind:
    """The kind `name` with these options.

    Raises:
        BadInput: no such kind, an option it does not have, or a value that does not fit.
    """
    kind = find(name)
    return kind(**checked(kind, options, f"discovery by {name}"))


def _is_kind(value: type) -> bool:
    from evenhand.discovery.kinds._base import Kind

    return issubclass(value, Kind) and not inspect.isabstract(value)
