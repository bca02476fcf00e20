"""Training methods, one module each, found by file name: `methods/groupdro.py` holds the method `groupdro`."""

from __future__ import annotations

import inspect
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.errors import BadInput, unknown

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


def make(name: str, **options: Any) -> Method:
    """The method `name` with these hyper-parameters.

    Raises:
        BadInput: an option the method does not have, or a value it does not take.
    """
    method = find(name)
    known = [field.name for field in fields(method)]
    for key in options:
        if key not in known:
            raise unknown(f"option of {name}", key, known) if known else BadInput(f"{name} has no options, got {key!r}")
    return method(**options)


def _is_method(value: type) -> bool:
    from evenhand.methods._base import Method

    return issubclass(value, Method) and not inspect.isabstract(value)
