"""Optimizers and learning rate schedules by name."""

from __future__ import annotations

from math import cos, pi
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, StepLR

from evenhand.settings import Settings


def make_optimizer(parameters: list[nn.Parameter], settings: Settings) -> Optimizer:
    """The optimizer that `settings` names, fused: one kernel for all parameters of a step."""
    common: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    common["fused"] = all(p.device.type in ("cpu", "cuda") for p in parameters)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=settings.momentum, **common)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, **common)
    return torch.optim.Adam(parameters, **common)


def make_schedule(optimizer: Optimizer, settings: Settings, epochs: int) -> LRScheduler:
    """The learning rate over the epochs of a stage."""
    if settings.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=max(epochs, 1))
    if settings.schedule == "onecycle":
        return LambdaLR(optimizer, lambda epoch: one_cycle(epoch, epochs))
    step_epochs = settings.step_epochs if settings.schedule == "step" else epochs + 1
    return StepLR(optimizer, step_size=step_epochs, gamma=settings.step_factor)


def one_cycle(epoch: int, epochs: int, *, warm_up: float = 0.3, first: float = 0.1) -> float:
    """The share of the learning rate in an epoch: up in a line from `first` over the `warm_up`, then a cosine to 0.

    Smith and Topin (2018), Super-convergence, with one value an epoch. The share of epoch `epochs` would be 0.
    """
    rising = max(round(warm_up * epochs), 1)
    if epoch < rising:
        return first + (1 - first) * epoch / rising
    return 0.5 + 0.5 * cos(pi * (epoch - rising) / max(epochs - rising, 1))
