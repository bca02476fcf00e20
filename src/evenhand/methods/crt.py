"""Classifier re-training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Generator, Tensor

from evenhand import sampling
from evenhand.batch import Batch, Split
from evenhand.losses import mean_cross_entropy
from evenhand.methods._base import Method, Stage, State, require_range
from evenhand.methods._last_layer import constant_features
from evenhand.methods.erm import ERM
from evenhand.model import Model


@dataclass(frozen=True)
class CRT(Method):
    """Trains plainly, then a fresh classifier on batches with equally many rows of every class; needs no groups.

    Kang, Xie, Rohrbach, Yan, Gordo, Feng and Kalantidis (2020), Decoupling representation and classifier for
    long-tailed recognition, Section 4.1 (cRT).

        first:  loss = cross_entropy(logits_BC, y_B).mean(), every row once an epoch
        then:   loss = cross_entropy(classifier(features_BD), y_B).mean(), of features that stay as they are;
                row i is drawn with probability proportional to N / count_C[y_N[i]]; N draws an epoch

    The method has two stages; this object's own `loss` is that of the last. Classes without training rows have no
    share.

    Attributes:
        reset: begin the last stage with a fresh classifier; otherwise with that of the first.
        crt_epochs: of the last stage, at least 1; the authors have 10 on ImageNet-LT.
        erm_epochs: of the first stage, at least 1; none takes those of the run.
        erm_keep: which of its epochs goes on: the "last", or the "best".

    Raises:
        BadInput: an option outside its range.

    Differs from the authors' code: rows are drawn by weight instead of a class first and then one of its rows, which
    is the same in distribution; the encoder is in eval mode in the last stage, and the best epoch of that is kept.
    """

    reset: bool = True
    crt_epochs: int = 10
    erm_epochs: int | None = None
    erm_keep: Literal["last", "best"] = "last"

    source = "https://github.com/facebookresearch/classifier-balancing"

    def __post_init__(self) -> None:
        require_range(self, "crt_epochs", 1)
        if self.erm_epochs is not None:
            require_range(self, "erm_epochs", 1)

    def stages(self) -> tuple[Stage, ...]:
        first = Stage(ERM(), epochs=self.erm_epochs, keep=self.erm_keep)
        return (first, Stage(self, epochs=self.crt_epochs, trains="classifier"))

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        if self.reset:
            model.classifier.reset_parameters()
        return State()

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        weights_N = sampling.balancing_weights(split.y, split.count_C)
        return sampling.in_batches(sampling.weighted(weights_N, len(split), rng), size)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        return mean_cross_entropy(model.classifier(constant_features(batch, model)), batch.y)
