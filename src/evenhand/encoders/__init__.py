"""Encoders, one module each, found by file name: `encoders/mlp.py` holds the function `mlp`.

An encoder is a function `(shape of one row, **options) -> (module, D)`: the module maps (B, *shape) to (B, D).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from torch import nn

from evenhand.errors import unknown
from evenhand.model import Model


@cache
def names() -> tuple[str, ...]:
    """Every encoder's name, without importing any."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))


def takes(name: str, option: str) -> bool:
    """Whether the encoder `name` (or the one of `name:item`) has this option; False if there is no such encoder."""
    base = name.partition(":")[0]
    return base in names() and option in signature(_function(base)).parameters


def build(name: str, shape: tuple[int, ...], n_classes: int, **options: Any) -> Model:
    """The encoder `name` for rows of this shape, with a linear classifier to `n_classes` on top.

    Args:
        name: a name from `names()`; `base:item` passes `item=` to the encoder `base`, where it takes one.

    Raises:
        BadInput: there is no such encoder, or it does not take rows of this shape.
    """
    base, colon, item = name.partition(":")
    if colon and takes(base, "item"):
        name, options = base, {**options, "item": item}
    if name not in names():
        raise unknown("encoder", name, names())
    encoder, n_features = _function(name)(shape, **options)
    return Model.linear(encoder, n_features, n_classes)


def _function(name: str) -> Callable[..., tuple[nn.Module, int]]:
    found: Callable[..., tuple[nn.Module, int]] = getattr(import_module(f"{__name__}.{name}"), name)
    return found
