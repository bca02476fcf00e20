"""`ZeroShot`: a predictor that is told what the classes are called and never trained on the data."""

from __future__ import annotations

import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.inputs import ahead
from evenhand.zeroshot._prompts import PHOTO, check_templates


class Classifier(Protocol):
    """A model that is loaded, with the texts of the classes read."""

    @property
    def n_classes(self) -> int: ...

    def logits(self, batch: Batch) -> Tensor:
        """(B, C) logits of images that come as floats in [-1, 1]; their softmax is the predicted distribution."""
        ...


@dataclass(frozen=True, kw_only=True)
class ZeroShot(ABC):
    """What a predictor is: fields are options and part of its run's configuration.

    Attributes:
        model: which one, by name or folder.
        templates: texts that say what an image of a class shows, with `{}` where the class is named.
        class_names: what the classes are called in them, in their order; empty takes the names that the data have, with
            underscores as spaces and without WordNet ids in front.
    """

    usual_batch_size: ClassVar[int] = 64

    model: str
    templates: tuple[str, ...] = (PHOTO,)
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_templates(self.templates)

    @classmethod
    def name(cls) -> str:
        """The kind of predictor: the name of its file."""
        return cls.__module__.rpartition(".")[2]

    @abstractmethod
    def classifier(self, device: torch.device, batch_size: int, seed: int) -> Classifier:
        """The model with its weights on `device`, for `class_names`; whatever it draws follows from `seed`.

        Raises:
            BadInput: a library or weights are missing or do not fit.
        """

    @abstractmethod
    def identified(self) -> dict[str, str]:
        """What tells runs apart that take different files of weights from the same place; nothing without a file."""


@torch.no_grad()
def logits_of(
    classifier: Classifier,
    split: Split,
    batch_size: int,
    device: torch.device,
    *,
    on_rows: Callable[[int], None] | None = None,
    kept: Path | None = None,
) -> Tensor:
    """(N, C) float32 logits on the CPU of every row of `split`, in order, of `batch_size` images at a time.

    Args:
        on_rows: called with the number of rows that were just predicted.
        kept: a file to which the logits of each batch are added; what it holds already is not predicted again.
    """
    found = [_kept(kept, len(split), classifier.n_classes, batch_size)]
    rest = torch.arange(len(found[0]), len(split))
    orders = torch.split(rest, batch_size) if len(rest) else ()
    for batch in ahead.batches(split.to(device), orders):
        found.append(classifier.logits(batch).float().cpu())
        if kept is not None:
            with kept.open("ab") as file:
                file.write(found[-1].numpy().tobytes())
        if on_rows:
            on_rows(len(batch.y))
    return torch.cat(found)


def _kept(path: Path | None, n_rows: int, n_classes: int, batch_size: int) -> Tensor:
    """The logits of the whole batches in a file, which is cut after them."""
    if path is None or not path.exists():
        return torch.zeros(0, n_classes)
    content = path.read_bytes()
    there = len(content) // (4 * n_classes)
    whole = n_rows if there >= n_rows else there - there % batch_size
    content = content[: whole * 4 * n_classes]
    path.write_bytes(content)
    return torch.from_numpy(np.frombuffer(content, np.float32).copy()).view(whole, n_classes)


def library(name: str, kind: str) -> ModuleType:
    """The module `name` of the optional libraries for predictors without training.

    Raises:
        BadInput: it is not installed; the message names the extra that brings it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise BadInput(
            f"zero-shot prediction by {kind} needs the library {name}, which is not installed: install the extra "
            "evenhand[zeroshot]"
        ) from error


@contextmanager
def silent() -> Iterator[None]:
    """Inside, libraries neither warn nor log: what goes wrong is said by an error."""
    root, nowhere, level = logging.getLogger(), logging.NullHandler(), logging.root.manager.disable
    root.addHandler(nowhere)  # without a handler, `logging.error` sets one up that stays
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(level)
        root.removeHandler(nowhere)


def first_line(error: Exception) -> str:
    """The kind and the first line of another library's error."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"
