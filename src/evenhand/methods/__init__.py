"""Training methods, one module each, found by file name: `methods/groupdro.py` holds the method `groupdro`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evenhand import by_name
from evenhand.errors import unknown
from evenhand.options import checked

if TYPE_CHECKING:
    from evenhand.methods._base import Method


def names() -> tuple[str, ...]:
    """Every method's name, in alphabetical order, without importing any."""
    return by_name.names(__name__)


def find(name: str) -> type[Method]:
    """The class of the method `name`.

    Raises:
        BadInput: there is no such method; the message suggests the nearest.
    """
    if name not in names():
        raise unknown("method", name, names())
    found: type[Method] = by_name.find(__name__, name, "Method")
    return found


def make(name: str, /, **options: Any) -> Method:
    """The method `name` with these hyper-parameters.

    Raises:
        BadInput: no such method, an option it does not have, or a value of another type.
    """
    method = find(name)
    return method(**checked(method, options, f"method {name}"))
