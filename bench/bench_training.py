"""A whole ERM training by `evenhand.fit`, against the same training written by hand.

Three trainings of the same network on the same rows in turn, one thread, several rounds; the medians of the times of an
epoch and, round by round, the ratios:

- bare: one loop over tensors in memory, an index per batch, fused Adam, and nothing around it: no evaluation;
- loader: the usual `TensorDataset` + `DataLoader` loop, shuffled, in the same process;
- quiet: the bare loop with CUDA hidden, as `fit` does it on machines without a GPU: a CUDA build of PyTorch otherwise
  looks for a driver in every optimizer step;
- evenhand: `fit`, with its evaluation of validation, history and selection in every epoch.

To reach: loader / evenhand ≥ 3, evenhand / bare ≤ 1.3.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from evenhand import data, encoders, methods
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.settings import Settings
from evenhand.train import fit

BATCH, LR = 256, 1e-3


def new_model(split: Split) -> nn.Module:
    torch.manual_seed(0)
    return encoders.build("mlp", (split.batch(torch.arange(1)).x.shape[1],), split.n_classes)


def bare(train: Split, val: Split, epochs: int) -> None:
    x, y = train.inputs.take(torch.arange(len(train))), train.y
    model = new_model(train)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(train)), BATCH):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()


def quiet(train: Split, val: Split, epochs: int) -> None:
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    bare(train, val, epochs)
    if before is None:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = before


def loader(train: Split, val: Split, epochs: int) -> None:
    rows = TensorDataset(train.inputs.take(torch.arange(len(train))), train.y)
    model = new_model(train)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    for _ in range(epochs):
        for x, y in DataLoader(rows, batch_size=BATCH, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()


def evenhand(train: Split, val: Split, epochs: int) -> None:
    fit(new_model(train), methods.make("erm"), train, val, Settings(epochs=epochs, batch_size=BATCH, lr=LR))  # type: ignore[arg-type]


def splits(root: str | None) -> tuple[str, Split, Split]:
    """Adult where it is, else random rows of its shape."""
    try:
        adult = data.load("adult", root)
        return "adult", adult.train, adult.val
    except BadInput:
        x = torch.randn(30162, 32, generator=torch.Generator().manual_seed(0))
        y, a = (x[:, 0] > 0.7).long(), (x[:, 1] > 0).long()
        return "random rows", Split.of(x[:22621], y[:22621], a[:22621]), Split.of(x[22621:], y[22621:], a[22621:])


def seconds(training: Callable[[Split, Split, int], None], train: Split, val: Split, epochs: int) -> float:
    started = time.perf_counter()
    training(train, val, epochs)
    return (time.perf_counter() - started) / epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder of the data sets; default EVENHAND_DATA")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    name, train, val = splits(options.root)
    trainings = (bare, loader, quiet, evenhand)
    for training in trainings:
        training(train, val, 1)
    times = [[seconds(training, train, val, options.epochs) for training in trainings] for _ in range(options.rounds)]
    print(
        f"{name}: {len(train)} rows, batches of {BATCH}, one thread, {options.rounds} rounds of {options.epochs} epochs"
    )
    for training, column in zip(trainings, zip(*times, strict=True), strict=True):
        spread = f"min {min(column):.4f}, max {max(column):.4f}"
        print(f"  {training.__name__:9s} {statistics.median(column):.4f} s an epoch ({spread})")
    print(f"  loader / evenhand  {statistics.median(row[1] / row[3] for row in times):.2f}  (to reach: ≥ 3)")
    print(f"  evenhand / bare    {statistics.median(row[3] / row[0] for row in times):.2f}  (to reach: ≤ 1.3)")
    print(f"  evenhand / quiet   {statistics.median(row[3] / row[2] for row in times):.2f}  (no look-ups)")


if __name__ == "__main__":
    main()
