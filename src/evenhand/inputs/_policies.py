"""AutoAugment and RandAugment for whole batches: images that get the same operation get it together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import atan, degrees
from typing import NamedTuple

import torch
from torch import Generator, Tensor


class Change(NamedTuple):
    """One operation with its magnitude, in the operation's own unit."""

    operation: str
    magnitude: float


SAME = Change("identity", 0.0)
BY_SHARE = {"shear": 0.3, "translate": 150 / 331, "rotate": 30.0, "factor": 0.9}  # largest magnitudes, of both papers
KINDS = {
    "shear-x": "shear", "shear-y": "shear", "translate-x": "translate", "translate-y": "translate", "rotate": "rotate",
    "brightness": "factor", "color": "factor", "contrast": "factor", "sharpness": "factor",
}  # fmt: skip
RANDAUGMENT = ("identity", *KINDS, "posterize", "solarize", "autocontrast", "equalize")

# Cubuk et al. (2019), AutoAugment, Tables 7 and 9: operation, tenths of probability, level of 0..9.
POLICIES = {
    "cifar": """
        invert 1 -, contrast 2 6; rotate 7 2, translate-x 3 9; sharpness 8 1, sharpness 9 3;
        shear-y 5 8, translate-y 7 9; autocontrast 5 -, equalize 9 -; shear-y 2 7, posterize 3 7;
        color 4 3, brightness 6 7; sharpness 3 9, brightness 7 9; equalize 6 -, equalize 5 -;
        contrast 6 7, sharpness 6 5; color 7 7, translate-x 5 8; equalize 3 -, autocontrast 4 -;
        translate-y 4 3, sharpness 2 6; brightness 9 6, color 2 8; solarize 5 2, invert 0 -;
        equalize 2 -, autocontrast 6 -; equalize 2 -, equalize 6 -; color 9 9, equalize 6 -;
        autocontrast 8 -, solarize 2 8; brightness 1 3, color 7 0; solarize 4 5, autocontrast 9 -;
        translate-y 9 9, translate-y 7 9; autocontrast 9 -, solarize 8 3; equalize 8 -, invert 1 -;
        translate-y 7 9, autocontrast 9 -
    """,
    "imagenet": """
        posterize 4 8, rotate 6 9; solarize 6 5, autocontrast 6 -; equalize 8 -, equalize 6 -;
        posterize 6 7, posterize 6 6; equalize 4 -, solarize 2 4; equalize 4 -, rotate 8 8;
        solarize 6 3, equalize 6 -; posterize 8 5, equalize 10 -; rotate 2 3, solarize 6 8;
        equalize 6 -, posterize 4 6; rotate 8 8, color 4 0; rotate 4 9, equalize 6 -;
        equalize 0 -, equalize 8 -; invert 6 -, equalize 10 -; color 6 4, contrast 10 8;
        rotate 8 8, color 10 2; color 8 8, solarize 8 7; sharpness 4 7, invert 6 -;
        shear-x 6 5, equalize 10 -; color 4 0, equalize 6 -; equalize 4 -, solarize 2 4;
        solarize 6 5, autocontrast 6 -; invert 6 -, equalize 10 -; color 6 4, contrast 10 8;
        equalize 8 -, equalize 6 -
    """,
}


def magnitude(operation: str, level: int, levels: int, size: int) -> float:
    """How strong an operation is at `level` of 0..`levels`-1 on images of `size` pixels a side; 0 without strength.

    Shear in pixels per pixel, translation in pixels, rotation in degrees, `factor` as the difference of the factor
    from 1, `posterize` in bits that are kept, `solarize` as the share of white from which on values are inverted.
    """
    if operation == "posterize":
        return float(round(8 - 4 * level / (levels - 1)))
    if operation == "solarize":
        return float(torch.linspace(1.0, 0.0, levels)[level])
    if operation not in KINDS:
        return 0.0
    most = BY_SHARE[KINDS[operation]] * (size if KINDS[operation] == "translate" else 1)
    return float(torch.linspace(0.0, most, levels)[level])


@dataclass(frozen=True)
class Changes:
    """Every change that a batch may go through, each once, and of K choices the changes of either sign.

    Attributes:
        all: the distinct changes.
        of: (2, K) index of the choice's change, as it is and with the magnitude's sign reversed.
    """

    all: tuple[Change, ...]
    of: Tensor

    @classmethod
    def among(cls, choices: Sequence[Change]) -> Changes:
        """The changes that these choices come to."""
        reversed_ = [Change(c.operation, -c.magnitude) if c.operation in KINDS else c for c in choices]
        distinct = tuple(dict.fromkeys([SAME, *choices, *reversed_]))
        return cls(distinct, torch.tensor([[distinct.index(c) for c in side] for side in (choices, reversed_)]))

    def drawn(self, choice_B: Tensor, rng: Generator) -> Tensor:
        """(B,) change of each choice, with either sign with probability 1/2."""
        sign_B = torch.randint(2, choice_B.shape, generator=rng)
        return self.of[sign_B, choice_B]

    def applied(self, x_BCHW: Tensor, change_B: Tensor) -> Tensor:
        """Each image after its change; images with the same one go through it together."""
        order_B = torch.argsort(change_B, stable=True)
        counts = torch.bincount(change_B, minlength=len(self.all)).tolist()
        sorted_BCHW = x_BCHW.index_select(0, order_B.to(x_BCHW.device))
        alike = torch.split(sorted_BCHW, counts)
        parts = [changed(part_BCHW, c) for c, part_BCHW in zip(self.all, alike, strict=True) if len(part_BCHW)]
        return torch.cat(parts).index_select(0, torch.argsort(order_B).to(x_BCHW.device))


class RandAugment:
    """`n` operations one after the other for each image, uniform with replacement, all of magnitude `m` of 0..30.

    Cubuk et al. (2020), RandAugment: Practical automated data augmentation with a reduced search space, Section 3.

    Differs from the authors' code: magnitudes that have a sign take either with probability 1/2, brightness, color,
    contrast and sharpness among them, and what is moved in is black, as in torchvision.
    """

    def __init__(self, size: int, n: int = 2, m: int = 9) -> None:
        self.n = n
        self.changes = Changes.among([Change(name, magnitude(name, m, 31, size)) for name in RANDAUGMENT])

    def __call__(self, x_BCHW: Tensor, rng: Generator) -> Tensor:
        for _ in range(self.n):
            choice_B = torch.randint(len(RANDAUGMENT), (len(x_BCHW),), generator=rng)
            x_BCHW = self.changes.applied(x_BCHW, self.changes.drawn(choice_B, rng))
        return x_BCHW


class AutoAugment:
    """One of 25 learned pairs of operations for each image, each of the two with its own probability and magnitude.

    Cubuk et al. (2019), AutoAugment: Learning augmentation strategies from data, the policies found for ImageNet and
    for CIFAR-10. Differs from the authors' code as `RandAugment` does.
    """

    def __init__(self, size: int, policy: str) -> None:
        pairs = [pair.split(",") for pair in POLICIES[policy].split(";")]
        entries = [[entry.split() for entry in pair] for pair in pairs]
        self.probability_P2 = torch.tensor([[int(tenths) / 10 for _, tenths, _ in pair] for pair in entries])
        levels = [(name, 0 if level == "-" else int(level)) for pair in entries for name, _, level in pair]
        self.changes = Changes.among([Change(name, magnitude(name, level, 10, size)) for name, level in levels])

    def __call__(self, x_BCHW: Tensor, rng: Generator) -> Tensor:
        pair_B = torch.randint(len(self.probability_P2), (len(x_BCHW),), generator=rng)
        for step in range(2):
            change_B = self.changes.drawn(2 * pair_B + step, rng)
            applies_B = torch.rand(len(x_BCHW), generator=rng) < self.probability_P2[pair_B, step]
            same = self.changes.all.index(SAME)
            x_BCHW = self.changes.applied(x_BCHW, torch.where(applies_B, change_B, same))
        return x_BCHW


def changed(x_BCHW: Tensor, change: Change) -> Tensor:
    """All images (bytes, of one or three channels) after one change."""
    return _operations()[change.operation](x_BCHW, change.magnitude)


@cache
def _operations() -> dict[str, Callable[[Tensor, float], Tensor]]:
    from torchvision.transforms.v2 import functional as V

    def sheared(x: Tensor, x_degrees: float, y_degrees: float) -> Tensor:
        corner = [0.0, 0.0]
        moved: Tensor = V.affine(x, angle=0.0, translate=[0, 0], scale=1.0, shear=[x_degrees, y_degrees], center=corner)
        return moved

    def translated(x: Tensor, right: int, down: int) -> Tensor:
        moved: Tensor = V.affine(x, angle=0.0, translate=[right, down], scale=1.0, shear=[0.0, 0.0])
        return moved

    return {
        "identity": lambda x, _: x,
        "shear-x": lambda x, m: sheared(x, degrees(atan(m)), 0.0),
        "shear-y": lambda x, m: sheared(x, 0.0, degrees(atan(m))),
        "translate-x": lambda x, m: translated(x, int(m), 0),
        "translate-y": lambda x, m: translated(x, 0, int(m)),
        "rotate": V.rotate,
        "brightness": lambda x, m: V.adjust_brightness(x, 1.0 + m),
        "color": lambda x, m: V.adjust_saturation(x, 1.0 + m),
        "contrast": lambda x, m: V.adjust_contrast(x, 1.0 + m),
        "sharpness": lambda x, m: V.adjust_sharpness(x, 1.0 + m),
        "posterize": lambda x, m: V.posterize(x, int(m)),
        "solarize": lambda x, m: V.solarize(x, 255 * m),
        "autocontrast": lambda x, _: V.autocontrast(x),
        "equalize": lambda x, _: V.equalize(x),
        "invert": lambda x, _: V.invert(x),
    }
