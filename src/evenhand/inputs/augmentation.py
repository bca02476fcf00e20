"""Augmentation of whole batches of images on tensors, every image with draws of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Generator, Tensor

from evenhand.errors import BadInput, unknown
from evenhand.inputs._geometry import cropped, cutout, flipped, resized_crop
from evenhand.inputs._policies import POLICIES, AutoAugment, RandAugment

Step = Callable[[Tensor, Generator], Tensor]

KNOWN = ("resized-crop", "crop", "flip", "autoaugment", "randaugment", "cutout")


@dataclass(frozen=True)
class Augmentation:
    """What training images go through: what finds a window, what works on bytes, then on floats.

    Steps come in the order of `KNOWN` whatever the order of their names. Draws come from a generator on the CPU and
    are the same for images on any device.

    Attributes:
        size: pixels a side of what is delivered.
        windows: steps that deliver this size; without any, the centre is taken.
        on_bytes: steps on (B, C, size, size) bytes.
        on_floats: steps on floats in [-1, 1].
    """

    size: int
    windows: tuple[Step, ...] = ()
    on_bytes: tuple[Step, ...] = ()
    on_floats: tuple[Step, ...] = ()

    def __call__(self, stored_BCHW: Tensor, rng: Generator) -> Tensor:
        """(B, C, size, size) floats in [-1, 1] of stored bytes.

        Raises:
            BadInput: the stored images are smaller than `size`.
        """
        require_side(stored_BCHW, self.size)
        x = stored_BCHW if self.windows else centre(stored_BCHW, self.size)
        for step in (*self.windows, *self.on_bytes):
            x = step(x, rng)
        x = as_floats(x)
        for step in self.on_floats:
            x = step(x, rng)
        return x


def augmentation(text: str, size: int) -> Augmentation | None:
    """The augmentation that a text such as `crop+flip` names; None for `none`.

    Names are joined by `+`, in any order; some take values after a `-`:

    - `resized-crop`: a window of 0.7 to 1 of the area, resized; `crop`: a window after padding by an eighth.
    - `flip`: mirrored left to right or not.
    - `autoaugment-cifar` or `autoaugment-imagenet`; `autoaugment` is the former for images of at most 32 pixels.
    - `randaugment-N-M`: N operations of magnitude M of 30; `randaugment` is `randaugment-2-9`.
    - `cutout-SHARE`: a square of this share of the side; `cutout` is `cutout-0.5`.

    Raises:
        BadInput: an unknown name, a name that comes twice, or a value that does not fit.
    """
    parts = [part.strip() for part in text.split("+")]
    if parts == ["none"]:
        return None
    named: dict[str, list[str]] = {}
    for part in parts:
        name = next((name for name in KNOWN if part == name or part.startswith(f"{name}-")), None)
        if name is None:
            raise unknown("augmentation", part, ("none", *KNOWN))
        if name in named:
            raise BadInput(f"the augmentation {text!r} names {name} twice")
        named[name] = part.removeprefix(name).split("-")[1:]
    steps = {name: _step(name, values, size) for name, values in named.items()}

    def chosen(*names: str) -> tuple[Step, ...]:
        return tuple(steps[name] for name in names if name in steps)

    return Augmentation(
        size, chosen("resized-crop", "crop"), chosen("flip", "autoaugment", "randaugment"), chosen("cutout")
    )


def _step(name: str, values: list[str], size: int) -> Step:
    """The step of this name with the values after it, as they were written."""
    if name == "autoaugment" and len(values) <= 1:
        policy = values[0] if values else "cifar" if size <= 32 else "imagenet"
        if policy not in POLICIES:
            raise unknown("policy of autoaugment", policy, POLICIES)
        return AutoAugment(size, policy)
    if name == "randaugment" and len(values) in (0, 2):
        n, m = (_number(value, "randaugment-N-M", int) for value in values or ("2", "9"))
        if n < 1 or not 0 <= m <= 30:
            raise BadInput(f"randaugment-N-M takes N of at least 1 and M in 0..30, got {n:g} and {m:g}")
        return RandAugment(size, int(n), int(m))
    if name == "cutout" and len(values) <= 1:
        share = _number(values[0], "cutout-SHARE", float) if values else 0.5
        if not 0 < share <= 1:
            raise BadInput(f"cutout-SHARE takes a share above 0 and at most 1, got {share:g}")
        return partial(cutout, share=share)
    plain: dict[str, Step] = {
        "resized-crop": partial(resized_crop, size=size), "crop": partial(cropped, size=size), "flip": flipped,
    }  # fmt: skip
    if name not in plain or values:
        raise BadInput(f"the augmentation {name} does not take {len(values)} values, got {'-'.join([name, *values])!r}")
    return plain[name]


def _number(text: str, what: str, kind: type[int] | type[float]) -> float:
    try:
        return kind(text)
    except ValueError:
        raise BadInput(f"{what} takes numbers, got {text!r}") from None


def as_floats(x: Tensor) -> Tensor:
    """Bytes 0..255 as floats -1..1."""
    return x.float().div_(127.5).sub_(1.0)


def centre(x_BCHW: Tensor, size: int) -> Tensor:
    """The central `size` × `size` pixels.

    Raises:
        BadInput: there are not so many.
    """
    require_side(x_BCHW, size)
    height, width = x_BCHW.shape[-2:]
    top, left = (height - size) // 2, (width - size) // 2
    return x_BCHW[..., top : top + size, left : left + size]


def require_side(x_BCHW: Tensor, size: int) -> None:
    """Raise BadInput if images have fewer than `size` pixels a side."""
    height, width = x_BCHW.shape[-2:]
    if min(height, width) < size:
        raise BadInput(f"cannot deliver images of {size} pixels a side from stored ones of {height}×{width}")
