"""Trainings that kill their own process at a chosen instant, for `test_resume.py`; run in a child process."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from evenhand import encoders, files, methods, sampling
from evenhand.batch import Batch, Split
from evenhand.losses import cross_entropy
from evenhand.methods._base import Method, Stage, State
from evenhand.methods.erm import ERM
from evenhand.model import Model
from evenhand.settings import Settings
from evenhand.train import fit

calls = {"loss": 0, "fsync": 0}
kill_at: dict[str, int] = {}


def count_and_kill(event: str) -> None:
    calls[event] += 1
    if calls[event] == kill_at.get(event):
        os.kill(os.getpid(), signal.SIGKILL)


class Memory(State):
    def __init__(self, n_rows: int, wrong: Tensor) -> None:
        super().__init__()
        self.register_buffer("seen_N", torch.zeros(n_rows))
        self.register_buffer("wrong", wrong)  # as many as the model handed over gets wrong
        self.shift = torch.nn.Parameter(torch.zeros(2))
        self.seen_N: Tensor


@dataclass(frozen=True)
class Everything(Method):
    """Two stages, and everything that a resumed run could get wrong: noise from three generators, state, a sampler
    that reads the state, parameters of its own, a start that depends on the model it is handed."""

    restart: bool = False

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        with torch.no_grad():
            logits = model(split.batch(torch.arange(len(split))).x)
        memory = Memory(len(split), torch.nonzero(logits.argmax(1) != split.y).flatten())
        memory.seen_N += logits.std() + torch.rand(len(split))
        return memory

    def batches(self, split: Split, state: Any, size: int, rng: Generator) -> Iterator[Tensor]:
        for rows in sampling.in_batches(sampling.shuffled(len(split), rng), size):
            yield (rows + int(state.seen_N.sum() * 100)) % len(split)

    def loss(self, batch: Batch, model: Model, state: Any) -> Tensor:
        count_and_kill("loss")
        noise = torch.randn(len(batch.x), 1) + random.gauss(0, 1) + float(np.random.normal())  # noqa: NPY002
        with torch.no_grad():
            state.seen_N[batch.rows] += 0.125
        return (cross_entropy(model(batch.x) + state.shift, batch.y) * (1 + 0.1 * noise[:, 0])).mean()

    def end_epoch(self, split: Split, model: Model, state: Any, val: Split | None = None) -> None:
        state.seen_N *= torch.rand(())

    def stages(self) -> tuple[Stage, ...]:
        second = Stage(self, trains="classifier", split="val", restart=self.restart, keep="best")
        return Stage(Counted(), epochs=2, keep="best"), second, Stage(self)


@dataclass(frozen=True)
class Counted(Method):
    """ERM that counts its calls."""

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        count_and_kill("loss")
        return ERM().loss(batch, model, state)


def splits() -> tuple[Split, Split]:
    rng = torch.Generator().manual_seed(5)
    x, a = torch.randn(160, 6, generator=rng), torch.arange(160) % 2
    y = (x[:, 0] + a * x[:, 1] > 0).long()
    return Split.of(x[:100], y[:100], a[:100]), Split.of(x[100:], y[100:], a[100:])


def train(folder: Path, method: str, kills: dict[str, int], result: Path, settings: dict[str, Any]) -> None:
    """Train until killed, or write the model and the history to `result`."""
    torch.set_num_threads(1)
    kill_at.update(kills)
    fsync = os.fsync

    def fsync_or_die(descriptor: int) -> None:
        count_and_kill("fsync")
        fsync(descriptor)

    files.os.fsync = fsync_or_die  # type: ignore[attr-defined]
    train_split, val = splits()
    torch.manual_seed(1)
    model = encoders.build("mlp", (6,), 2)
    chosen = {"everything": Everything(), "restart": Everything(restart=True)}.get(method) or methods.make(method)
    fitted = fit(
        model, chosen, train_split, val, Settings(**{"epochs": 3, "batch_size": 16, **settings}),
        checkpoint=folder / "checkpoint.pt", checkpoint_every=0,
    )  # fmt: skip
    history = [{k: v for k, v in record.items() if not k.startswith("seconds")} for record in fitted.history]
    found = {"model": fitted.model.state_dict(), "history": history, "epoch": fitted.epoch, "score": fitted.score}
    torch.save(found, result)
