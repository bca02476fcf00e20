"""What each method adds to a training step: time of its step over that of plain training (erm), on the same batches.

The network and batch size are those of the NC-debias paper for Adult; the rows are Adult's where they are. Methods take
turns within one process, and each ratio is the median over rounds.

    in training   a step as `fit` takes it: the batches' share of an epoch, without its evaluation and without what a
                  method does between epochs (ncdebias and minimaxfair pass over the training rows)
    epoch         a whole epoch of `fit`, with all of that
    bare          a step with nothing around it: gather the batch, loss, backward, optimizer

To reach, per step: groupdro ≤ 1.15, ncdebias ≤ 1.25.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch
from torch import Tensor

from evenhand import data, encoders, methods
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.methods._base import Method
from evenhand.model import Model
from evenhand.settings import Settings
from evenhand.train import fit

ROUNDS, EPOCHS, STEPS, BATCH = 7, 2, 100, 256
TARGETS = {"groupdro": 1.15, "ncdebias": 1.25}
ON_IMAGES = {"mixup", "cutmix", "remix", "unimix", "obmix", "lisa", "fairmix", "gbmix"}  # see bench_mixing.py
TWO_VIEWS = {"gpaco"}  # its batches hold every row twice


def new_model(train: Split) -> Model:
    torch.manual_seed(0)
    return encoders.build("mlp", (train.batch(torch.arange(1)).x.shape[1],), train.n_classes)


class Contender:
    """One method, trained by `fit` and step by step on a network of its own."""

    def __init__(self, name: str, train: Split, val: Split) -> None:
        self.method: Method = methods.make(name)
        self.train, self.val = train, val
        self.shown = train if self.method.needs_groups else train.without_groups()
        self.model = new_model(train)
        self.state = self.method.start(self.shown, self.model, val)
        trained = [*self.model.part(self.method.stages()[-1].trains).parameters(), *self.state.parameters()]
        self.optimizer = torch.optim.Adam(trained, lr=1e-3, fused=True)
        self.bare: list[float] = []
        self.in_training: list[float] = []
        self.epoch: list[float] = []

    def step(self, rows: Tensor) -> None:
        self.optimizer.zero_grad()
        self.method.loss(self.shown.batch(rows), self.model, self.state).backward()
        self.optimizer.step()

    def turn(self, batches: list[Tensor]) -> None:
        begin = time.perf_counter()
        for rows in batches:
            self.step(rows)
        self.bare.append((time.perf_counter() - begin) / len(batches))
        fitted = fit(
            new_model(self.train), self.method, self.train, self.val, Settings(epochs=EPOCHS, batch_size=BATCH)
        )
        n_rows = sum(sum(record["train"]["count"]) for record in fitted.history)  # subsampling methods see fewer
        self.in_training.append(sum(record["seconds_training"] for record in fitted.history) / (n_rows / BATCH))
        self.epoch.append(sum(record["seconds"] for record in fitted.history) / EPOCHS)


def splits(root: str | None) -> tuple[str, Split, Split]:
    """Adult where it is, else random rows of its shape, with groups of 45, 15, 34 and 6 percent or so."""
    try:
        adult = data.load("adult", root)
        return "adult", adult.train, adult.val
    except BadInput:
        a = (torch.rand(30162) < 0.67).long()
        y = (torch.rand(30162) < 0.11 + 0.20 * a).long()
        x = torch.randn(30162, 32) + y[:, None]
        return "random rows", Split.of(x[:22621], y[:22621], a[:22621]), Split.of(x[22621:], y[22621:], a[22621:])


def ratio(own: list[float], floor: list[float]) -> float:
    """Rounds are paired: what else the machine does at that moment slows both."""
    return statistics.median(a / b for a, b in zip(own, floor, strict=True))


def comparable(name: str) -> bool:
    """Whether a step of the method is a step on a batch of rows: one stage, each row once in a batch."""
    return name not in ON_IMAGES | TWO_VIEWS and len(methods.make(name).stages()) == 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder of the data sets; default EVENHAND_DATA")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    name, train, val = splits(options.root)
    contenders = {name: Contender(name, train, val) for name in methods.names() if comparable(name)}
    for number in range(ROUNDS):
        batches = [torch.randint(len(train), (BATCH,)) for _ in range(STEPS)]
        turns = list(contenders.values())
        first = number % len(turns)  # who comes first finds the rows out of the cache, so that goes round
        for contender in turns[first:] + turns[:first]:
            contender.turn(batches)
    erm = contenders["erm"]
    step, bare = statistics.median(erm.in_training), statistics.median(erm.bare)
    print(f"{name}, batch {BATCH}, MLP 32-32-64-2, one thread")
    print(f"a step of erm: {step * 1e6:.0f} us in training, {bare * 1e6:.0f} us bare")
    print("times that of erm   in training   epoch    bare")
    for name, own in contenders.items():
        target = f"   (to reach, per step: ≤ {TARGETS[name]:.2f})" if name in TARGETS else ""
        figures = ratio(own.in_training, erm.in_training), ratio(own.epoch, erm.epoch), ratio(own.bare, erm.bare)
        print(f"{name:19s} {figures[0]:11.2f} {figures[1]:7.2f} {figures[2]:7.2f}{target}")


if __name__ == "__main__":
    main()
