"""Training methods, one module each, found by file name: `methods/groupdro.py` holds the method `groupdro`."""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.errors import unknown
from evenhand.options import checked

if TYPE_CHECKING:
    from evenhand.methods._base import Method


@cache
def names() -> tuple[str, ...]:
    """Every method's name, in alphabetical order, without importing any."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))


@cache
def find(name: str) -> type[Method]:
    """The class of the method `name`.

    Raises:
        BadInput: there is no such method; the message suggests the nearest.
    """
    if name not in names():
        raise unknown("method", name, names())
    module = import_module(f"{__name__}.{name}")
    own: list[Any] = [value for value in vars(module).values() if inspect.isclass(value) and _is_method(value)]
    (method,) = (value for value in own if value.__module__ == module.__name__)
    found: type[Method] = method
    return found


def make(name: str, /, **options: Any) -> Method:
    """The method `name` with these hyper-parameters.

    Raises:
        BadInput: no such method, an option it does not have, or a value of another type.
    """
    method = find(name)
    return method(**checked(method, options, f"method {name}"))


def _is_method(value: type) -> bool:
    from evenhand.methods._base import Method

    return issubclass(value, Method) and not inspect.isabstract(value)
