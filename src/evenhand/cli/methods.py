"""`evenhand methods`: what there is to train with."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from evenhand.cli._arguments import Json
from evenhand.cli._output import check_writable, say, write_result

if TYPE_CHECKING:
    from evenhand.methods._base import Method


def methods(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One method, shown in full.")] = None,
    *,
    json: Json = None,
) -> int:
    """List the methods, or show one with its options.

    \b
    Examples:
      evenhand methods
      evenhand methods groupdro
    """
    from evenhand.methods import find, names

    check_writable(json)
    if name is None:
        found = [described(each, find(each)) for each in names()]
        _show_all(found)
        write_result(json, {"methods": found})
    else:
        method = find(name)
        _show_one(name, method)
        write_result(json, described(name, method))
    return 0


def described(name: str, method: type[Method]) -> dict[str, Any]:
    """What a method is, for machines."""
    hints = get_type_hints(method)
    return {
        "name": name,
        "summary": (inspect.getdoc(method) or "").partition("\n")[0],
        "needs_groups": method.needs_groups,
        "options": [
            {"name": field.name, "type": type_text(hints[field.name]), "default": _default(field)}
            for field in fields(method)
        ],
        "source": method.source,
    }


def type_text(hint: Any) -> str:
    """A type as one writes its values: `number`, `on | off`, `train | val`."""
    if get_origin(hint) is Literal:
        return " | ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        return f"{type_text(get_args(hint)[0])}, …"
    if parts := get_args(hint):
        return " | ".join(map(type_text, parts))
    return _TYPES.get(hint, getattr(hint, "__name__", str(hint)))


_TYPES = {float: "number", int: "whole number", bool: "true | false", str: "text", type(None): "none"}


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else None


def _show_all(found: list[dict[str, Any]]) -> None:
    from evenhand.cli import _tables
    from evenhand.study.tables import Table

    def rows(needs_groups: bool) -> tuple[tuple[str, ...], ...]:
        return tuple(
            (method["name"], method["summary"].removesuffix(" Needs no groups.").replace("; needs no groups.", "."))
            for method in found
            if method["needs_groups"] == needs_groups
        )

    note = "More on one, with its options: evenhand methods NAME"
    columns = ("method", "what it does")
    _tables.show(
        [
            Table("Methods that know the groups of training rows", columns, rows(True), text_columns=(0, 1)),
            Table("Methods that do not", columns, rows(False), (note,), text_columns=(0, 1)),
        ]
    )


def _show_one(name: str, method: type[Method]) -> None:
    from evenhand.cli import _tables
    from evenhand.study.tables import Table

    facts = described(name, method)
    say(name, style="bold")
    say(inspect.getdoc(method) or "")
    say("")
    if facts["options"]:
        rows = tuple((o["name"], o["type"], str(o["default"]).lower()) for o in facts["options"])
        note = f"Set with `evenhand train … --method {name} --set {rows[0][0]}=…`."
        _tables.show([Table("Options", ("option", "values", "default"), rows, (note,), text_columns=(0, 1, 2))])
    say(f"needs groups  {'yes' if facts['needs_groups'] else 'no'}")
    say(f"source        {facts['source']}")
