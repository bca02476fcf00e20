"""Features in a file, mapped into memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class MappedFeatures:
    """Rows of a file, delivered in single precision.

    Attributes:
        x: (N, D) of any floating type, mapped from the file.
        mean: (D,) what is taken off every row; None takes nothing off and scales nothing.
        scale: (D,) by which the rest is multiplied.
        device: where batches are delivered.
    """

    x: Tensor
    mean: Tensor | None = None
    scale: Tensor | None = None
    device: torch.device = CPU
    augments = False
    lengths = None

    @property
    def slow(self) -> bool:
        """Whether batches go to another device."""
        return self.device.type != "cpu"

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Tensor, rng: Generator | None = None) -> Tensor:
        x_BD = self.x.index_select(0, rows.cpu())
        if self.device.type == "cuda":
            x_BD = x_BD.pin_memory()
        x_BD = x_BD.to(self.device, non_blocking=True).float()
        return x_BD if self.mean is None or self.scale is None else (x_BD - self.mean) * self.scale

    def to(self, device: torch.device) -> MappedFeatures:
        mean, scale = (None if each is None else each.to(device) for each in (self.mean, self.scale))
        return replace(self, mean=mean, scale=scale, device=device)
