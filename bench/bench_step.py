"""What each method adds to a training step: time of its step over that of plain training (erm), on the same batches.

The network and batch size are those of the NC-debias paper for Adult. A step gathers the batch, computes the loss,
differentiates it and moves the optimizer. Methods take turns within one process; processor time, medians of many short
rounds. Between epochs some methods do more (ncdebias and minimaxfair pass over the training rows), which is not a step.
"""

from __future__ import annotations

import os
import statistics
import time

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch
from torch import Tensor

from evenhand import encoders, methods
from evenhand.batch import Split
from evenhand.methods._base import Method

ROUNDS, STEPS, ROWS, BATCH = 60, 20, 8192, 256
TARGETS = {"groupdro": 1.15, "ncdebias": 1.25}


class Training:
    """One method with its own copy of the network, ready to take steps."""

    def __init__(self, method: Method, train: Split, val: Split) -> None:
        torch.manual_seed(0)
        self.train = train if method.needs_groups else train.without_groups()
        self.model = encoders.build("mlp", (32,), n_classes=2)
        self.method, self.state = method, method.start(self.train, self.model, val)
        trained = [*self.model.part(method.stages()[-1].trains).parameters(), *self.state.parameters()]
        self.optimizer = torch.optim.Adam(trained, lr=1e-3, fused=True)
        self.seconds: list[float] = []

    def step(self, rows: Tensor) -> None:
        self.optimizer.zero_grad()
        self.method.loss(self.train.batch(rows), self.model, self.state).backward()
        self.optimizer.step()

    def timed(self, batches: list[Tensor]) -> None:
        begin = time.thread_time()
        for rows in batches:
            self.step(rows)
        self.seconds.append((time.thread_time() - begin) / len(batches))


def rows_like_adult(n_rows: int) -> Split:
    """Random rows with 32 features and groups of 45, 15, 34 and 6 percent or so."""
    attribute_N = (torch.rand(n_rows) < 0.67).long()
    y_N = (torch.rand(n_rows) < 0.11 + 0.20 * attribute_N).long()
    return Split.of(torch.randn(n_rows, 32) + y_N[:, None], y_N, attribute_N)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    train, val = rows_like_adult(ROWS), rows_like_adult(ROWS)
    trainings = {name: Training(methods.make(name), train, val) for name in methods.names()}
    for number in range(ROUNDS):
        batches = [torch.randint(ROWS, (BATCH,)) for _ in range(STEPS)]
        turns = list(trainings.values())
        first = number % len(turns)  # who comes first finds the rows out of the cache, so that goes round
        for training in turns[first:] + turns[:first]:
            training.timed(batches)
    floor = statistics.median(trainings["erm"].seconds)
    print(f"one step of erm: {floor * 1e6:.0f} us; batch {BATCH}, MLP 32-32-64-2, one thread")
    for name, training in trainings.items():
        # Rounds are paired: what else the machine does at that moment slows both.
        ratio = statistics.median(a / b for a, b in zip(training.seconds, trainings["erm"].seconds, strict=True))
        target = f"   (at most {TARGETS[name]:.2f})" if name in TARGETS else ""
        print(f"{name:12s} {ratio:5.2f} x erm{target}")


if __name__ == "__main__":
    main()
