"""Optimizers and learning rate schedules by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, StepLR

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
        return CosineAnnealingLR(optimizer, T_max=epochs)
    step_epochs = settings.step_epochs if settings.schedule == "step" else epochs + 1
    return StepLR(optimizer, step_size=step_epochs, gamma=settings.step_factor)
