"""What tracking costs: processor time of an epoch of a tracked run over that of the same run untracked.

Runs of `execute` take turns, with the test split evaluated in every epoch (`oracle`), and each ratio is the median over
rounds. An epoch is what lies between two calls of `on_epoch`: steps, validation, test, and what is recorded of them.
Times are the processor's, not the clock's: nothing here waits, and other programs may be at work beside it.

    images    ResNet-18 at 64 pixels on Waterbirds, or random pixels of its sizes; of either a `--share` of the rows,
              with which the fixed part of an epoch's tracking weighs more than with all
              (also printed: the time in the tracker alone, which is small against the noise of a ratio of two runs)
    table     the MLP on Adult, or random rows of its sizes
    geometry  what every run, tracked or not, pays once at its end for geometry.json: milliseconds, and its share of a
              run of `--epochs` epochs on the table, and on the digits that come with the package

To reach: images, collapse ≤ 1.02; geometry ≤ 0.02 of the run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch

from evenhand import data
from evenhand import execute as executing
from evenhand.batch import Split
from evenhand.data._base import Data, Sealed
from evenhand.errors import BadInput
from evenhand.evaluation import predict
from evenhand.execute import execute
from evenhand.features import load_model
from evenhand.plan import Plan
from evenhand.tracking import Geometry, Tracker

SIDE = 64
SHARES = torch.tensor([0.73, 0.04, 0.01, 0.22])  # of the groups of Waterbirds in training
KINDS = ("", "collapse", "collapse-exact")


def made(sizes: tuple[int, int, int], shape: tuple[int, ...]) -> Data:
    """Random rows of this shape, with the shares of groups of Waterbirds."""

    def split(n_rows: int, seed: int) -> Split:
        rng = torch.Generator().manual_seed(seed)
        group = torch.multinomial(SHARES, n_rows, replacement=True, generator=rng)
        group[:4] = torch.arange(4)
        x = torch.randn(n_rows, *shape, generator=rng) + (group // 2).view(-1, *[1] * len(shape))
        return Split.of(x, group // 2, group % 2)

    train, val, test = (split(n, seed) for seed, n in enumerate(sizes))
    return Data("made", train, val, Sealed(test), f"made-{sizes}", {"batch_size": 128})


def read(name: str, root: str | None, otherwise: Callable[[], Data], **options: Any) -> Data:
    """The data set where it is, else made rows."""
    try:
        return data.load(name, root, **options)
    except BadInput:
        return otherwise()


def part_of(whole: Data, share: float) -> Data:
    """The first rows of every part, in random order."""

    def some(split: Split) -> Split:
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
        return split.subset(order[: max(64, round(share * len(split)))])

    test = Sealed(some(whole.test.unseal()))
    parts = {"train": some(whole.train), "val": some(whole.val), "test": test}
    return replace(whole, **parts, fingerprint=f"{whole.fingerprint}-{share}")


class Timed(Tracker):
    """A tracker that adds up the processor time spent in it."""

    seconds = 0.0

    @staticmethod
    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            began = time.process_time()
            found = function(*arguments)
            Timed.seconds += time.process_time() - began
            return found

        return call

    def watch(self, *arguments: Any) -> Any:
        return self.timed(self.timed(super().watch)(*arguments))


for name in ("begin_epoch", "step", "end_training", "figures", "state"):
    setattr(Timed, name, Timed.timed(getattr(Tracker, name)))
executing.Tracker = Timed  # type: ignore[misc]


def epoch_seconds(chosen: Data, settings: dict[str, Any], track: str, epochs: int) -> tuple[float, float]:
    """Processor time of an epoch and of the tracker in it, without the first, which also has what is done once."""
    marks: list[tuple[float, float]] = []
    plan = Plan("erm", settings={**settings, "epochs": epochs + 1}, oracle=True, track=track)
    with tempfile.TemporaryDirectory() as folder:
        execute(chosen, plan, Path(folder), on_epoch=lambda record: marks.append((time.process_time(), Timed.seconds)))
    whole, inside = ((last - first) / epochs for first, last in zip(marks[0], marks[-1], strict=True))
    return whole, inside


def epochs(title: str, chosen: Data, settings: dict[str, Any], options: argparse.Namespace, n_epochs: int) -> None:
    """Print what each kind of tracking makes of an epoch."""
    rounds = [[epoch_seconds(chosen, settings, kind, n_epochs) for kind in KINDS] for _ in range(options.rounds)]
    plain = statistics.median(row[0][0] for row in rounds)
    sizes = " + ".join(str(len(part)) for part in (chosen.train, chosen.val, chosen.test))
    print(
        f"{title}: {chosen.name}, {sizes} rows, {options.rounds} rounds of {n_epochs} epochs; {plain:.3f} s untracked"
    )
    for k, kind in enumerate(KINDS[1:], 1):
        ratios = [row[k][0] / row[0][0] for row in rounds]
        inside = statistics.median(row[k][1] for row in rounds)
        share = statistics.median(row[k][1] / (row[k][0] - row[k][1]) for row in rounds)
        spread = f"min {min(ratios):.3f}, max {max(ratios):.3f}"
        spent = f"in the tracker {1000 * inside:.1f} ms, {share:.4f} of the rest"
        print(f"  {kind:15s} {statistics.median(ratios):.3f}  ({spread}; {spent})")


def geometry(chosen: Data, settings: dict[str, Any], options: argparse.Namespace) -> None:
    """Print what `geometry.json` costs at the end of a run."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        run = execute(chosen, Plan("erm", settings={**settings, "epochs": options.epochs}), Path(folder))
        whole, model = time.process_time() - began, load_model(run, chosen)
    splits = {"val": chosen.val, "test": chosen.test.unseal()}

    def evaluated(*, looking: bool) -> float:
        began, found = time.process_time(), Geometry(model, chosen.train)
        for name, split in splits.items():
            predict(model, split, found.watch(name, split) if looking else None)
        if looking:
            found.record()
        return time.process_time() - began

    more = statistics.median(evaluated(looking=True) - evaluated(looking=False) for _ in range(4 * options.rounds))
    print(f"geometry: {chosen.name}, {1000 * more:.1f} ms, {more / whole:.4f} of a run of {options.epochs} epochs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder of the data sets; default EVENHAND_DATA")
    parser.add_argument("--encoder", default="resnet18", help="of images")
    parser.add_argument("--share", type=float, default=0.1, help="of the rows of images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20, help="of the run whose share geometry.json is")
    parser.add_argument("--only", choices=("images", "table", "geometry"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    adult = read("adult", options.root, lambda: made((22621, 7541, 15060), (32,)))
    if options.only in (None, "table"):
        epochs("table", adult, {}, options, 4)
    if options.only in (None, "geometry"):
        for chosen in (adult, data.load("digits")):
            geometry(chosen, {}, options)
    if options.only in (None, "images"):
        birds = read("waterbirds", options.root, lambda: made((4795, 1199, 5794), (3, SIDE, SIDE)), size=SIDE)
        settings = {"encoder": options.encoder, "batch_size": 128, "weights": "none", "augment": None}
        epochs("images", part_of(birds, options.share), settings, options, 1)


if __name__ == "__main__":
    main()
