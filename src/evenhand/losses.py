"""Losses that several methods share. All are computed in single precision at least, in nats."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits_BC: Tensor, y_B: Tensor) -> Tensor:
    """(B,) cross-entropy of each row, in nats."""
    return F.cross_entropy(at_least_single(logits_BC), y_B, reduction="none")


def mean_cross_entropy(logits_BC: Tensor, y_B: Tensor) -> Tensor:
    """Scalar mean of the rows' cross-entropies, in nats: faster than `cross_entropy(…).mean()`."""
    return F.cross_entropy(at_least_single(logits_BC), y_B)


def at_least_single(values: Tensor) -> Tensor:
    """`values`, as float32 if they are of half precision."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def full_precision(device: torch.device) -> AbstractContextManager[None]:
    """Inside, autocasting is off: for differences of nearly equal numbers."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
