"""Images that come as arrays: brought to the wanted size and split as images in files are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenhand.data._base import Data, Sealed, digest
from evenhand.data._image_set import ImageOptions
from evenhand.data._table import PARTS, Codes, Labelled
from evenhand.errors import BadInput

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Arrays:
    """What a reader found: N images with their labels.

    Attributes:
        pixels: (N, 3, height, width).
        labelled: classes and attributes of the N images.
        parts: (N,) index into `PARTS`; images of any other part are left out.
        source: where they are from, for errors.
        notes: what the user should know of the reading, one sentence each.
    """

    pixels: Bytes
    labelled: Labelled
    parts: Codes
    source: str
    notes: tuple[str, ...] = ()


def as_data(chosen: ImageOptions, found: Arrays, name: str) -> Data:
    """The arrays as a data set, sized and augmented as `chosen` wants.

    Raises:
        BadInput: a part has no images, or the augmentation is unknown.
    """
    import torch

    from evenhand.inputs.augmentation import augmentation
    from evenhand.inputs.images import ImageInputs, MemoryPixels

    augment = augmentation(chosen.augment, chosen.size)
    pixels = MemoryPixels(torch.from_numpy(resized(found.pixels, chosen.stored or chosen.size, chosen.fit)))
    splits = []
    for part, part_name in enumerate(PARTS):
        rows_N = found.parts == part
        if not rows_N.any():
            raise BadInput(f"the part {part_name!r} of {found.source} has no images")
        index = torch.from_numpy(np.flatnonzero(rows_N))
        inputs = ImageInputs(pixels, index, chosen.size, augment if part_name == "train" else None)
        splits.append(found.labelled.part(inputs, rows_N))
    fingerprint = digest(
        np.ascontiguousarray(found.pixels).data.cast("B"), found.labelled.y.tobytes(), found.parts.tobytes(),
        chosen.size, chosen.stored, chosen.fit, chosen.augment,
    )  # fmt: skip
    return Data(
        name,
        splits[0],
        splits[1],
        Sealed(splits[2]),
        fingerprint,
        chosen.recommended,
        recommended_options=chosen.recommended_options,
        options=chosen.chosen_options(),
        notes=found.notes,
    )


def resized(pixels_NCHW: Bytes, side: int, fit: str) -> Bytes:
    """(N, 3, side, side); images that have this size already are returned as they are."""
    from PIL import Image

    height, width = pixels_NCHW.shape[-2:]
    if height == width == side:
        return pixels_NCHW
    box = (0, 0, width, height)
    if fit == "crop":
        short = min(height, width)
        left, top = (width - short) // 2, (height - short) // 2
        box = (left, top, left + short, top + short)
    made = np.empty((len(pixels_NCHW), 3, side, side), dtype=np.uint8)
    for row, image in enumerate(pixels_NCHW):
        drawn = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
        made[row] = np.asarray(drawn.resize((side, side), Image.Resampling.BILINEAR, box=box)).transpose(2, 0, 1)
    return made


def as_rgb(values: NDArray[Any]) -> Bytes:
    """(N, 3, H, W) of images (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W); grey is repeated.

    Raises:
        BadInput: another shape, or values that are no bytes.
    """
    if values.dtype != np.uint8 or values.ndim not in (3, 4):
        raise BadInput(f"images must be bytes of shape (N, H, W[, channels]), got {values.dtype} {values.shape}")
    if values.ndim == 3:
        values = values[:, None]
    elif values.shape[1] not in (1, 3):
        values = values.transpose(0, 3, 1, 2)
    if values.shape[1] not in (1, 3):
        raise BadInput(f"images must have 1 or 3 channels, got shape {values.shape}")
    return values if values.shape[1] == 3 else np.repeat(values, 3, axis=1)
