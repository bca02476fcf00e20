"""A contact sheet: one picture with the examples of every group."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from evenhand.batch import Split
from evenhand.discovery.examples import Example, Examples

SIDE = 96  # pixels of an example
GAP, CAPTION, HEAD = 6, 16, 20
LABEL_WIDTH = 210
SIZE = 12  # of letters
INK, DIM, RIGHT, WRONG = (20, 20, 20), (110, 110, 110), (0, 114, 178), (213, 94, 0)  # told apart by colour-blind eyes
PAPER = (255, 255, 255)


def is_pictures(split: Split) -> bool:
    """Whether inputs can be shown as pictures: (1 or 3 channels, height, width)."""
    if split.inputs.lengths is not None or not len(split):
        return False
    shape = split.inputs.take(torch.zeros(1, dtype=torch.int64)).shape[1:]
    return len(shape) == 3 and shape[0] in (1, 3)


def size(n_groups: int, n_examples: int) -> tuple[int, int]:
    """Width and height of a sheet with so many groups, and so many typical and as many critical examples of each."""
    columns = 2 * n_examples
    return LABEL_WIDTH + columns * (SIDE + GAP) + 2 * GAP, HEAD + n_groups * (SIDE + CAPTION + GAP) + GAP


def contact_sheet(split: Split, groups: Sequence[tuple[Sequence[str], Examples]], n_examples: int) -> bytes:
    """A PNG with one row of pictures for each group, typical ones left and critical ones right.

    Args:
        groups: for each the lines beside its pictures, and its examples.
    """
    sheet = Image.new("RGB", size(len(groups), n_examples), PAPER)
    draw = ImageDraw.Draw(sheet)
    font: Any = ImageFont.load_default(SIZE)
    starts = (LABEL_WIDTH, LABEL_WIDTH + n_examples * (SIDE + GAP) + GAP)
    for start, title in zip(starts, ("most typical", "most critical"), strict=True):
        draw.text((start, GAP / 2), title, INK, font)
    for number, (lines, shown) in enumerate(groups):
        top = HEAD + number * (SIDE + CAPTION + GAP)
        for k, line in enumerate(lines):
            draw.text((GAP, top + k * (SIZE + 4)), _cut(line, LABEL_WIDTH - 2 * GAP, font), DIM if k else INK, font)
        for start, examples in zip(starts, (shown.typical, shown.critical), strict=True):
            for place, example in enumerate(examples[:n_examples]):
                left = start + place * (SIDE + GAP)
                sheet.paste(_picture(split, example.row), (left, top))
                _caption(draw, font, example, left, top)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _caption(draw: ImageDraw.ImageDraw, font: Any, example: Example, left: int, top: int) -> None:
    """The row and what was predicted, framed in orange where that is wrong and in blue where it is right."""
    said, ink = f"row {example.row}", DIM
    if example.prediction is not None:
        ink = RIGHT if example.prediction == example.y else WRONG
        said = f"{example.row}: {example.prediction}"
        draw.rectangle((left - 2, top - 2, left + SIDE + 1, top + SIDE + 1), outline=ink, width=2)
    draw.text((left, top + SIDE + 2), _cut(said, SIDE, font), ink, font)


def _cut(text: str, width: int, font: Any) -> str:
    """The text, shortened to so many pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _picture(split: Split, row: int) -> Image.Image:
    """An input as a square of the sheet; floats are taken from -1 (black) to 1 (white), or from 0 if none is below."""
    x = split.inputs.take(torch.tensor([row]))[0].float().cpu().numpy()
    x = (x + 1) / 2 if x.min() < 0 else x
    bytes_HWC = np.round(np.clip(x, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    picture = Image.fromarray(np.broadcast_to(bytes_HWC, (*bytes_HWC.shape[:2], 3)).copy())
    scale = SIDE / max(picture.size)
    wanted = tuple(max(1, round(scale * length)) for length in picture.size)
    picture = picture.resize(
        (wanted[0], wanted[1]), Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    )
    square = Image.new("RGB", (SIDE, SIDE), PAPER)
    square.paste(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
    return square
