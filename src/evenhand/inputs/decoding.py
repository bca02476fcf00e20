"""An image file as an array of bytes of one size. Imports no torch: worker processes start in a blink."""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from evenhand.errors import BadInput, RunFailed

LARGEST = 150_000_000  # pixels of a file's image: 450 MB while it is decoded

# The kinds of file that are read, by the module of Pillow that does. Others stay out: EPS would start a program.
FORMATS = {
    "JPEG": "Jpeg",
    "PNG": "Png",
    "GIF": "Gif",
    "BMP": "Bmp",
    "PPM": "Ppm",
    "WEBP": "WebP",
    "TIFF": "Tiff",
    "JPEG2000": "Jpeg2K",
    "AVIF": "Avif",
}
DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # modes of Pillow with 16 bits of grey or more
ORIENTATION = 0x0112  # the EXIF tag, and what undoes each of its values
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Preparation:
    """How a file becomes an image of fixed size.

    Attributes:
        side: pixels a side of the result.
        fit: `squash` resizes both sides; `crop` resizes the shorter side and cuts the middle out.
        window: first cut so many central pixels out of the file's image; a side that is shorter stays as it is. None
            takes all of it.
    """

    side: int
    fit: Literal["squash", "crop"] = "squash"
    window: int | None = None


class BadImage(BadInput):
    """A file that is no image, with the reason as a clause that follows the file's name."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot read the image {path}: {reason}")
        self.path, self.reason = path, reason


def decode(path: Path, preparation: Preparation) -> NDArray[np.uint8]:
    """(3, side, side) bytes: red, green and blue.

    The image is turned upright as its EXIF orientation says. Of several frames the first counts. Grey becomes RGB; 16
    bits a channel become 8 by scaling the whole range; transparency is laid on black; colour profiles are ignored.
    Resizing is bilinear, over all pixels that a smaller image stands for. A JPEG of at least four times `side` is
    decoded at a half, a quarter or an eighth of its size, at least twice `side`, unless there is a `window`.

    Raises:
        BadImage: the file is not there, cannot be read, is no image or a damaged one, or has more than `LARGEST`
            pixels; the message names it.
        RunFailed: there is not enough memory.
    """
    try:
        with _without_warnings(), path.open("rb") as stream, Image.open(stream, formats=_formats()) as file:
            if file.width * file.height > LARGEST:
                raise _too_large(path, f"{file.width}×{file.height}")
            image = _prepared(file, preparation)
    except BadImage:
        raise
    except MemoryError as error:
        raise RunFailed(f"there is not enough memory to decode the image {path}") from error
    except Exception as error:
        raise _bad(path, error) from error
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def _bad(path: Path, error: Exception) -> BadImage:
    """What is wrong with a file, of which the decoder of its format may say anything."""
    if isinstance(error, UnidentifiedImageError):
        empty = path.stat().st_size == 0
        return BadImage(path, "it is empty" if empty else "it is in none of the image formats that are read")
    if isinstance(error, Image.DecompressionBombError):
        found = re.search(r"\d+", str(error))
        return _too_large(path, found[0] if found else "too many")
    if isinstance(error, OSError) and error.strerror:
        return BadImage(path, error.strerror)
    return BadImage(path, f"it is damaged or cut short ({' '.join(str(error).split()) or type(error).__name__})")


def _too_large(path: Path, pixels: str) -> BadImage:
    return BadImage(path, f"it has {pixels} pixels, more than the {LARGEST} that are decoded")


def _prepared(file: Image.Image, preparation: Preparation) -> Image.Image:
    """The file's image upright, in RGB, of the wanted size."""
    side, window = preparation.side, preparation.window
    if window is None:
        file.draft(None, (2 * side, 2 * side))
    if file.format == "TIFF":
        with _without_words_of_libtiff():
            file.load()
    file.load()
    image = _rgb(_upright(file))
    if window is not None:
        image = image.crop(_middle(image.size, window))
    if image.size == (side, side):
        return image
    return image.resize((side, side), Image.Resampling.BILINEAR, box=_box(image.size, preparation))


def _middle(size: tuple[int, int], window: int) -> tuple[int, int, int, int]:
    """The central `window` × `window` pixels, or all of a side that has fewer."""
    width, height = (min(window, side) for side in size)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def _box(size: tuple[int, int], preparation: Preparation) -> tuple[float, float, float, float]:
    """The part of the image that becomes the result.

    With `crop` that is what is left of the middle when the shorter side is resized to `side` and the longer one to the
    whole number below; resizing only this part gives the same pixels, and a strip of 1 × 100 000 needs no memory.
    """
    if preparation.fit == "squash":
        return 0.0, 0.0, float(size[0]), float(size[1])
    side, short = preparation.side, min(size)
    edges = []
    for length in size:
        resized = side * length // short
        start = round((resized - side) / 2)
        edges.append((start * length / resized, min((start + side) * length / resized, length)))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def _upright(image: Image.Image) -> Image.Image:
    orientation: Any = None
    with suppress(Exception):  # whatever is wrong with the EXIF data, the image is there
        orientation = image.getexif().get(ORIENTATION)
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in DEEP:
        return Image.fromarray(_eight_bits(np.asarray(image).astype(np.int32))).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range no one knows")
    if image.has_transparency_data:
        seen = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        black = Image.new("RGB", image.size)
        black.paste(seen, mask=seen.getchannel("A"))
        return black
    return image.convert("RGB")


def _eight_bits(values: NDArray[np.int32]) -> NDArray[np.uint8]:
    """0..65535 as 0..255, rounded."""
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"grey values of {values.min()}..{values.max()}, beyond 16 bits")
    return ((values + 128) // 257).astype(np.uint8)


@cache
def _formats() -> tuple[str, ...]:
    """The formats of `FORMATS` that this build of Pillow reads."""
    for module in FORMATS.values():
        with suppress(ImportError):
            import_module(f"PIL.{module}ImagePlugin")
    return tuple(name for name in FORMATS if name in Image.OPEN)


_SILENCE = ("ignore", None, Warning, re.compile(r"PIL\b"), 0)
_lock = threading.Lock()
_inside = 0


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silences Pillow, in all threads while any of them is inside, and leaves all other filters alone.

    `warnings.catch_warnings` puts back the filters of the thread that entered first, in the middle of another's work.
    """
    global _inside  # noqa: PLW0603
    with _lock:
        _inside += 1
        if _inside == 1:
            cast("list[Any]", warnings.filters).insert(0, _SILENCE)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                with suppress(ValueError):
                    cast("list[Any]", warnings.filters).remove(_SILENCE)


_talking = threading.Lock()


@contextmanager
def _without_words_of_libtiff() -> Iterator[None]:
    """Silences standard error, onto which libtiff prints what it thinks of a damaged file; one thread at a time."""
    with _talking:
        try:
            kept = os.dup(2)
        except OSError:  # it is closed
            yield
            return
        silence = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(silence, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(silence)
            os.close(kept)
