"""An image file as an array of bytes of one size. Imports no torch: worker processes start in a blink."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evenhand.errors import BadInput


@dataclass(frozen=True)
class Preparation:
    """How a file becomes an image of fixed size.

    Attributes:
        side: pixels a side of the result.
        fit: `squash` resizes both sides; `crop` resizes the shorter side and cuts the middle out.
        window: first cut so many central pixels out of the file's image; None takes all of it.
    """

    side: int
    fit: Literal["squash", "crop"] = "squash"
    window: int | None = None


def decode(path: Path, preparation: Preparation) -> NDArray[np.uint8]:
    """(3, side, side) bytes.

    Raises:
        BadInput: the file is not there, or is no image that can be read; the message names it.
    """
    try:
        with Image.open(path) as file:
            image = file.convert("RGB").resize((preparation.side, preparation.side), Image.Resampling.BILINEAR)
            return np.asarray(image).transpose(2, 0, 1)
    except OSError as error:
        raise BadInput(f"cannot read the image {path}: {error}") from error
