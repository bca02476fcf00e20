"""Options given as text or values, checked against the fields of a frozen dataclass."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from evenhand.errors import BadInput, unknown


def checked(cls: type, values: Mapping[str, Any], owner: str, also: Collection[str] = ()) -> dict[str, Any]:
    """`values` with each one converted to the type of its field in the dataclass `cls`.

    Texts, as they come from the command line, are read as the field's type: `none` for None, `a,b` for a tuple.
    `also` are names that something else takes: they are suggested, too.

    Raises:
        BadInput: a key that `cls` has no field for (the nearest is suggested), or a value of another type.
    """
    known = {field.name for field in fields(cls) if field.init}
    for key in values:
        if key not in known:
            raise (
                unknown(f"option of {owner}", key, {*known, *also})
                if known or also
                else BadInput(f"{owner} has no options, got {key!r}")
            )
    hints = _hints(cls)
    return {key: _convert(value, hints[key], f"option {key} of {owner}") for key, value in values.items()}


def pairs(texts: list[str], flag: str = "--set") -> dict[str, str]:
    """`["lr=0.1", "a.b=c"]` as a dictionary.

    Raises:
        BadInput: a text without `=`, or the same key twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise BadInput(f"{flag} takes key=value, got {text!r}")
        if key.strip() in found:
            raise BadInput(f"{flag} names {key.strip()!r} twice")
        found[key.strip()] = value.strip()
    return found


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _convert(value: Any, wanted: Any, what: str) -> Any:
    origin = get_origin(wanted)
    if origin in (Union, UnionType):
        return _convert_union(value, get_args(wanted), what)
    if origin is Literal:
        for choice in get_args(wanted):
            if value == choice or value == str(choice):
                return choice
        raise unknown(what, str(value), [str(choice) for choice in get_args(wanted)])
    if origin is tuple:
        if not isinstance(value, str | list | tuple):
            raise BadInput(f"{what} takes values separated by commas, got {value!r}")
        items = value.split(",") if isinstance(value, str) else value
        return tuple(_convert(item, get_args(wanted)[0], what) for item in items)
    return _convert_plain(value, wanted, what)


def _convert_union(value: Any, choices: tuple[Any, ...], what: str) -> Any:
    if value is None or (isinstance(value, str) and value.lower() == "none"):
        if NoneType in choices:
            return None
        raise BadInput(f"{what} cannot be none")
    rest = [choice for choice in choices if choice is not NoneType]
    for choice in rest[:-1]:
        try:
            return _convert(value, choice, what)
        except BadInput:
            continue
    return _convert(value, rest[-1], what)


def _convert_plain(value: Any, wanted: type, what: str) -> Any:
    error = BadInput(f"{what} takes {_KINDS.get(wanted, wanted.__name__)}, got {value!r}")
    if wanted is bool:
        if isinstance(value, str) and value.lower() in _BOOLEANS:
            return _BOOLEANS[value.lower()]
        if not isinstance(value, bool):
            raise error
        return value
    if isinstance(value, bool) or (wanted is str and not isinstance(value, str)):
        raise error
    if wanted is int and isinstance(value, float):
        raise error
    try:
        converted = wanted(value)
    except (TypeError, ValueError):
        raise error from None
    if wanted is float and not math.isfinite(converted):
        raise error
    return converted


_KINDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
