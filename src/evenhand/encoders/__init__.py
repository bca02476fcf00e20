"""Encoders, one module each, found by file name: `encoders/mlp.py` holds the function `mlp`.

An encoder is a function `(shape of one row, **options) -> (module, D)`: the module maps (B, *shape) to (B, D). Images
come as floats in [-1, 1]; encoders with published weights normalise them inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

from torch import nn

from evenhand import by_name
from evenhand.encoders._weights import check_there, digest, is_path, load
from evenhand.errors import BadInput, unknown
from evenhand.model import Model

__all__ = ["build", "check_named", "digest", "names", "takes"]


def names() -> tuple[str, ...]:
    """Every encoder's name, without importing any."""
    return by_name.names(__name__)


def takes(name: str, option: str) -> bool:
    """Whether the encoder `name` (or the one of `name:item`) has this option; False if there is no such encoder."""
    base = name.partition(":")[0]
    return base in names() and option in signature(_function(base)).parameters


def check_named(name: str | None, weights: str) -> None:
    """Raise BadInput if there is no encoder of this name (None is any), or nothing of the path that `weights` is."""
    base = (name or "").partition(":")[0]
    if name is not None and base not in names():
        raise unknown("encoder", base, names())
    check_there(weights)


def build(name: str, shape: tuple[int, ...], n_classes: int, **options: Any) -> Model:
    """The encoder `name` for rows of this shape, with a linear classifier to `n_classes` on top.

    On the meta device no weights are read; a path must exist all the same.

    Args:
        name: a name from `names()`; `base:item` passes `item=` to the encoder `base`, where it takes one.
        options: of the encoder; `weights` of any is `none`, `pretrained` where there are published ones, or a path: a
            file of safetensors or of a state dict, or the folder of a finished run.

    Raises:
        BadInput: there is no such encoder, it lacks an option, does not take rows of this shape, or has other weights.
    """
    base, colon, item = name.partition(":")
    if base not in names():
        raise unknown("encoder", base, names())
    options = {**options, "item": item} if colon else options
    weights = "none" if takes(base, "weights") else options.pop("weights", "none")
    _check(name, options, signature(_function(base)).parameters)
    if weights == "pretrained":
        raise BadInput(f"there are no published weights of the encoder {name}; weights takes none or a path")
    encoder, n_features = _function(base)(shape, **options)
    if is_path(weights):
        load(encoder, weights, name)
    return Model.linear(encoder, n_features, n_classes)


def _function(name: str) -> Callable[..., tuple[nn.Module, int]]:
    found: Callable[..., tuple[nn.Module, int]] = getattr(import_module(f"{__name__}.{name}"), name)
    return found


def _check(name: str, options: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> None:
    """Raise BadInput unless the encoder, which has these parameters, takes these options."""
    base = name.partition(":")[0]
    if "item" in options and "item" not in parameters:
        raise BadInput(f"the encoder {base} takes nothing after a colon, got {name!r}")
    if "item" in parameters and not options.get("item") and parameters["item"].default is Parameter.empty:
        raise BadInput(f"the encoder {base} needs a name after a colon, {base}:NAME, got {name!r}")
    for option in options:
        if option not in parameters:
            raise unknown(f"option of the encoder {base}", option, [key for key in parameters if key != "shape"])
