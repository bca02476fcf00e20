"""What group-aware training costs on images: time over that of plain training (erm), with ResNet-18 at 64 pixels.

Methods take turns within one process, one batch or one training each, and each ratio is the median over rounds. Times
are the processor's, not the clock's: nothing here waits, and other programs may be at work beside it. Rows are random
pixels with the group shares of Waterbirds, or those of Waterbirds itself where --root names its folder.

    step      forward, loss, backward and optimizer on one batch, everything a method does in a step included
    training  `fit` for some epochs, with all evaluation, and with what ncdebias does at its start and between epochs to
              set its frozen classifier, by each of its `statistics`

To reach, step: groupdro ≤ 1.02, ncdebias ≤ 1.03, clusterfix ≤ 1.10; training: ncdebias with running or subsampled
statistics ≤ 1.05.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch
from torch import Tensor

from evenhand import data, encoders, methods
from evenhand.batch import Split
from evenhand.model import Model
from evenhand.settings import Settings
from evenhand.train import fit

SIDE = 64
SHARES = torch.tensor([0.73, 0.04, 0.01, 0.22])  # of the groups of Waterbirds in training
STEPS: dict[str, dict[str, Any]] = {
    "erm": {},
    "groupdro": {},
    "ncdebias": {},
    "ncdebias running": {"statistics": "running"},
    "clusterfix": {},
}  # fmt: skip
TRAININGS: dict[str, dict[str, Any]] = {
    "erm": {},
    "groupdro": {},
    "ncdebias exact": {"statistics": "exact"},
    "ncdebias running": {"statistics": "running"},
    "ncdebias subsample": {"statistics": "subsample"},
}
TARGETS = {
    ("step", "groupdro"): 1.02, ("step", "ncdebias"): 1.03, ("step", "ncdebias running"): 1.03,
    ("step", "clusterfix"): 1.10,
    ("training", "ncdebias running"): 1.05, ("training", "ncdebias subsample"): 1.05,
}  # fmt: skip


def new_model(encoder: str) -> Model:
    torch.manual_seed(0)
    return encoders.build(encoder, (3, SIDE, SIDE), 2).to(memory_format=torch.channels_last)  # as `fit` has it


def random_rows(n_rows: int, seed: int) -> Split:
    rng = torch.Generator().manual_seed(seed)
    group = torch.multinomial(SHARES, n_rows, replacement=True, generator=rng)
    group[:4] = torch.arange(4)
    x = torch.randn(n_rows, 3, SIDE, SIDE, generator=rng) + (group // 2)[:, None, None, None]
    return Split.of(x, group // 2, group % 2)


def method_of(label: str, options: dict[str, Any]) -> methods._base.Method:
    return methods.make(label.partition(" ")[0], **options)


class Stepper:
    """One method that trains a network of its own step by step."""

    def __init__(self, label: str, options: dict[str, Any], train: Split, encoder: str) -> None:
        self.method = method_of(label, options)
        self.shown = train if self.method.needs_groups else train.without_groups()
        self.model = new_model(encoder)
        self.state = self.method.start(self.shown, self.model)
        trained = [*self.model.part(self.method.stages()[-1].trains).parameters(), *self.state.parameters()]
        self.optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9, fused=True)

    def step(self, rows: Tensor) -> float:
        batch = self.shown.batch(rows)
        begin = time.process_time()
        loss = self.method.loss(batch, self.model, self.state)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return time.process_time() - begin


def taking_turns(turns: dict[str, Callable[[int], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each in every round; who comes first goes round."""
    labels, seconds = list(turns), {label: [] for label in turns}
    for number in range(rounds):
        first = number % len(labels)
        for label in labels[first:] + labels[:first]:
            seconds[label].append(turns[label](number))
    return seconds


def stepping(train: Split, encoder: str, size: int, rounds: int) -> dict[str, list[float]]:
    steppers = {label: Stepper(label, options, train, encoder) for label, options in STEPS.items()}
    batches = [torch.randint(len(train), (size,)) for _ in range(rounds)]
    for stepper in steppers.values():
        stepper.step(batches[0])
    return taking_turns({k: lambda n, s=s: s.step(batches[n]) for k, s in steppers.items()}, rounds)


def training(train: Split, val: Split, settings: Settings, labels: list[str], rounds: int) -> dict[str, list[float]]:
    def seconds(label: str) -> float:
        begin = time.process_time()
        fit(new_model(settings.encoder), method_of(label, TRAININGS[label]), train, val, settings)
        return time.process_time() - begin

    return taking_turns({label: lambda n, label=label: seconds(label) for label in labels}, rounds)


def show(kind: str, seconds: dict[str, list[float]]) -> None:
    floor = seconds["erm"]
    print(f"{kind}: erm takes {statistics.median(floor):.3f} s; times that of erm (quartiles)")
    for label, own in seconds.items():
        ratios = sorted(a / b for a, b in zip(own, floor, strict=True))
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        target = f"   to reach: ≤ {TARGETS[kind, label]:.2f}" if (kind, label) in TARGETS else ""
        print(f"  {label:20s} {statistics.median(ratios):6.3f}  ({low:.3f} to {high:.3f}){target}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder of the data sets, to train on Waterbirds; default random pixels")
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40, help="of each method; 0 leaves them out")
    parser.add_argument("--rounds", type=int, default=3, help="trainings of each method; 0 leaves them out")
    parser.add_argument("--only", default=",".join(TRAININGS), help="trainings, separated by commas; erm is the first")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=4795, help="of random pixels")
    parser.add_argument("--subsample", type=int, default=256, help="of ncdebias; make it smaller with fewer rows")
    options = parser.parse_args()
    for label in TRAININGS:
        if label.startswith("ncdebias"):
            TRAININGS[label] |= {"subsample": options.subsample}
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.root:
        chosen = data.load("waterbirds", options.root, size=SIDE)
        name, train, val = "waterbirds", chosen.train, chosen.val
    else:
        name, train, val = "random pixels", random_rows(options.rows, 0), random_rows(options.rows // 4, 1)
    print(f"{name}: {len(train)} rows, {options.encoder}, {SIDE} pixels, batch {options.batch}, one thread")
    if options.steps:
        show("step", stepping(train, options.encoder, options.batch, options.steps))
    if options.rounds:
        settings = Settings(
            encoder=options.encoder,
            epochs=options.epochs,
            batch_size=options.batch,
            optimizer="sgd",
            lr=0.01,
            device="cpu",
        )
        show("training", training(train, val, settings, options.only.split(","), options.rounds))


if __name__ == "__main__":
    main()
