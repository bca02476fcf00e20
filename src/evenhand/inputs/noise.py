"""Noise on the inputs of some rows: drawn once, and the same whenever a row is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Generator, Tensor

from evenhand.batch import Inputs, RowsOf, TensorInputs
from evenhand.errors import BadInput
from evenhand.inputs.images import ImageInputs, MemoryPixels, Pixels

LEVELS = 127.5  # levels of a byte to one unit of what networks are given, which goes from -1 to 1


def noisy(inputs: Inputs, rows: Tensor, sd: float, seed: int) -> Inputs:
    """The inputs with normal noise of standard deviation `sd` on some rows (M int64).

    Units are those that a network is given: standardised columns of a table, -1 (black) to 1 (white) of an image. The
    noise of an image is on what is stored, as that of a camera would be: it is cut and turned with it, and what leaves
    the range is black or white. Images that are read from a cache or from files get theirs when they are read, each
    from a generator of its own, seeded by `seed` and the image's number. Other inputs come into memory for it.

    Raises:
        BadInput: the inputs are texts.
    """
    if isinstance(inputs, RowsOf):
        return RowsOf(noisy(inputs.inputs, inputs.index[rows], sd, seed), inputs.index)
    if isinstance(inputs, ImageInputs):
        images = rows if inputs.index is None else inputs.index[rows]
        chosen_N = torch.zeros(len(inputs.pixels), dtype=torch.bool).index_fill_(0, images, value=True)
        pixels = NoisyPixels(inputs.pixels, chosen_N, sd, seed)
        return replace(inputs, pixels=pixels.in_memory() if isinstance(inputs.pixels, MemoryPixels) else pixels)
    x = inputs.take(torch.arange(len(inputs)))
    if inputs.lengths is not None or not x.is_floating_point():
        raise BadInput("feature_noise is for tables, features and images; these inputs are texts")
    noise = torch.randn((len(rows), *x.shape[1:]), generator=Generator().manual_seed(seed))
    return TensorInputs(x.index_add(0, rows, (sd * noise).to(x.dtype)))


@dataclass(frozen=True, eq=False)
class NoisyPixels:
    """Other images, some of them with noise.

    Attributes:
        pixels: the images without it.
        chosen: (N,) bool, which of them get noise.
        sd: its standard deviation, where 1 is half the way from black to white.
        seed: of the noise.
    """

    pixels: Pixels
    chosen: Tensor
    sd: float
    seed: int

    @property
    def slow(self) -> bool:
        return self.pixels.slow

    def __len__(self) -> int:
        return len(self.pixels)

    def gather(self, rows: Tensor) -> Tensor:
        rows = rows.cpu()
        x = self.pixels.gather(rows).clone()
        chosen_B = self.chosen[rows]
        for place in torch.nonzero(chosen_B).flatten().tolist():  # reading an image costs far more than drawing noise
            x[place] = self._with_noise(x[place], int(rows[place]))
        return x

    def in_memory(self) -> MemoryPixels:
        """The same images as one tensor."""
        return MemoryPixels(self.gather(torch.arange(len(self))))

    def _with_noise(self, image: Tensor, number: int) -> Tensor:
        noise = np.random.default_rng((self.seed, number)).standard_normal(tuple(image.shape), dtype=np.float32)
        return (image + self.sd * LEVELS * torch.from_numpy(noise)).round().clamp(0, 255).to(torch.uint8)
