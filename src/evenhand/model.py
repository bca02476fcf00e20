"""`Model`: an encoder and a classifier, the two halves of a layer-peeled network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from evenhand.batch import Batch, Split
from evenhand.inputs import ahead

Half = Literal["all", "encoder", "classifier"]


class Model(nn.Module):
    """`features_BD = encoder(x)`, `logits_BC = classifier(features_BD)`.

    Args:
        encoder: any module that maps inputs (B, …) to features (B, D).
        classifier: the last layer; `Model.linear` makes the usual one.
    """

    def __init__(self, encoder: nn.Module, classifier: nn.Linear) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = classifier

    @classmethod
    def linear(cls, encoder: nn.Module, n_features: int, n_classes: int, *, bias: bool = True) -> Model:
        """`encoder` with a fresh linear classifier from D features to C classes."""
        return cls(encoder, nn.Linear(n_features, n_classes, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.encoder(x))
        return logits

    def part(self, which: Half) -> nn.Module:
        """The part that a stage trains."""
        return self if which == "all" else self.encoder if which == "encoder" else self.classifier

    @contextmanager
    def mode(self, *, training: bool) -> Iterator[None]:
        """Inside, the model is in train or eval mode; afterwards every part is back in the mode it was in."""
        before = [(module, module.training) for module in self.modules()]
        self.train(training)
        try:
            yield
        finally:
            for module, was_training in before:
                module.training = was_training

    def evaluating(self) -> AbstractContextManager[None]:
        """Inside, the model is in eval mode; afterwards it is back in the mode it was in."""
        return self.mode(training=False)


def in_chunks(
    split: Split, rows: Tensor | None = None, *, elements: int = 2**17, most: int | None = None
) -> Iterator[Batch]:
    """The rows (by default all), in order, without augmentation, in batches for a pass without gradients.

    Each has about `elements` inputs, which stay in the processor's cache, but no fewer than 128 rows, which is enough
    work for a GPU, and no more than `most`. The first batch has 128 rows: it tells how large a row is.
    """
    least = 128
    rows = torch.arange(len(split)) if rows is None else rows.cpu()
    if len(rows) == 0:
        return
    first = split.batch(rows[:least])
    yield first
    size = max(least, elements * len(first.y) // max(first.x.numel(), 1))
    size = size if most is None else min(size, max(most, least))
    if len(rows) > least:
        yield from ahead.batches(split, torch.split(rows[least:], size))
