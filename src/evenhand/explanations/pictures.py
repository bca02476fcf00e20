"""Maps laid over their images, and sheets of them for a group as in the figures of papers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from plotly.colors import hex_to_rgb, sequential

SIDE = 160  # pixels of a picture
GAP, MARGIN, LABEL_WIDTH, LINE = 6, 14, 216, 19
SIZE, TITLE_SIZE = 13, 16  # of letters
INK, DIM, RIGHT, WRONG, PAPER = (20, 20, 20), (105, 105, 105), (0, 114, 178), (190, 72, 0), (255, 255, 255)
FAINTEST, STRONGEST = 0.3, 0.8  # opacity of the colours where a map is 0 and where it is 1
BAR = (120, 10)  # width and height of the scale of colours

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Line:
    """A row of a sheet: what is said of an example, and the names of its pictures.

    Attributes:
        said: lines of text, each with whether it is right or wrong, or None for neither.
        pictures: in the order of the columns.
    """

    said: tuple[tuple[str, bool | None], ...]
    pictures: tuple[Image.Image, ...]


def original(x_CHW: NDArray[np.floating[Any]]) -> Image.Image:
    """An input as a picture: floats from -1 (black) to 1 (white), or from 0 if none is below."""
    x = (x_CHW + 1) / 2 if x_CHW.min() < 0 else x_CHW
    bytes_HWC = np.round(np.clip(x, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    picture = Image.fromarray(np.broadcast_to(bytes_HWC, (*bytes_HWC.shape[:2], 3)).copy())
    return picture.resize(_size(picture), _sampling(picture))


def overlay(picture: Image.Image, map_HW: NDArray[np.floating[Any]]) -> Image.Image:
    """The map in colours over the picture in grey; the stronger the map, the less of the picture shows through."""
    values = Image.fromarray(np.ascontiguousarray(map_HW, dtype=np.float32)).resize(
        picture.size, Image.Resampling.BILINEAR
    )
    value_HW = np.clip(np.asarray(values), 0, 1)
    grey_HW1 = np.asarray(picture.convert("L"), dtype=np.float32)[..., None]
    opacity_HW1 = FAINTEST + (STRONGEST - FAINTEST) * value_HW[..., None]
    mixed = grey_HW1 * (1 - opacity_HW1) + coloured(value_HW) * opacity_HW1
    return Image.fromarray(np.round(mixed).astype(np.uint8))


def coloured(value: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(…, 3) the colours of values in [0, 1] on Viridis: perceptually uniform, and told apart by colour-blind eyes."""
    stops = np.array([hex_to_rgb(code) for code in sequential.Viridis], dtype=np.float64)
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(value, at, channel) for channel in stops.T], axis=-1)


def sheet(title: str, columns: Sequence[tuple[str, Sequence[str]]], lines: Sequence[Line]) -> Image.Image:
    """Pictures in rows and columns, with what is said of each row at its left and a scale of colours below.

    Args:
        columns: headings over neighbouring columns, each with the titles of these columns.
    """
    titles = [each for _, some in columns for each in some]
    height = max((picture.height for line in lines for picture in line.pictures), default=SIDE)
    head = MARGIN + TITLE_SIZE + 3 * LINE
    width = LABEL_WIDTH + len(titles) * (SIDE + GAP) + (len(columns) - 1) * GAP + 2 * MARGIN
    page = Image.new("RGB", (width, head + len(lines) * (height + GAP) + LINE + 2 * MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN), title, INK, _font(TITLE_SIZE))
    lefts = _heads(draw, columns, head)
    for number, line in enumerate(lines):
        top = head + number * (height + GAP)
        for k, (text, right) in enumerate(line.said):
            ink = (INK if k == 0 else DIM) if right is None else RIGHT if right else WRONG
            draw.text((MARGIN, top + k * LINE), shortened(text, LABEL_WIDTH - GAP), ink, _font(SIZE))
        for left, picture in zip(lefts, line.pictures, strict=True):
            page.paste(picture, (left + (SIDE - picture.width) // 2, top))
    _scale(page, draw, lefts[0], page.height - MARGIN - LINE + 4)
    return page


def _heads(draw: ImageDraw.ImageDraw, columns: Sequence[tuple[str, Sequence[str]]], head: int) -> list[int]:
    """Write the headings; where each column begins."""
    lefts, left = [], MARGIN + LABEL_WIDTH
    for heading, titles in columns:
        width = len(titles) * (SIDE + GAP) - GAP
        if heading:
            draw.text((left, head - 2 * LINE - 8), shortened(heading, width), INK, _font(SIZE))
            draw.line((left, head - LINE - 6, left + width, head - LINE - 6), DIM)
        for title in titles:
            draw.text((left, head - LINE), shortened(title, SIDE), DIM if heading else INK, _font(SIZE))
            lefts.append(left)
            left += SIDE + GAP
        left += GAP
    return lefts


def _scale(page: Image.Image, draw: ImageDraw.ImageDraw, left: int, top: int) -> None:
    """The colours from no evidence to most, for each map is stretched to its own largest value."""
    width, height = BAR
    colours = coloured(np.broadcast_to(np.linspace(0, 1, width), (height, width)))
    for text in ("none", "most evidence of the map"):
        if text != "none":
            page.paste(Image.fromarray(colours.astype(np.uint8)), (left, top + 2))
            left += width + GAP
        draw.text((left, top - 2), text, DIM, _font(SIZE))
        left += round(_font(SIZE).getlength(text)) + GAP


def shortened(text: str, width: int) -> str:
    """The text, cut to so many pixels."""
    font = _font(SIZE)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def png(picture: Image.Image) -> bytes:
    """The picture as a file."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _font(size: int) -> Any:
    if size not in _FONTS:
        _FONTS[size] = ImageFont.load_default(size)
    return _FONTS[size]


_FONTS: dict[int, Any] = {}


def _size(picture: Image.Image) -> tuple[int, int]:
    scale = SIDE / max(picture.size)
    return max(1, round(scale * picture.width)), max(1, round(scale * picture.height))


def _sampling(picture: Image.Image) -> Image.Resampling:
    return Image.Resampling.BICUBIC if max(picture.size) < SIDE else Image.Resampling.LANCZOS
