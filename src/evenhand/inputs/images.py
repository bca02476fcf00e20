"""Images as bytes, in memory, on disk or in files, delivered as floats in [-1, 1]."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Generator, Tensor

from evenhand.inputs.augmentation import Augmentation, as_floats, centre

CPU = torch.device("cpu")


class Pixels(Protocol):
    """N images of one size as bytes: a tensor in memory, a memory-mapped cache, or files that are decoded on demand."""

    def __len__(self) -> int: ...

    @property
    def slow(self) -> bool:
        """Whether gathering takes about as long as training on what it gives."""
        ...

    def gather(self, rows: Tensor) -> Tensor:
        """The images of `rows` (B int64 on the CPU): (B, channels, side, side) uint8 on the CPU."""
        ...


@dataclass(frozen=True, eq=False)
class MemoryPixels:
    """Images `x` (N, channels, side, side) uint8, in memory or mapped from a file."""

    x: Tensor
    slow = False

    def __len__(self) -> int:
        return len(self.x)

    def gather(self, rows: Tensor) -> Tensor:
        return self.x.index_select(0, rows.to(self.x.device))


@dataclass(frozen=True, eq=False)
class ImageInputs:
    """Images of a split: bytes until the rows of a batch are asked for, then floats from -1 (black) to 1 (white).

    Attributes:
        pixels: where the bytes are.
        index: (M,) int64, which images of `pixels` these are; None for all of them, in order.
        size: pixels a side of what is delivered: without augmentation the centre of what is stored; None is all of it.
        augmentation: what training batches go through.
        device: where batches are delivered.
    """

    pixels: Pixels
    index: Tensor | None = None
    size: int | None = None
    augmentation: Augmentation | None = None
    device: torch.device = CPU
    lengths = None

    @property
    def augments(self) -> bool:
        return self.augmentation is not None

    @property
    def slow(self) -> bool:
        """Whether gathering is slow, or batches go to another device."""
        return self.pixels.slow or self.device.type != "cpu"

    def __len__(self) -> int:
        return len(self.pixels) if self.index is None else len(self.index)

    def take(self, rows: Tensor, rng: Generator | None = None) -> Tensor:
        rows = rows.cpu()
        stored = self.pixels.gather(rows if self.index is None else self.index.index_select(0, rows))
        if self.device.type == "cuda":
            stored = stored.pin_memory()
        stored = stored.to(self.device, non_blocking=True)
        if rng is not None and self.augmentation is not None:
            return self.augmentation(stored, rng)
        return as_floats(stored if self.size is None else centre(stored, self.size))

    def to(self, device: torch.device) -> ImageInputs:
        return replace(self, device=device)
