"""Distinct values of a column: what they mean, whether labels and predictions can be compared, and their order."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from evenhand.errors import BadInput

Value = bool | int | float | str

MISSING_WORDS = frozenset({"", "na", "n/a", "nan", "null", "none", "<na>"})  # among numbers; in a text column only ""
_WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,18})")
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d{1,3})?(?<!^[+-])")
_WORDS = {"true": True, "false": False}
SHOWN = 5  # values named in a message


def from_texts(raw: Sequence[str | None]) -> list[Value | None]:
    """Each text of a text file as number, truth value or text, whichever fits all of them; None where missing.

    Blanks around are ignored. `007` is a text: numbers do not begin with zeros. Words such as `NaN` are missing among
    numbers, and texts among texts (`NA` may be Namibia); an empty field is always missing.
    """
    stripped = [None if text is None else text.strip() for text in raw]
    present = [text for text in stripped if text is not None and text.lower() not in MISSING_WORDS]
    if present and all(_is_number(text) for text in present):
        return [None if text is None or text.lower() in MISSING_WORDS else _number(text) for text in stripped]
    if present and all(text.lower() in _WORDS for text in present):
        return [None if text is None else _WORDS.get(text.lower()) for text in stripped]
    return [text or None for text in stripped]


def from_types(raw: Sequence[Any], name: str) -> list[Value | None]:
    """Each value of a typed column; NaN is missing, dates are texts, 1.0 is 1 if all numbers are whole.

    Raises:
        BadInput: values that are neither numbers, texts, truth values nor times.
    """
    found = [_plain(value, name) for value in raw]
    numbers = [value for value in found if isinstance(value, float)]
    if numbers and all(value.is_integer() for value in numbers):
        return [int(value) if isinstance(value, float) else value for value in found]
    return found


def meaning(raw: Sequence[Any], name: str, *, as_texts: bool) -> list[Value | None]:
    """What each raw value of the column `name` means, by `from_texts` or `from_types`."""
    return from_texts(raw) if as_texts else from_types(raw, name)


def kind(values: Iterable[Value]) -> str:
    """What the values are, in words for a message."""
    types = {type(value) for value in values}
    if types == {bool}:
        return "true/false"
    if types == {int}:
        return "whole numbers"
    if types <= {int, float}:
        return "numbers"
    return "text" if types == {str} else "mixed"


def shown(values: Iterable[Value]) -> str:
    """The first few, as they would be written in Python."""
    listed = ordered(values)
    return ", ".join(repr(value) for value in listed[:SHOWN]) + (", …" if len(listed) > SHOWN else "")


def ordered(values: Iterable[Value]) -> list[Value]:
    """Distinct values: truth values, numbers by size, then texts by alphabet."""
    return sorted(set(values), key=_order)


def comparable(
    labels: list[Value | None], predictions: list[Value | None]
) -> tuple[list[Value | None], list[Value | None]]:
    """Labels and predictions in one type: true/false against 0/1 become numbers, anything else must agree.

    Raises:
        BadInput: they are of different types and so could never be equal; the message shows both.
    """
    truths = [value for value in labels if value is not None]
    guesses = [value for value in predictions if value is not None]
    if not truths or not guesses:
        return labels, predictions
    kinds = kind(truths), kind(guesses)
    if set(kinds) == {"true/false", "whole numbers"} and set(truths) | set(guesses) <= {0, 1}:
        return _as_numbers(labels), _as_numbers(predictions)
    if kinds[1] == "numbers" and kinds[0] != "text":
        raise BadInput(
            f"predictions must be classes like the labels ({shown(truths)}), got {shown(guesses)}: "
            "probabilities or scores are passed with --score"
        )
    if kinds[0] == "numbers":
        raise BadInput(f"labels must be classes, got numbers with decimals: {shown(truths)}")
    if kinds[0] != kinds[1]:
        raise BadInput(
            f"labels and predictions must be of one type to be compared: the labels are {kinds[0]} ({shown(truths)}), "
            f"the predictions {kinds[1]} ({shown(guesses)})"
        )
    return labels, predictions


def find(text: Any, classes: Sequence[Value], what: str) -> int:
    """The index of the class that `text`, as given on the command line or in Python, stands for.

    Raises:
        BadInput: there is none.
    """
    for index, value in enumerate(classes):
        if value == text and type(value) is type(text):
            return index
    for candidates, wanted in (
        ([written(value) for value in classes], str(text)),
        ([written(value).lower() for value in classes], str(text).lower()),
    ):
        if wanted in candidates:
            return candidates.index(wanted)
    raise BadInput(f"{what} must be one of the classes {shown(classes)}, got {text!r}")


def written(value: Value | None) -> str:
    """How a value reads in tables: `(missing)` for None."""
    return "(missing)" if value is None else str(value)


def _is_number(text: str) -> bool:
    if _WHOLE.fullmatch(text):
        return True
    if not _NUMBER.fullmatch(text) or not any(character.isdigit() for character in text):
        return False
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _number(text: str) -> Value:
    number = float(text)
    if _WHOLE.fullmatch(text):
        return int(text)
    return int(number) if number.is_integer() else number


def _plain(value: Any, name: str) -> Value | None:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date | datetime | time | timedelta):
        return str(value)
    raise BadInput(f"the column {name!r} must hold numbers, texts or true/false, got {type(value).__name__}")


def _as_numbers(values: list[Value | None]) -> list[Value | None]:
    return [int(value) if isinstance(value, bool) else value for value in values]


def _order(value: Value) -> tuple[int, float, str]:
    if isinstance(value, str):
        return (1, 0.0, value)
    return (0, float(value), "")
