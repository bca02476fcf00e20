"""Views of images for self-supervised learning: windows, colours, blur; every image with draws of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import ceil

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from evenhand.batch import Inputs, RowsOf, TensorInputs
from evenhand.errors import BadInput
from evenhand.inputs._geometry import _sampled, flipped, random_windows, reflected
from evenhand.inputs.images import ImageInputs

RATIO = (3 / 4, 4 / 3)  # width / height of windows
GREY = (0.2989, 0.587, 0.114)  # how bright red, green and blue seem: ITU-R BT.601
BLUR = (0.1 / 224, 2.0 / 224)  # standard deviation of the blur, of the image's side
WHITE_FROM = 128 / 255  # values from here on are inverted by solarising


@dataclass(frozen=True)
class View:
    """What one view of an image goes through, in this order; each image with its own draws.

    Chen et al. (2020), A simple framework for contrastive learning of visual representations, Appendix A; the defaults
    are those of Barlow Twins. Differs from the authors' code: values are floats throughout, where theirs are rounded
    to bytes after each step; windows are bilinear without smoothing; the blur is a Gaussian cut off at three standard
    deviations, whose width is in proportion to the image (theirs is 0.1 to 2 pixels of 224).

    Attributes:
        scale: share of the image's area that the window has, uniform.
        jitter: probability of changed colours: brightness, contrast, saturation and hue in random order.
        brightness: the factor is uniform within this much around 1; so are `contrast` and `saturation`.
        hue: the turn of the colour wheel is uniform within this share of it in either direction.
        grey: probability of losing the colours.
        blur: probability of being blurred.
        solarise: probability of having the lighter half of the values inverted.
    """

    scale: tuple[float, float] = (0.2, 1.0)
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    grey: float = 0.2
    blur: float = 0.5
    solarise: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise BadInput(f"the window of a view is a share of the image above 0 and at most 1, got {self.scale[0]}")
        if not 0 <= self.hue <= 0.5:
            raise BadInput(f"hue of a view must lie in [0, 0.5], got {self.hue}")
        for name in ("jitter", "brightness", "contrast", "saturation", "grey", "blur", "solarise"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"{name} of a view must lie in [0, 1], got {getattr(self, name)}")

    def __call__(self, x_BCHW: Tensor, rng: Generator, size: int) -> Tensor:
        """(B, C, size, size) floats in [0, 1] of bytes, or of floats in [-1, 1].

        Raises:
            BadInput: images have other than one or three channels.
        """
        if x_BCHW.shape[1] not in (1, 3):
            raise BadInput(f"views are of images of 1 or 3 channels, got {x_BCHW.shape[1]}")
        x = flipped(windows_in_unit(x_BCHW, rng, size, self.scale), rng)
        x = self._jittered(x, rng)
        x = changed(x, drawn(len(x), self.grey, rng), lambda part, _: greyed(part))
        sigma_B = size * torch.empty(len(x)).uniform_(*BLUR, generator=rng)
        radius = ceil(3 * BLUR[1] * size)
        x = changed(x, drawn(len(x), self.blur, rng), _with(partial(blurred, radius=radius), sigma_B))
        return changed(x, drawn(len(x), self.solarise, rng), lambda part, _: solarised(part))

    def _jittered(self, x_BCHW: Tensor, rng: Generator) -> Tensor:
        batch = len(x_BCHW)
        reach = torch.tensor([self.brightness, self.contrast, self.saturation, self.hue])
        factor_B4 = torch.tensor([1.0, 1.0, 1.0, 0.0]) + reach * torch.empty(batch, 4).uniform_(-1, 1, generator=rng)
        order_B4 = torch.rand(batch, 4, generator=rng).argsort(1)
        jittered_B = drawn(batch, self.jitter, rng)
        for place in range(4):
            for number, operation in enumerate((brightened, contrasted, saturated, turned)):
                now_B = (order_B4[:, place] == number) & jittered_B
                x_BCHW = changed(x_BCHW, now_B, _with(operation, factor_B4[:, number]))
        return x_BCHW


@dataclass(frozen=True)
class Views:
    """V views of each image of a batch; draws come from a generator on the CPU.

    Attributes:
        size: pixels a side of a view.
        views: what each goes through.
    """

    size: int
    views: tuple[View, ...]

    def __call__(self, stored_BCHW: Tensor, rng: Generator) -> Tensor:
        """(B, V, C, size, size) floats in [-1, 1] of bytes, or of floats in [-1, 1]."""
        drawn = [view(stored_BCHW, rng, self.size) for view in self.views]
        return torch.stack(drawn, dim=1).mul_(2.0).sub_(1.0)


@dataclass(frozen=True, eq=False)
class ViewedTensors:
    """Images in memory as floats in [-1, 1], seen in views where a generator is given."""

    inputs: TensorInputs
    views: Views
    augments = True
    slow = False
    lengths = None

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Tensor, rng: Generator | None = None) -> Tensor:
        x = self.inputs.take(rows)
        return x if rng is None else self.views(x, rng)

    def to(self, device: torch.device) -> ViewedTensors:
        return replace(self, inputs=self.inputs.to(device))


def viewed(inputs: Inputs, views: Views) -> Inputs:
    """The same images; with a generator a batch is (B, V, C, size, size), each image in V views.

    Raises:
        BadInput: the inputs are no images.
    """
    if isinstance(inputs, RowsOf):
        return RowsOf(viewed(inputs.inputs, views), inputs.index)
    if isinstance(inputs, ImageInputs):
        return replace(inputs, augmentation=views)
    if isinstance(inputs, TensorInputs) and inputs.x.ndim == 4 and inputs.x.is_floating_point():
        return ViewedTensors(inputs, views)
    raise BadInput("views are of images; these inputs are none")


# --- what is drawn, and for which images ---


def drawn(batch: int, probability: float, rng: Generator) -> Tensor:
    """(B,) which images are chosen, each with this probability."""
    return torch.rand(batch, generator=rng) < probability


def changed(x_BCHW: Tensor, chosen_B: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The images with those that are chosen (on the CPU) put through `change(images, which they are)`, in place."""
    rows = chosen_B.nonzero()[:, 0]
    if not len(rows):
        return x_BCHW
    here = rows.to(x_BCHW.device)
    return x_BCHW.index_copy_(0, here, change(x_BCHW.index_select(0, here), rows))


def _with(operation: Callable[[Tensor, Tensor], Tensor], factor_B: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The operation with the factors of the images that it is given."""
    return lambda part, rows: operation(part, factor_B[rows])


def windows_in_unit(x_BCHW: Tensor, rng: Generator, size: int, scale: tuple[float, float]) -> Tensor:
    """A random window of each image, resized: floats in [0, 1] of bytes, or of floats in [-1, 1]."""
    top_B, left_B, height_B, width_B = random_windows(x_BCHW.shape, rng, scale, RATIO)
    y_BS = _sampled(top_B, height_B, size, x_BCHW.shape[2])
    x_BS = _sampled(left_B, width_B, size, x_BCHW.shape[3])
    grid = torch.stack([x_BS[:, None, :].expand(-1, size, -1), y_BS[:, :, None].expand(-1, -1, size)], dim=-1)
    found = F.grid_sample(x_BCHW.float(), grid.to(x_BCHW.device), align_corners=False, padding_mode="border")
    return found.div_(255.0) if x_BCHW.dtype == torch.uint8 else found.add_(1.0).mul_(0.5)


# --- colours: floats in [0, 1], one factor an image (on the CPU) ---


def brightened(x_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    """Values times the factor."""
    return (x_BCHW * _each(factor_B, x_BCHW)).clamp_(0.0, 1.0)


def contrasted(x_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    """The difference from the image's mean brightness times the factor."""
    return blended(x_BCHW, luminance(x_BCHW).mean((1, 2, 3), keepdim=True), factor_B)


def saturated(x_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    """The difference from the pixel's brightness times the factor."""
    return blended(x_BCHW, luminance(x_BCHW), factor_B)


def turned(x_BCHW: Tensor, turn_B: Tensor) -> Tensor:
    """Hues moved along the colour wheel by this share of it, with saturation and value (of HSV) as they were."""
    if x_BCHW.shape[1] == 1:
        return x_BCHW
    red, green, blue = x_BCHW.unbind(1)
    value, chroma = x_BCHW.amax(1), x_BCHW.amax(1) - x_BCHW.amin(1)
    divisor = torch.where(chroma > 0, chroma, 1.0)
    hue = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    sector = torch.tensor([5.0, 3.0, 1.0], device=x_BCHW.device)[:, None, None]
    k = (hue[:, None] + 6 * _each(turn_B, x_BCHW) + sector) % 6
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp_(0.0, 1.0)


def greyed(x_BCHW: Tensor) -> Tensor:
    """The pixel's brightness in every channel."""
    return luminance(x_BCHW).expand_as(x_BCHW)


def solarised(x_BCHW: Tensor) -> Tensor:
    """Values from `WHITE_FROM` on inverted."""
    return torch.where(x_BCHW >= WHITE_FROM, 1.0 - x_BCHW, x_BCHW)


def blurred(x_BCHW: Tensor, sigma_B: Tensor, radius: int) -> Tensor:
    """Each image after a Gaussian of its own standard deviation (pixels), cut off at `radius`, over its reflection."""
    offset = torch.arange(-radius, radius + 1)
    weight_BK = torch.exp(-0.5 * (offset / sigma_B[:, None]) ** 2)
    weight_BK = (weight_BK / weight_BK.sum(1, keepdim=True)).to(x_BCHW.device)
    for dim in (-2, -1):
        n, padded = x_BCHW.shape[dim], reflected(x_BCHW, radius)
        across = -1 if dim == -2 else -2
        padded = padded.narrow(across, radius, x_BCHW.shape[across])
        x_BCHW = torch.zeros_like(x_BCHW)
        for k, weight_B in enumerate(weight_BK.unbind(1)):
            x_BCHW.addcmul_(padded.narrow(dim, k, n), weight_B[:, None, None, None])
    return x_BCHW


def blended(x_BCHW: Tensor, other: Tensor, factor_B: Tensor) -> Tensor:
    """`other + factor * (x - other)`, kept in [0, 1]."""
    return torch.lerp(other.expand_as(x_BCHW), x_BCHW, _each(factor_B, x_BCHW)).clamp_(0.0, 1.0)


def luminance(x_BCHW: Tensor) -> Tensor:
    """(B, 1, H, W) how bright each pixel is."""
    if x_BCHW.shape[1] == 1:
        return x_BCHW
    red, green, blue = x_BCHW.unbind(1)
    return (GREY[0] * red + GREY[1] * green + GREY[2] * blue)[:, None]


def _each(value_B: Tensor, x_BCHW: Tensor) -> Tensor:
    """One value an image, beside its pixels."""
    return value_B.to(x_BCHW.device, non_blocking=True)[:, None, None, None]
