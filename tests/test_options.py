"""Options as texts and values, and the settings they become."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.errors import BadInput
from evenhand.options import checked, pairs
from evenhand.settings import Settings


@dataclass(frozen=True)
class Options:
    rate: float = 0.5
    count: int = 1
    flag: bool = False
    name: str = "a"
    kind: Literal["mean", "sum"] = "mean"
    limit: float | None = None
    mixed: int | str = 1
    widths: tuple[int, ...] = (1,)


def test_texts_become_the_types_of_the_fields() -> None:
    texts = {
        "rate": "1e-3", "count": "7", "flag": "yes", "name": "b", "kind": "sum", "limit": "none", "mixed": "x",
        "widths": "3,4",
    }  # fmt: skip
    assert Options(**checked(Options, texts, "it")) == Options(0.001, 7, True, "b", "sum", None, "x", (3, 4))


def test_values_stay_what_they_are() -> None:
    values = {"rate": 2, "count": 3, "flag": True, "limit": 0.25, "widths": [5]}
    found = checked(Options, values, "it")
    assert found == {"rate": 2.0, "count": 3, "flag": True, "limit": 0.25, "widths": (5,)}
    assert isinstance(found["rate"], float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rat": "1"}, r"unknown option of it 'rat'; did you mean 'rate'\? \(known: count, flag"),
        ({"rate": "fast"}, "option rate of it takes a finite number, got 'fast'"),
        ({"rate": "nan"}, "takes a finite number"),
        ({"rate": "inf"}, "takes a finite number"),
        ({"rate": True}, "takes a finite number, got True"),
        ({"count": "1.5"}, "option count of it takes a whole number, got '1.5'"),
        ({"count": 1.5}, "takes a whole number, got 1.5"),
        ({"flag": "maybe"}, "takes true or false, got 'maybe'"),
        ({"flag": 1}, "takes true or false"),
        ({"name": 3}, "takes a text, got 3"),
        ({"kind": "summ"}, "unknown option kind of it 'summ'; did you mean 'sum'"),
        ({"rate": "none"}, "option rate of it takes a finite number, got 'none'"),
        ({"mixed": "none"}, "option mixed of it cannot be none"),
        ({"limit": "x"}, "takes a finite number, got 'x'"),
        ({"widths": 3}, "takes values separated by commas, got 3"),
        ({"widths": "3,x"}, "takes a whole number, got 'x'"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        checked(Options, values, "it")


def test_nothing_is_accepted_by_a_class_without_options() -> None:
    @dataclass(frozen=True)
    class Bare:
        pass

    with pytest.raises(BadInput, match="erm has no options, got 'rate'"):
        checked(Bare, {"rate": 1}, "erm")


def test_pairs() -> None:
    assert pairs(["a=1", "b.c = x=y", "d="]) == {"a": "1", "b.c": "x=y", "d": ""}


@pytest.mark.parametrize("texts", [["a"], ["=1"], [" =1"], ["a=1", "a=2"]])
def test_broken_pairs_are_refused(texts: list[str]) -> None:
    with pytest.raises(BadInput, match="--set"):
        pairs(texts)


@given(st.floats(min_value=1e-9, max_value=1e9), st.integers(1, 10**9))
def test_texts_of_numbers_are_read_back_exactly(lr: float, seed: int) -> None:
    assert checked(Settings, {"lr": str(lr), "seed": str(seed)}, "training") == {"lr": lr, "seed": seed}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"widths": ()}, "widths must be whole numbers of at least 1"),
        ({"widths": (3, 0)}, "widths must be whole numbers of at least 1"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"weight_decay": -1.0}, "weight_decay must not be negative"),
        ({"momentum": 1.0}, "momentum must lie in"),
        ({"step_factor": 0.0}, "step_factor must lie in"),
        ({"clip": 0.0}, "clip must be positive or none"),
        ({"patience": 0}, "patience must be at least 1 or none"),
        ({"seed": -1}, "seed must lie in"),
        ({"threads": 0}, "threads must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Settings(**changes)


def test_every_setting_is_documented() -> None:
    assert Settings.__doc__
    for field in fields(Settings):
        assert f"        {field.name}: " in Settings.__doc__, field.name
