"""`evenhand methods`."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import pytest
from refusal import assert_refused

from evenhand import methods
from evenhand.cli.methods import type_text


def test_all_methods_are_listed_with_their_first_sentence(evenhand: Any, tmp_path: Path) -> None:
    done = evenhand("methods", "--json", tmp_path / "methods.json")
    assert done.code == 0
    found = json.loads((tmp_path / "methods.json").read_text())["methods"]
    assert [method["name"] for method in found] == list(methods.names())
    for method in found:
        assert method["name"] in done.out
        # What the heading says of all is not said again of one.
        plain = method["summary"].removesuffix(" Needs no groups.").removesuffix("; needs no groups.").rstrip(".")
        assert plain in done.out
    heading = done.out.index("Methods that do not")
    for method in found:
        assert (done.out.index(f"\n{method['name']} ") < heading) == method["needs_groups"]
    assert {m["name"]: m["needs_groups"] for m in found}["erm"] is False


@pytest.mark.parametrize("name", methods.names())
def test_one_method_in_full(evenhand: Any, name: str) -> None:
    done = evenhand("methods", name)
    assert done.code == 0
    for option in fields(methods.find(name)):
        assert option.name in done.out
    assert methods.find(name).source in done.out


def test_options_with_type_and_default(evenhand: Any, tmp_path: Path) -> None:
    evenhand("methods", "groupdro", "--json", tmp_path / "groupdro.json")
    found = json.loads((tmp_path / "groupdro.json").read_text())
    assert {"name": "step_size", "type": "number", "default": 0.01} in found["options"]


def test_an_unknown_method(evenhand: Any) -> None:
    assert_refused(evenhand("methods", "gruopdro"), "unknown method 'gruopdro'; did you mean 'groupdro'?")


def test_types_in_words() -> None:
    assert type_text(float | None) == "number | none"
    assert type_text(Literal["train", "val"]) == "train | val"
    assert type_text(bool) == "true | false"
    assert type_text(tuple[int, ...]) == "whole number, …"
