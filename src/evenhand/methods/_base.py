"""The interface of a training method: what the training loop asks, in the order it asks.

    for stage in method.stages():
        state = stage.method.start(train, model, val)             # once
        for epoch in range(epochs):
            for rows in stage.method.batches(train, state, size, rng):
                loss = stage.method.loss(train.batch(rows), model, state)
                loss.backward(); optimizer.step()
            …evaluate on validation…
            stage.method.end_epoch(train, model, state, val)

A method that does not set `needs_groups` is given splits and batches from which the groups have been removed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from evenhand import sampling
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.model import Half, Model


class State(nn.Module):
    """What a method remembers between batches: buffers, constants, and parameters that are trained with the model.

    Being a module, it moves with the device and is stored in checkpoints. Whatever `loss` or `end_epoch` change must
    be a buffer or a parameter; plain attributes hold what `start` derives afresh from the split.
    """


@dataclass(frozen=True)
class Stage:
    """One stage of a training: which method, for how long, on what, and which half of the model moves.

    With `epochs=0` no step is made: the method's `start` does all there is to do, and the model is then evaluated.
    """

    method: Method
    epochs: int | None = None  # None: the epochs of the run
    trains: Half = "all"
    split: str = "train"  # "train" or "val"
    restart: bool = False  # begin from the model's initial weights, after `start` has looked at the previous stage's
    keep: Literal["last", "best"] = "last"  # what the next stage is handed; the last stage always keeps the best


@dataclass(frozen=True)
class Method(ABC):
    """A training method. Its fields are its hyper-parameters; what changes during training lives in a `State`."""

    needs_groups: ClassVar[bool] = False
    adaptive: ClassVar[bool] = False  # `batches` reads the state: rows must not be asked for ahead of the steps
    source: ClassVar[str] = ""

    def prepare(self, model: Model) -> Model:
        """The network as this method needs it, by default as it is: called on a fresh model, before the first stage.

        The same call makes the network into which a finished run's weights are loaded.
        """
        return model

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        """What the method remembers, made from the training split (and the validation split, where it needs one)."""
        return State()

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        """Rows of each batch of one epoch: by default every row once, shuffled; texts beside others of their length.

        Random draws must not depend on `state`, only what is made of them may: see `evenhand.sampling`.
        """
        if split.inputs.lengths is not None:
            return sampling.bucketed(split.inputs.lengths, size, rng)
        return sampling.in_batches(sampling.shuffled(len(split), rng), size)

    @abstractmethod
    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        """The scalar to minimise on this batch."""

    def end_epoch(self, split: Split, model: Model, state: State, val: Split | None = None) -> None:  # noqa: B027
        """What is refreshed between epochs, after the epoch's evaluation."""

    def stages(self) -> tuple[Stage, ...]:
        """The stages of a training; by default one, of this method, on the whole model."""
        return (Stage(self),)


def require_groups(split: Split, method: Method, part: str = "training") -> None:
    """Raise BadInput unless the split (the `part` of the data) has attributes with at least two values present."""
    name = type(method).__name__
    if not split.has_attributes:
        raise BadInput(f"{name} needs group labels in {part}; the data name no sensitive attribute")
    if len(torch.unique(split.attribute)) < 2:
        raise BadInput(f"{name} needs at least two attribute values in {part}, got one")


def require_validation(val: Split | None, method: Method) -> Split:
    """The validation split; raise BadInput unless there is one with groups."""
    if val is None:
        raise BadInput(f"{type(method).__name__} needs a validation split: start(train, model, val)")
    require_groups(val, method, "validation")
    return val


def require_range(method: Method, option: str, low: float, high: float = math.inf, *, above: bool = False) -> None:
    """Raise BadInput unless the method's option lies in [low, high], or in (low, high] if it must be `above`."""
    value = getattr(method, option)
    if not low <= value <= high or (above and value == low):
        least = f"{'above' if above else 'at least'} {low:g}"
        wanted = least if high == math.inf else f"in {'(' if above else '['}{low:g}, {high:g}]"
        raise BadInput(f"{option} of {type(method).__name__} must be {wanted}, got {value!r}")


def groups_of(batch: Batch, method: Method) -> Tensor:
    """(B,) the batch's groups; raise BadInput if it has none."""
    if batch.group is None:
        raise BadInput(f"{type(method).__name__} needs group labels in every batch, got group=None")
    return batch.group


def loss_dtype(model: Model) -> torch.dtype:
    """What losses of this model are computed in: its weights' type, single precision at least."""
    return torch.promote_types(model.classifier.weight.dtype, torch.float32)
