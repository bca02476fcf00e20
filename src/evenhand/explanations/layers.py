"""The layer of a network at which it is explained: the last one that still tells places of the image apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from evenhand.errors import BadInput, unknown
from evenhand.explanations.halves import frozen


@dataclass(frozen=True)
class Layer:
    """Where maps are made.

    Attributes:
        name: of the module, within the model.
        grid: height and width of what it gives out.
        channels: in which dimension; 1 of convolutions, the last of transformers.
        skipped: tokens before those of the image's patches, such as the class token; None where there are no tokens.
    """

    name: str
    grid: tuple[int, int]
    channels: int
    skipped: int | None = None

    def places(self, output: Tensor) -> Tensor:
        """What the layer gives out (or its gradient) as (B, channels, height, width)."""
        if self.skipped is not None:
            output = output[:, self.skipped :].reshape(len(output), *self.grid, -1)
        return output if self.channels == 1 else output.movedim(-1, 1)


class _Seen(NamedTuple):
    name: str
    shape: tuple[int, ...]
    attends: bool  # this is the moment before an attention; otherwise the module has given something out


def find_layer(model: nn.Module, x: Tensor, name: str | None = None) -> Layer:
    """The last layer of `model` that has a place for each part of the image, or the one called `name`.

    Of networks of convolutions it is the last module whose output is (B, channels, height, width) with more than one
    place; of transformers what goes into the last attention, since only the class token counts behind it.

    Args:
        x: a row or more (B, …) of what the model takes.

    Raises:
        BadInput: there is no such layer, or it has no places.
    """
    seen = _order(model, x)
    if name is not None:
        return _named(model, seen, name, x)
    attention = next((k for k in reversed(range(len(seen))) if seen[k].attends), None)
    if attention is not None:
        tokens = [each for each in seen[:attention] if not each.attends and len(each.shape) == 3]
        found = _layer(tokens[-1], seen, x) if tokens else None
        if found is not None:
            return found
    n_features = next((each.shape[-1] for each in reversed(seen) if len(each.shape) == 2 and each.name == "encoder"), 0)
    for each in reversed(seen):
        found = _layer(each, seen, x, n_features) if len(each.shape) == 4 else None
        if found is not None:
            return found
    raise BadInput(
        "the network has no layer that tells places of the image apart, such as a convolution gives out: maps of where "
        "it looks need one"
    )


def _named(model: nn.Module, seen: Sequence[_Seen], name: str, x: Tensor) -> Layer:
    outputs = {each.name: each for each in seen if not each.attends}
    if name not in outputs:
        raise unknown("layer", name, outputs)
    found = _layer(outputs[name], seen, x)
    if found is None:
        shape = "×".join(map(str, outputs[name].shape[1:]))
        raise BadInput(
            f"the layer {name} gives out {shape} for an image, which has no places: one of convolutions gives out "
            "channels × height × width, one of transformers tokens × channels"
        )
    return found


def _layer(each: _Seen, seen: Sequence[_Seen], x: Tensor, n_features: int = 0) -> Layer | None:
    """What a module gives out as a layer; None where it has no more than one place."""
    if len(each.shape) == 4:
        # Some transformers keep channels last, as many of them as there are features in the end.
        last = each.shape[-1] == n_features != each.shape[1] and each.shape[1] == each.shape[2]
        height, width = each.shape[1:3] if last else each.shape[2:4]
        return Layer(each.name, (height, width), 3 if last else 1) if height * width > 1 else None
    if len(each.shape) != 3:
        return None
    n_tokens = each.shape[1]
    patches = [s.shape[2:] for s in seen if len(s.shape) == 4 and not s.attends and s.shape[1] == each.shape[2]]
    side = isqrt(n_tokens)
    grid = next(((h, w) for h, w in patches if h * w <= n_tokens), (side, side))
    return Layer(each.name, grid, 2, n_tokens - grid[0] * grid[1]) if grid[0] * grid[1] > 1 else None


def _order(model: nn.Module, x: Tensor) -> list[_Seen]:
    """What the modules give out, in the order in which they do, and when an attention begins."""
    seen: list[_Seen] = []
    attentions = {name for name, module in model.named_modules() if "attention" in type(module).__name__.lower()}
    handles = []

    def given(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor) and len(output) == len(x):
                seen.append(_Seen(name, tuple(output.shape), False))

        return hook

    def begun(name: str) -> Callable[[nn.Module, Any], None]:
        return lambda module, args: seen.append(_Seen(name, (), True))

    for name, module in model.named_modules():
        handles.append(module.register_forward_hook(given(name)))
        if name in attentions and not any(name.startswith(f"{other}.") for other in attentions):
            handles.append(module.register_forward_pre_hook(begun(name)))
    try:
        with frozen(model), torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return [each for each in seen if each.name]
