"""What encoders of images ask of the shape of their rows."""

from __future__ import annotations

from evenhand.errors import BadInput


def image_shape(name: str, shape: tuple[int, ...], least: int, *, colours: bool = False) -> tuple[int, int, int]:
    """Channels, height and width of the rows that the encoder `name` is given.

    Args:
        least: pixels a side.
        colours: the encoder takes grey images and those in three colours only.

    Raises:
        BadInput: rows are not images, are too small, or have other channels.
    """
    if len(shape) != 3:
        raise BadInput(f"the encoder {name} takes images (channels, height, width), got rows of shape {shape}")
    channels, height, width = shape
    if min(height, width) < least:
        raise BadInput(f"the encoder {name} needs at least {least} pixels a side, got {height}×{width}")
    if colours and channels not in (1, 3):
        raise BadInput(f"the encoder {name} takes images of 3 channels, or of 1 that stands for all, got {channels}")
    return channels, height, width
