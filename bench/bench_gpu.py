"""What a GPU is kept busy with: images a second through the real input pipeline against the same steps on one batch.

bf16, channels-last, images from the cache (Waterbirds below --root, or random bytes of that many images).

    pipeline   batches gathered, augmented and moved as in `fit`, against steps on one batch that lies on the device
    step       of each method over that of plain training (erm), on that one batch
    training   `fit` for some epochs over that of erm, validation and what a method does between epochs included

To reach: pipeline ≥ 0.8 of synthetic; ncdebias (running) training ≤ 1.05, its step ≤ 1.03; groupdro step ≤ 1.02.
Without a GPU nothing is measured, unless --device cpu asks for a trial of the script itself.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from evenhand import data, encoders, methods
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.inputs import ahead
from evenhand.inputs.augmentation import augmentation
from evenhand.inputs.images import ImageInputs, MemoryPixels
from evenhand.model import Model
from evenhand.settings import Settings
from evenhand.train import fit

METHODS = {"erm": {}, "groupdro": {}, "ncdebias": {"statistics": "running"}, "gbmix": {"finetune_epochs": 0}}


def splits(root: str | None, size: int, n_images: int) -> tuple[str, Split, Split]:
    """Waterbirds where it is, else random bytes with its group shares."""
    try:
        chosen = data.load("waterbirds", root, size=size)
        return "waterbirds", chosen.train, chosen.val
    except BadInput:
        rng = torch.Generator().manual_seed(0)
        group = torch.multinomial(torch.tensor([0.73, 0.04, 0.01, 0.22]), n_images, replacement=True, generator=rng)
        group[:4] = torch.arange(4)
        pixels = MemoryPixels(torch.randint(256, (n_images, 3, size, size), generator=rng, dtype=torch.uint8))
        inputs = ImageInputs(pixels, size=size, augmentation=augmentation("crop+flip", size))
        split = Split(inputs, group // 2, 2, (group % 2)[:, None], (2,))
        return "random bytes", split, split.subset(torch.arange(n_images // 4))


def synchronised(device: torch.device) -> float:
    """The clock, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class Trainer:
    """One method with a network and an optimizer of its own, in bf16."""

    def __init__(self, name: str, encoder: str, train: Split, device: torch.device) -> None:
        torch.manual_seed(0)
        shape = tuple(train.batch(torch.arange(1)).x.shape[1:])
        self.model: Model = encoders.build(encoder, shape, 2).to(device).to(memory_format=torch.channels_last)
        self.method, self.device = methods.make(name, **METHODS[name]), device
        self.state = self.method.start(train if self.method.needs_groups else train.without_groups(), self.model)
        self.state.to(device)
        trained = [*self.model.part(self.method.stages()[-1].trains).parameters(), *self.state.parameters()]
        self.optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9, fused=True)

    def step(self, batch: Batch) -> None:
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            loss = self.method.loss(batch, self.model, self.state)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def rate(trainer: Trainer, batches: Callable[[], list[Batch] | object], n_images: int) -> float:
    """Images a second over the batches."""
    begin = synchronised(trainer.device)
    for batch in batches():  # type: ignore[attr-defined]
        trainer.step(batch)
    return n_images / (synchronised(trainer.device) - begin)


def orders(n_rows: int, size: int, steps: int) -> list[Tensor]:
    return [torch.randint(n_rows, (size,)) for _ in range(steps)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder of the data sets; default EVENHAND_DATA")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3, help="of the training; 0 leaves it out")
    parser.add_argument("--images", type=int, default=4795, help="where there is no Waterbirds")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("there is no GPU here: nothing was measured")
        return
    device = torch.device(options.device)
    where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU (a trial)"
    name, train, val = splits(options.root, options.size, options.images)
    train = train.to(device)
    print(f"{where}, torch {torch.__version__}: {name}, {len(train)} images of {options.size} px, {options.encoder}")
    print(f"batches of {options.batch}, bf16, channels-last")
    trainers = {label: Trainer(label, options.encoder, train, device) for label in METHODS}
    n_images = options.batch * options.steps
    one = train.batch(torch.arange(options.batch) % len(train), torch.Generator().manual_seed(0))
    seeds = [torch.Generator().manual_seed(k) for k in range(options.steps)]

    def real() -> object:
        return ahead.batches(train, orders(len(train), options.batch, options.steps), seeds.__getitem__)

    erm, shares = trainers["erm"], []
    for _ in range(options.rounds + 1):
        synthetic = rate(erm, lambda: [one] * options.steps, n_images)
        shares.append((rate(erm, real, n_images), synthetic))
    pipeline, alone = (statistics.median(column) for column in zip(*shares[1:], strict=True))
    share = statistics.median(a / b for a, b in shares[1:])
    print(f"pipeline {pipeline:.0f} images/s, synthetic {alone:.0f}: {share:.2f} (to reach: ≥ 0.80)")
    times = {label: [] for label in METHODS}
    for _ in range(options.rounds + 1):
        for label, trainer in trainers.items():
            times[label].append(1 / rate(trainer, lambda: [one] * options.steps, n_images))
    for label in METHODS:
        ratios = [a / b for a, b in zip(times[label][1:], times["erm"][1:], strict=True)]
        print(f"step {label:10s} {statistics.median(ratios):.3f} × erm")
    if options.epochs:
        settings = Settings(
            encoder=options.encoder, epochs=options.epochs, batch_size=options.batch, optimizer="sgd", lr=0.01,
            precision="bf16-mixed", device=options.device,
        )  # fmt: skip
        spent = {}
        for label, chosen in METHODS.items():
            torch.manual_seed(0)
            model = encoders.build(options.encoder, tuple(one.x.shape[1:]), 2)
            begin = synchronised(device)
            fit(model, methods.make(label, **chosen), train, val, settings)
            spent[label] = synchronised(device) - begin
        for label, seconds in spent.items():
            print(f"training {label:10s} {seconds:.1f} s, {seconds / spent['erm']:.3f} × erm")


if __name__ == "__main__":
    main()
