"""What goes by in an epoch: its batches, their losses, and how each row fared while it was trained on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from evenhand.batch import Split
from evenhand.evaluation import per_group, row_figures

NUMBERS_AT_ONCE = 1 << 20  # logits kept before they are turned into two figures a row


class Seen:
    """The batches of one epoch so far.

    A step only appends to lists. Logits become figures of rows in large pieces, so that memory stays bounded with many
    classes; nothing is read from the device before the epoch's end. All of it is part of a snapshot (`vars`).
    """

    def __init__(self) -> None:
        self.batches: list[Tensor] = []  # rows of each batch
        self.losses: list[Tensor] = []  # and its loss
        self.rows: list[Tensor] = []  # rows whose logits wait to be looked at
        self.logits: list[Tensor] = []
        self.looked: list[Tensor] = []  # rows whose logits have been
        self.figures: list[Tensor] = []  # and their (loss, right)

    def __len__(self) -> int:
        return len(self.batches)

    def add(self, rows_B: Tensor, loss: Tensor, logits_BC: Tensor | None, y_N: Tensor) -> None:
        """Note a step; `logits_BC` are None where the method computed none for these very rows."""
        self.batches.append(rows_B)
        self.losses.append(loss)
        if logits_BC is not None and len(logits_BC) == len(rows_B):
            self.rows.append(rows_B)
            self.logits.append(logits_BC)
            if len(self.logits) * logits_BC.numel() >= NUMBERS_AT_ONCE:
                self.look(y_N)

    def look(self, y_N: Tensor) -> None:
        """Turn the logits that wait into figures."""
        if self.logits:
            rows = torch.cat(self.rows)
            self.looked.append(rows)
            self.figures.append(row_figures(torch.cat(self.logits).float(), y_N[rows]))
            self.rows, self.logits = [], []

    def by_group(self, split: Split) -> dict[str, list[Any]] | None:
        """Loss and accuracy of each group as its rows went by; None if no step showed its logits."""
        self.look(split.y)
        if not self.looked:
            return None
        return per_group(torch.cat(self.figures), split.group[torch.cat(self.looked)], split.n_groups)

    def first_not_finite(self) -> int | None:
        """The first batch whose loss is NaN or infinite: one transfer from the device for all of them."""
        if not self.losses:
            return None
        bad = torch.nonzero(~torch.isfinite(torch.stack(self.losses))).flatten().tolist()
        return bad[0] if bad else None

    def groups_at_fault(self, batch: int, split: Split) -> list[str]:
        """Groups of the rows whose own loss was not finite when this batch went by, or of the whole batch."""
        self.look(split.y)
        rows = self.batches[batch]
        if self.looked:
            broken = torch.cat(self.looked)[~torch.isfinite(torch.cat(self.figures)[:, 0])]
            own = rows[torch.isin(rows, broken)]
            rows = own if len(own) else rows
        return [split.group_name(g) for g in torch.unique(split.group[rows]).tolist() if g >= 0] or ["no known group"]
