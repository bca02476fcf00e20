"""A network cut at a layer: what comes before it is computed once, what comes after it as often as is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn


@dataclass(frozen=True, eq=False)
class Halves:
    """`model(x)` in two steps: `activations, *others = before(x)`, `logits = after(activations, *others)`.

    Attributes:
        before: from inputs to what the layer gives out, and to whatever else passes it by.
        after: from there to logits.
    """

    before: nn.Module
    after: nn.Module


class After(nn.Module):
    """The second half for some rows: activations in, logits out.

    Attributes:
        layer: gives its input out as it is, in the place of the layer that was cut at.
        others: what passes the layer by; a single row of them stands for any number.
    """

    def __init__(self, rest: nn.Module, others: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.layer = nn.Identity()
        self.rest = rest
        self.others = others

    def forward(self, activations: Tensor) -> Tensor:
        n_rows = len(activations)
        others = [each.expand(n_rows, *each.shape[1:]) if len(each) == 1 else each for each in self.others]
        # A copy, as networks may work in place on what the layer gave out.
        logits: Tensor = self.rest(self.layer(activations).clone(), *others)
        return logits


def cut(model: nn.Module, layer: str, x: Tensor) -> Halves | None:
    """The model cut behind the module that it calls `layer`; None where that cannot be done.

    It cannot where the way through the modules around the layer depends on values, where the layer is used more than
    once, or where something else than rows of tensors passes it by. That the halves give what the whole gives is
    checked on the rows of `x` (at least 2).
    """
    try:
        halves = _cut(model, layer)
        with torch.no_grad():
            made: tuple[Tensor, ...] = () if halves is None else tuple(halves.before(x))
            if halves is None or not all(isinstance(each, Tensor) and len(each) == len(x) for each in made):
                return None
            found, one = (After(halves.after, rows[1:])(rows[0]) for rows in (made, tuple(each[:1] for each in made)))
            whole = model(x)
    except Exception:  # networks are free to do anything; the whole one is there still
        return None
    close = (torch.allclose(whole[: len(each)], each, rtol=1e-3, atol=1e-4) for each in (found, one))
    return halves if all(close) else None


def _cut(model: nn.Module, layer: str) -> Halves | None:
    graph = _Around(layer).trace(model)
    calls = [node for node in graph.nodes if node.op == "call_module" and node.target == layer]
    if len(calls) != 1:
        return None
    (at,) = calls
    later = _later(at)
    output = next(node for node in graph.nodes if node.op == "output")
    if output.args[0] not in later:
        return None
    needed = dict.fromkeys(each for node in graph.nodes if node in later for each in node.all_input_nodes)
    beside = [node for node in needed if node not in later and node is not at and node.op != "get_attr"]
    before, after = fx.Graph(), fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    earlier = _earlier(at, *beside)
    for node in graph.nodes:
        if node in earlier or node.op == "placeholder":
            copied[node] = before.node_copy(node, copied.__getitem__)
    before.output(tuple(copied[node] for node in (at, *beside)))
    placed = {node: after.placeholder(f"given_{k}") for k, node in enumerate((at, *beside))}
    for node in graph.nodes:
        if node in later or (node in needed and node.op == "get_attr"):
            placed[node] = after.node_copy(node, placed.__getitem__)
    after.output(placed[output.args[0]])
    return Halves(fx.GraphModule(model, before), fx.GraphModule(model, after))


def _later(at: fx.Node) -> set[fx.Node]:
    """Everything that is computed from a node, but for the output."""
    found: set[fx.Node] = set()
    waiting = list(at.users)
    while waiting:
        node = waiting.pop()
        if node not in found and node.op != "output":
            found.add(node)
            waiting += node.users
    return found


def _earlier(*wanted: fx.Node) -> set[fx.Node]:
    """Everything that nodes are computed from, and they themselves."""
    found: set[fx.Node] = set()
    waiting = list(wanted)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += node.all_input_nodes
    return found


class _Around(fx.Tracer):
    """Looks only into the modules that the layer lies in; all others are called as they are."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        parts = layer.split(".")
        self.opened = {".".join(parts[:depth]) for depth in range(len(parts))}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name not in self.opened


@contextmanager
def replaced(layer: nn.Module, by: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside, what the layer gives out is replaced."""

    def hook(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return by(output)

    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in eval mode and no parameter collects gradients."""
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        for parameter, requires in wanted:
            parameter.requires_grad_(requires)
        for module, training in modes:
            module.training = training
