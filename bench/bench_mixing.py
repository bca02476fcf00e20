"""What mixing adds to a training step on images: time of a step over that of plain training (erm).

Steps are compared at an equal number of forward samples: plain training takes a batch of as many rows as a step of the
method sends through the network, with gradient or without (gbmix: the batch to find the worst group, then the mixtures;
fairmix: the batch and the path). The images, network and batch size are those of the built-in data. Methods take turns
within one process; times are of the processor, and each ratio is the median over rounds.

    forward   rows through the network in a step, per row of the batch
    equal     time of a step over that of plain training with so many rows
    batch     time of a step over that of plain training with the same batch

To reach, at equal forward samples: mixup and cutmix ≤ 1.05, gbmix and lisa ≤ 1.10.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch
from torch import Tensor

from evenhand import encoders, methods
from evenhand.batch import Split
from evenhand.methods._base import Method

ROUNDS, STEPS, BATCH, SHAPE = 9, 12, 64, (3, 32, 32)
MIXING: dict[str, dict[str, Any]] = {
    "mixup": {},
    "cutmix": {"probability": 1.0},
    "remix": {},
    "unimix": {},
    "obmix": {},
    "lisa": {},
    "fairmix": {},
    "gbmix": {"finetune_epochs": 0},
}
TARGETS = {"mixup": 1.05, "cutmix": 1.05, "lisa": 1.10, "gbmix": 1.10}


class Contender:
    """One method, trained step by step on a network of its own."""

    def __init__(self, method: Method, train: Split) -> None:
        torch.manual_seed(0)
        self.method = method
        self.train = train if method.needs_groups else train.without_groups()
        self.model = encoders.build("small_cnn", SHAPE, train.n_classes).to(memory_format=torch.channels_last)
        self.state = method.start(self.train, self.model, None)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)
        self.seconds: list[float] = []

    def step(self, rows: Tensor) -> None:
        loss = self.method.loss(self.train.batch(rows), self.model, self.state)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def turn(self, batches: list[Tensor]) -> None:
        begin = time.process_time()
        for rows in batches:
            self.step(rows)
        self.seconds.append((time.process_time() - begin) / len(batches))

    def forward_rows(self, rows: Tensor) -> int:
        """How many rows one step sends through the encoder."""
        counted: list[int] = []
        hook = self.model.encoder.register_forward_hook(lambda module, args, output: counted.append(len(output)))
        self.step(rows)
        hook.remove()
        return sum(counted)


def ratio(own: list[float], floor: list[float]) -> float:
    """Rounds are paired: what else the machine does at that moment slows both."""
    return statistics.median(a / b for a, b in zip(own, floor, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    group = torch.arange(4096) % 4
    train = Split.of(torch.randn(4096, *SHAPE), group // 2, group % 2)
    contenders = {name: Contender(methods.make(name, **options), train) for name, options in MIXING.items()}
    forward = {name: own.forward_rows(torch.arange(BATCH)) for name, own in contenders.items()}
    floors = {rows: Contender(methods.make("erm"), train) for rows in {BATCH, *forward.values()}}
    for number in range(rounds):
        turns = [(own, BATCH) for own in contenders.values()] + [(own, rows) for rows, own in floors.items()]
        first = number % len(turns)
        for own, size in turns[first:] + turns[:first]:
            own.turn([torch.randint(len(train), (size,)) for _ in range(STEPS)])
    floor = statistics.median(floors[BATCH].seconds)
    n_weights = sum(parameter.numel() for parameter in contenders["mixup"].model.parameters())
    print(f"small_cnn ({n_weights} weights), images {SHAPE}, batch {BATCH}, one thread")
    print(f"a step of erm: {floor * 1e3:.2f} ms")
    print("times that of erm   forward   equal   batch")
    for name, own in contenders.items():
        target = f"   (to reach: ≤ {TARGETS[name]:.2f})" if name in TARGETS else ""
        equal, same = ratio(own.seconds, floors[forward[name]].seconds), ratio(own.seconds, floors[BATCH].seconds)
        print(f"{name:19s} {forward[name] / BATCH:7.2f} {equal:7.2f} {same:7.2f}{target}")


if __name__ == "__main__":
    main()
