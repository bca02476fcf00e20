"""Texts as token ids, kept end to end and padded only when the rows of a batch are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Generator, Tensor

CPU = torch.device("cpu")
WORDS = "words"  # the tokenizer that learns on the training texts
MULTIPLE = 8  # widths are rounded up to it, which suits the matrix units of GPUs


@dataclass(frozen=True, eq=False)
class Tokens:
    """N tokenised texts (or pairs of them), in memory or mapped from a file.

    Attributes:
        ids: (T,) int32, the tokens of all texts one after the other; every text has at least one.
        offsets: (N + 1,) int64, where in `ids` each text starts, and T.
        segments: (T,) uint8, 1 for tokens of the second text of a pair; None if there is no such token.
        pad: id of the token that fills a row up.
        vocabulary: how many different ids there can be.
        tokenizer: name by which it was asked for.
        max_length: most tokens of a text; longer ones were cut.
    """

    ids: Tensor
    offsets: Tensor
    segments: Tensor | None
    pad: int
    vocabulary: int
    tokenizer: str
    max_length: int

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True, eq=False)
class TextInputs:
    """Texts of a split; a batch is one tensor (B, 3, L) of token ids, attention mask (1 for a token) and segment ids.

    L is the length of the longest text of the batch, rounded up to a multiple of 8.

    Attributes:
        tokens: where the tokens are.
        index: (M,) int64, which texts of `tokens` these are; None for all of them, in order.
        device: where batches are delivered; `tokens` stay on the CPU.
    """

    tokens: Tokens
    index: Tensor | None = None
    device: torch.device = CPU
    augments = False
    slow = False

    def __len__(self) -> int:
        return len(self.tokens) if self.index is None else len(self.index)

    @cached_property
    def lengths(self) -> Tensor:
        """(M,) int64 tokens of each text."""
        length_N = self.tokens.offsets.diff()
        return length_N if self.index is None else length_N.index_select(0, self.index)

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """What an encoder may want to know beside the shape of a row."""
        return {
            "vocabulary": self.tokens.vocabulary,
            "max_length": self.tokens.max_length,
            "pairs": self.tokens.segments is not None,
            "tokenizer": self.tokens.tokenizer,
            "pad": self.tokens.pad,
        }

    def take(self, rows: Tensor, rng: Generator | None = None) -> Tensor:
        tokens, rows = self.tokens, rows.cpu()
        rows = rows if self.index is None else self.index.index_select(0, rows)
        start_B = tokens.offsets.index_select(0, rows)
        length_B = tokens.offsets.index_select(0, rows + 1) - start_B
        along_L = torch.arange(padded(int(length_B.max()) if len(rows) else 1))
        mask_BL = along_L < length_B[:, None]
        place_BL = (start_B[:, None] + along_L) * mask_BL
        x = torch.zeros(len(rows), 3, len(along_L), dtype=torch.int64)
        x[:, 0] = torch.where(mask_BL, tokens.ids[place_BL].long(), tokens.pad)
        x[:, 1] = mask_BL
        if tokens.segments is not None:
            x[:, 2] = tokens.segments[place_BL] * mask_BL
        return x.to(self.device, non_blocking=True)

    def to(self, device: torch.device) -> TextInputs:
        return replace(self, device=device)


def padded(length: int) -> int:
    """`length` rounded up to a multiple of 8."""
    return -(-length // MULTIPLE) * MULTIPLE
