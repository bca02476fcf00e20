"""`Objective`: what an encoder is trained for without labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from evenhand.batch import Inputs
from evenhand.errors import BadInput
from evenhand.inputs.views import Views, viewed
from evenhand.model import Model


@dataclass(frozen=True)
class Objective(ABC):
    """A self-supervised objective; its fields are its options, given as `pretrain_options=lr=0.1,batch_size=128`.

    The loop is

        learner = objective.learner(model.encoder, n_features, n_rows, fresh=True)
        for views_BV in batches of objective.views(size):
            loss = learner(views_BV)
            step of objective.optimizer(learner)

    with the learning rate going up in a line over `warm_up`, then down to 0 by a cosine.

    Attributes:
        batch_size: images per step, at least 2; those that fill no batch are left out of an epoch.
        lr: learning rate after the warm-up at a batch of 256; others scale it in proportion.
        weight_decay: in the optimizer's own sense.
        warm_up: share of all steps, in [0, 1).
    """

    batch_size: int = 256
    lr: float = 0.03
    weight_decay: float = 1e-4
    warm_up: float = 0.0

    needs: ClassVar[tuple[str, ...]] = ("lightly",)  # libraries beyond those that are always there

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise BadInput(f"batch_size of pretraining must be at least 2, got {self.batch_size}")
        if self.lr <= 0 or self.weight_decay < 0:
            raise BadInput(
                "lr of pretraining must be positive and weight_decay not negative, "
                f"got {self.lr} and {self.weight_decay}"
            )
        if not 0 <= self.warm_up < 1:
            raise BadInput(f"warm_up of pretraining must lie in [0, 1), got {self.warm_up}")

    @abstractmethod
    def views(self, size: int) -> Views:
        """What a batch of images is seen in."""

    @abstractmethod
    def learner(self, encoder: nn.Module, n_features: int, n_rows: int, *, fresh: bool) -> nn.Module:
        """What maps views (B, V, C, H, W) to a scalar loss and holds all that is trained.

        Args:
            encoder: is trained in place.
            n_features: D, of the encoder.
            n_rows: images in training.
            fresh: the encoder's weights are random; otherwise they are to be kept as they are at the start.
        """

    def check(self, encoder: nn.Module, shape: tuple[int, ...]) -> None:
        """Raise BadInput unless the encoder can be trained so on images of this shape; by default any can."""
        return

    def optimizer(self, learner: nn.Module) -> Optimizer:
        """SGD with momentum 0.9; an objective may use another."""
        return torch.optim.SGD(self.grouped(learner), momentum=0.9, fused=fused(learner))

    def grouped(self, learner: nn.Module, *, all_decay: bool = False) -> list[dict[str, object]]:
        """What is trained, with learning rate and decay; biases and normalisation decay only if `all_decay`."""
        trained = [parameter for parameter in learner.parameters() if parameter.requires_grad]
        parts = ([p for p in trained if all_decay or p.ndim > 1], [p for p in trained if not all_decay and p.ndim <= 1])
        lr = self.lr * self.batch_size / 256
        decays = (self.weight_decay, 0.0)
        return [{"params": p, "lr": lr, "weight_decay": d} for p, d in zip(parts, decays, strict=True) if p]


def fused(module: nn.Module) -> bool:
    """Whether the device has one kernel for the step of all parameters."""
    return all(parameter.device.type in ("cpu", "cuda") for parameter in module.parameters())


def require_libraries(objective: Objective) -> None:
    """Raise BadInput unless what the objective is made of is installed."""
    for library in objective.needs:
        if find_spec(library) is None:
            extra = "pretrain" if library == "lightly" else library
            raise BadInput(f"pretraining needs the library {library}: install the extra evenhand[{extra}]")


def check(objective: Objective, model: Model, inputs: Inputs) -> None:
    """Whether `model.encoder` can be pretrained by `objective` on these inputs; works on the meta device.

    Raises:
        BadInput: a library is missing, inputs are no square images, there are too few, or the encoder does not fit.
    """
    require_libraries(objective)
    name = type(objective).__name__
    with torch.device("cpu"):
        shape = tuple(inputs.take(torch.zeros(1, dtype=torch.int64)).shape[1:])
    if len(shape) != 3 or shape[0] not in (1, 3) or shape[1] != shape[2]:
        raise BadInput(
            f"pretraining by {name} is for square images of 1 or 3 channels (channels, side, side); "
            f"these inputs are rows of shape {shape}"
        )
    viewed(inputs, objective.views(shape[1]))
    if len(inputs) < 2:
        raise BadInput(f"pretraining by {name} needs at least 2 training images, got {len(inputs)}")
    if not any(parameter.requires_grad for parameter in model.encoder.parameters()):
        raise BadInput(f"pretraining by {name} needs an encoder with weights to train; this one has none")
    objective.check(model.encoder, shape)


def in_full(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Tensors in single precision (double stays double), for a loss that half of it would blur."""
    return tuple(tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor for tensor in tensors)


def without_autocast(tensor: Tensor) -> torch.autocast:
    """Inside, matrix products keep the precision of what they are given."""
    return torch.autocast(tensor.device.type, enabled=False)
