"""The loop of self-supervised pretraining, resumable at any instant."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from evenhand import checkpoint as snapshots
from evenhand.batch import Batch, Inputs, Split
from evenhand.checkpoint import Tree
from evenhand.errors import BadInput, RunFailed
from evenhand.inputs import ahead
from evenhand.inputs.views import viewed
from evenhand.model import Model
from evenhand.pretraining import chosen
from evenhand.pretraining._base import check
from evenhand.randomness import generator, random_states, reproducible, restore_random_states, seed_everything
from evenhand.settings import Settings

Record = dict[str, Any]
STREAM = 0x55E1F  # sets the draws of pretraining apart from those of the stages of training, 0, 1, …


def pretrain(
    model: Model,
    inputs: Inputs,
    settings: Settings,
    *,
    checkpoint: Path | None = None,
    checkpoint_every: float = 30.0,
    on_epoch: Callable[[list[Record]], None] | None = None,
) -> list[Record]:
    """Train `model.encoder` in place on images alone, as `settings.pretrain` says; one record an epoch.

    The same arguments give bit for bit the same encoder on the CPU, also when a killed training is continued from
    `checkpoint`. The caller's random generators are left as they were.

    Args:
        inputs: of the training rows; there is no way in for labels, groups, or other rows.
        checkpoint: where snapshots are kept; if there is one of this training, it is continued.
        checkpoint_every: seconds between snapshots; 0 writes one after every batch.
        on_epoch: called after each epoch with the records of all so far: epoch (from 0), loss (mean over its batches),
            lr, seconds.

    Raises:
        BadInput: no such objective, it does not fit encoder or inputs, or `checkpoint` is of another training.
        RunFailed: the loss became infinite or NaN.
    """
    objective = chosen(settings)
    check(objective, model, inputs)
    with reproducible(settings):
        return _Loop(model, inputs, settings, checkpoint, checkpoint_every).run(on_epoch or (lambda _: None))


class _Loop:
    """One pretraining. `epoch` and `losses` say how far it is; a snapshot is these and every tensor."""

    def __init__(self, model: Model, inputs: Inputs, settings: Settings, file: Path | None, every: float) -> None:
        objective = chosen(settings)
        self.settings, self.objective, self.file, self.every = settings, objective, file, every
        self.due = time.monotonic() + every
        self.fabric = Fabric(accelerator=settings.device, devices=1, precision=settings.precision)
        views = objective.views(inputs.take(torch.zeros(1, dtype=torch.int64)).shape[-1])
        no_labels = torch.zeros(len(inputs), dtype=torch.int64)
        self.images = Split(viewed(inputs, views), no_labels, n_classes=1).to(self.fabric.device)
        self.size = min(objective.batch_size, len(inputs))
        self.steps = len(inputs) // self.size
        seed_everything(settings.seed, STREAM)
        n_features = model.classifier.in_features
        learner = objective.learner(model.encoder, n_features, len(inputs), fresh=settings.weights == "none")
        self.learner = learner.to(self.fabric.device).train()
        if any(isinstance(module, nn.Conv2d) for module in learner.modules()):
            self.learner = self.learner.to(memory_format=torch.channels_last)
        self.optimizer = objective.optimizer(self.learner)
        self.rates: list[float] = [group["lr"] for group in self.optimizer.param_groups]
        self.epoch, self.losses, self.history = 0, list[Tensor](), list[Record]()
        self.snapshot: dict[str, Tree] | None = None

    def run(self, on_epoch: Callable[[list[Record]], None]) -> list[Record]:
        """Train all epochs that are still to come."""
        self._continue()
        plain = self.settings.precision == "32-true"
        self.step: nn.Module = self.learner
        self.stepper: Any = self.optimizer
        if not plain:
            self.step, self.stepper = self.fabric.setup(self.learner, self.optimizer)
        self.backward = Tensor.backward if plain else self.fabric.backward
        try:
            while self.epoch < self.settings.pretrain_epochs:
                self._train_epoch()
                on_epoch(self.history)
        except BaseException:
            self._store_snapshot()
            raise
        return self.history

    def _train_epoch(self) -> None:
        started = time.perf_counter()
        for batch in self._batches():
            self._set_rate(self.epoch * self.steps + len(self.losses))
            loss = self.step(batch.x)
            self.stepper.zero_grad()
            self.backward(loss)
            self.stepper.step()
            self.losses.append(loss.detach())
            if self.file and time.monotonic() >= self.due and self._first_not_finite() is None:
                self._take_snapshot()
        self._refuse_not_finite()
        self.history.append({
            "epoch": self.epoch,
            "loss": float(torch.stack(self.losses).double().mean()),
            "lr": self.optimizer.param_groups[0]["lr"],
            "seconds": time.perf_counter() - started,
        })  # fmt: skip
        self.epoch, self.losses = self.epoch + 1, []
        if self.file:
            self._take_snapshot()

    def _batches(self) -> Iterator[Batch]:
        """The batches of this epoch that are still to come, each seen in views from a generator of its own."""
        seed, done = (self.settings.seed, STREAM, self.epoch), len(self.losses)
        order = torch.randperm(len(self.images), generator=generator(*seed))[: self.steps * self.size]
        orders = islice(torch.split(order, self.size), done, None)
        return ahead.batches(self.images, orders, lambda number: generator(*seed, done + number))

    def _set_rate(self, step: int) -> None:
        share = rate(step, self.steps * self.settings.pretrain_epochs, self.objective.warm_up)
        for group, lr in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = lr * share

    def _first_not_finite(self) -> int | None:
        bad = (~torch.isfinite(torch.stack(self.losses))).nonzero()
        return int(bad[0]) if len(bad) else None

    def _refuse_not_finite(self) -> None:
        bad = self._first_not_finite()
        if bad is not None:
            raise RunFailed(
                f"the loss of pretraining by {self.settings.pretrain} became {float(self.losses[bad])} in epoch "
                f"{self.epoch + 1} of {self.settings.pretrain_epochs}, batch {bad + 1} of {self.steps}; try a smaller "
                f"learning rate than {self.objective.lr:g}: pretrain_options=lr=…"
            )

    # --- snapshots ---

    def _take_snapshot(self) -> None:
        self.snapshot = {
            "of": self._identity(),
            "epoch": self.epoch,
            "learner": snapshots.copied(self.learner.state_dict()),
            "optimizer": snapshots.copied(self.optimizer.state_dict()),
            "losses": snapshots.copied(self.losses),
            "history": list(self.history),
            "random": random_states(),
        }
        if time.monotonic() >= self.due:
            self._store_snapshot()

    def _store_snapshot(self) -> None:
        if self.file and self.snapshot:
            snapshots.save(self.file, self.snapshot)
            self.due = time.monotonic() + self.every

    def _continue(self) -> None:
        """Lay a snapshot's tensors over what has just been built, if there is one."""
        saved = snapshots.load(self.file) if self.file else None
        if saved is None:
            return
        if saved["of"] != self._identity():
            raise BadInput(
                f"{self.file} is of another pretraining ({saved['of']}), not of this one ({self._identity()}); "
                "remove it or choose another checkpoint"
            )
        self.epoch, self.history = saved["epoch"], saved["history"]
        self.losses = [loss.to(self.fabric.device) for loss in saved["losses"]]
        self.learner.load_state_dict(saved["learner"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.snapshot = saved
        restore_random_states(saved["random"])

    def _identity(self) -> str:
        """What makes this pretraining another than those with which it cannot share snapshots."""
        n_weights = sum(parameter.numel() for parameter in self.learner.parameters())
        epochs, seed = self.settings.pretrain_epochs, self.settings.seed
        return f"{self.objective}, {epochs} epochs, seed {seed}, {n_weights} weights, {len(self.images)} images"


def rate(step: int, steps: int, warm_up: float) -> float:
    """The share of the learning rate in a step: up in a line over the `warm_up`, then a cosine to 0 after the last."""
    rising = round(warm_up * steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 + 0.5 * math.cos(math.pi * (step - rising) / max(steps - rising, 1))
