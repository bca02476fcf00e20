"""Weights from a file into a network whose names may stand behind others there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from evenhand.errors import BadInput

AROUND = {"module", "encoder", "backbone", "model", "body", "_orig_mod"}  # names that others put before a network's own
HEADS = {"fc", "classifier", "head", "heads", "head_dist", "last_linear"}  # what encoders leave out
COUNTER = "num_batches_tracked"  # which older files lack


def fill(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    source: str,
    name: str,
    adapt: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
) -> str:
    """Copy `tensors` into every parameter and buffer of `module`; the prefix behind which its names stood.

    A classifier in the file is left out, and so is what stands beside the network, but not more layers of the same.

    Args:
        source: where the tensors are from, for messages.
        name: of the encoder.
        adapt: what to do with the tensors, by their names in `module`, before they are compared with it.

    Raises:
        BadInput: a weight is missing, has another shape, or has no place; nothing is copied then.
    """
    wanted = module.state_dict()
    prefix = common_prefix(wanted, tensors)
    inside = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    if not wanted.keys() & inside.keys():
        raise BadInput(
            f"{source} holds no weights of the encoder {name}: it names {_some(tensors)}; wanted are {_some(wanted)}"
        )
    inside = adapt(inside) if adapt else inside
    for key, value in wanted.items():
        if key not in inside and not key.endswith(COUNTER):
            n_missing = sum(k not in inside and not k.endswith(COUNTER) for k in wanted)
            raise BadInput(
                f"{source} lacks {n_missing} weights of the encoder {name}, the first of them {prefix}{key} of shape "
                f"{tuple(value.shape)}"
            )
        if key in inside and inside[key].shape != value.shape:
            raise BadInput(
                f"{source} holds {prefix}{key} of shape {tuple(inside[key].shape)}; the encoder {name} wants "
                f"{tuple(value.shape)}"
            )
    for key in inside.keys() - wanted.keys():
        if _belongs(key, wanted):
            raise BadInput(f"{source} is of another network than the encoder {name}, which has no {prefix}{key}")
    with torch.no_grad():
        for key in wanted.keys() & inside.keys():
            wanted[key].copy_(inside[key])
    return prefix


def common_prefix(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """The prefix of known words behind which most of the wanted names stand, the shortest such; often empty."""
    prefixes = {""}
    for key in tensors:
        parts, prefix = key.split("."), ""
        for part in parts[:-1]:
            if part not in AROUND:
                break
            prefix += f"{part}."
            prefixes.add(prefix)
    return max(prefixes, key=lambda prefix: (sum(prefix + key in tensors for key in wanted), -len(prefix)))


def _belongs(key: str, wanted: Mapping[str, Tensor]) -> bool:
    """Whether a weight without a place is of the network itself: a further layer, not its head or a neighbour."""
    first = key.partition(".")[0]
    return first not in HEADS and (first.isdigit() or first in {name.partition(".")[0] for name in wanted})


def _some(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(list(tensors)[:3]) + (", …" if len(tensors) > 3 else "")
