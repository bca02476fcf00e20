"""Images as bytes, in memory, on disk or in files, delivered as floats in [-1, 1]."""

from __future__ import annotations

import mmap
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor

from evenhand.errors import BadInput
from evenhand.inputs.augmentation import Step, as_floats, centre

CPU = torch.device("cpu")
SHARE = 0.25  # of a GPU's free memory that the bytes of a split may take
CARRIED = 64 << 20  # bytes that go there at a time


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
        if self.x.device.type == "cpu":
            return _copied_rows(self.x, rows.cpu())
        return self.x.index_select(0, rows.to(self.x.device))


@dataclass(frozen=True, eq=False)
class MappedPixels:
    """Images in a file, of which only the pages that are asked for come into memory; sent to a process as its name.

    The mapping is private: whoever writes into the tensor changes neither the file nor another process's images.

    Attributes:
        file: bytes of all images in order.
        start: where in it the first image begins.
        shape: (N, channels, side, side), N at least 1.
    """

    file: Path
    start: int
    shape: tuple[int, int, int, int]
    slow = False

    def __len__(self) -> int:
        return self.shape[0]

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "x"}

    @cached_property
    def x(self) -> Tensor:
        """(N, channels, side, side) uint8.

        Raises:
            BadInput: the file is gone, or too short.
        """
        length = self.start + prod(self.shape)
        try:
            with self.file.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), length, **_PRIVATE)
        except (OSError, ValueError) as error:
            raise BadInput(f"the decoded images in {self.file} are gone ({error}); run again to decode anew") from error
        return torch.from_numpy(np.frombuffer(mapped, np.uint8, offset=self.start)).view(self.shape)

    def gather(self, rows: Tensor) -> Tensor:
        return _copied_rows(self.x, rows)


def _copied_rows(x: Tensor, rows: Tensor) -> Tensor:
    """`x.index_select(0, rows)` by one thread: copying is bound by the memory, and where other processes use the cores
    PyTorch's threads wait for each other a hundred times as long as copying takes."""
    return torch.from_numpy(x.numpy().take(rows.numpy(), axis=0))


# Without MAP_NORESERVE Linux refuses to map privately what is larger than the memory. The system is not told that it is
# read at random: it would then read page by page, which takes nine times as long when the file is not in memory.
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
_PRIVATE: dict[str, int] = (
    {"flags": mmap.MAP_PRIVATE | _NORESERVE, "prot": mmap.PROT_READ | mmap.PROT_WRITE}
    if sys.platform == "linux"
    else {"access": mmap.ACCESS_COPY}
)


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
    augmentation: Step | None = None
    device: torch.device = CPU
    lengths = None

    @property
    def augments(self) -> bool:
        return self.augmentation is not None

    @property
    def slow(self) -> bool:
        """Whether gathering is slow, or batches go to another device than the one where the bytes are."""
        return self.pixels.slow or (self.device.type != "cpu" and not self._kept_on(self.device))

    def __len__(self) -> int:
        return len(self.pixels) if self.index is None else len(self.index)

    def take(self, rows: Tensor, rng: Generator | None = None) -> Tensor:
        stored = self._gathered(rows if self.index is None else self.index.index_select(0, rows.cpu()))
        if rng is not None and self.augmentation is not None:
            return self.augmentation(stored, rng)
        return as_floats(stored if self.size is None else centre(stored, self.size))

    def _gathered(self, rows: Tensor) -> Tensor:
        """The bytes of `rows` of `pixels` on `device`."""
        if self._kept_on(self.device):
            return self.pixels.gather(rows)
        stored = self.pixels.gather(rows.cpu())
        if self.device.type == "cuda":
            stored = stored.pin_memory()
        return stored.to(self.device, non_blocking=True)

    def to(self, device: torch.device) -> ImageInputs:
        """The same inputs, delivered on `device`.

        The bytes themselves go to a GPU if they take at most a quarter of its free memory; batches are then cut and
        augmented there and nothing is copied. Otherwise each batch is copied from pinned memory.
        """
        moved = replace(self, device=device)
        if device.type != "cuda" or self.pixels.slow or self._kept_on(device) or not len(self):
            return moved
        image = self.pixels.gather(self._rows(0, 1))[0]
        if len(self) * image.numel() > SHARE * torch.cuda.mem_get_info(device)[0]:
            return moved
        return moved.kept(self._copied(image.shape, device))

    def kept(self, x: Tensor) -> ImageInputs:
        """The same inputs with `x` (M, channels, side, side) uint8 as their images, in order."""
        return replace(self, pixels=MemoryPixels(x), index=None)

    def _kept_on(self, device: torch.device) -> bool:
        return isinstance(self.pixels, MemoryPixels) and self.pixels.x.device.type == device.type

    def _copied(self, shape: torch.Size, device: torch.device) -> Tensor:
        """All of the images' bytes on `device`, carried there by some at a time."""
        x = torch.empty((len(self), *shape), dtype=torch.uint8, device=device)
        step = max(1, CARRIED // shape.numel())
        for first in range(0, len(self), step):
            x[first : first + step] = self.pixels.gather(self._rows(first, first + step))
        return x

    def _rows(self, first: int, last: int) -> Tensor:
        """Which images of `pixels` these of the inputs are."""
        return torch.arange(first, min(last, len(self))) if self.index is None else self.index[first:last]
