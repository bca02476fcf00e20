"""`Model`: an encoder and a classifier, the two halves of a layer-peeled network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import Tensor, nn

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
    def evaluating(self) -> Iterator[None]:
        """Inside, the model is in eval mode; afterwards it is back in the mode it was in."""
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)
