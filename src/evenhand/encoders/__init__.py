"""Encoders, one module each, found by file name: `encoders/mlp.py` holds the function `mlp`.

An encoder is a function `(shape of one row, **options) -> (module, D)`: the module maps (B, *shape) to (B, D).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from evenhand.errors import unknown
from evenhand.model import Model


@cache
def names() -> tuple[str, ...]:
    """Every encoder's name, without importing any."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))


def build(name: str, shape: tuple[int, ...], n_classes: int, **options: Any) -> Model:
    """The encoder `name` for rows of this shape, with a linear classifier to `n_classes` on top.

    Raises:
        BadInput: there is no such encoder, or it does not take rows of this shape.
    """
    if name not in names():
        raise unknown("encoder", name, names())
    encoder, n_features = getattr(import_module(f"{__name__}.{name}"), name)(shape, **options)
    return Model.linear(encoder, n_features, n_classes)
