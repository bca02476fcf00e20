"""One epoch of image batches for training, against files read by `DataLoader` with torchvision's transforms.

The training images of Waterbirds (64 px are delivered, whatever the files have), or JPEGs made here where they are
absent, in batches of 128, shuffled, cropped at random and flipped, as floats. Several rounds, in each of which all ways
take turns; medians of images a second and, round by round, the ratios:

- loader, first: one sample after the other by `torchvision.transforms.v2` in two worker processes, which are started;
- loader, again: the second epoch of the same workers;
- cache, first: files decoded into a new cache, and one epoch from it;
- cache, again: an epoch from the cache that is there;
- no cache: an epoch with `--cache none`.

To reach: cache again / loader again ≥ 5, cache first / loader first ≥ 1. Then, each in a process of its own, how much
memory a cache and an epoch need for 1, 2 and 4 times as many images: what the process holds, without the pages of the
cache, which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from evenhand import data
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.inputs import ahead
from evenhand.inputs.augmentation import augmentation
from evenhand.inputs.cache import Decoded, cached
from evenhand.inputs.decoding import Preparation
from evenhand.inputs.images import ImageInputs
from evenhand.inputs.progress import reporting
from evenhand.inputs.streaming import streamed

SIZE, BATCH, PAD = 64, 128, 8
WAYS = ("loader, first", "loader, again", "cache, first", "cache, again", "no cache")


class Files(Dataset[tuple[Any, int]]):
    """Images read one by one, as `torchvision.datasets.ImageFolder` does."""

    def __init__(self, folder: Path, paths: list[str]) -> None:
        from torchvision.transforms import v2

        self.folder, self.paths = folder, paths
        self.transform = v2.Compose(
            [
                v2.Resize((SIZE, SIZE)),
                v2.RandomCrop(SIZE, padding=PAD, padding_mode="reflect"),
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5] * 3, [0.5] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        with Image.open(self.folder / self.paths[row]) as image:
            return self.transform(image.convert("RGB")), 0


def loader_epochs(folder: Path, paths: list[str]) -> tuple[float, float]:
    """Seconds of the first epoch, with the start of the workers, and of the second."""
    started = time.perf_counter()
    loader = DataLoader(Files(folder, paths), BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    consume(loader)
    between = time.perf_counter()
    consume(loader)
    return between - started, time.perf_counter() - between


def consume(batches: Any) -> None:
    """Have every batch made."""
    for batch in batches:
        assert batch[0].dtype == torch.float32


def epoch(decoded: Decoded) -> None:
    """One epoch as `fit` goes through it."""
    inputs = ImageInputs(decoded.pixels, None, SIZE, augmentation("crop+flip", SIZE))
    split = Split(inputs, torch.zeros(len(inputs), dtype=torch.int64), 1)
    orders = torch.split(torch.randperm(len(inputs)), BATCH)
    consume(ahead.batches(split, orders, lambda number: torch.Generator().manual_seed(number)))


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def one_round(folder: Path, paths: list[str]) -> list[float]:
    """Seconds of each of `WAYS`."""
    prepared = Preparation(SIZE)
    with tempfile.TemporaryDirectory() as home:
        os.environ["EVENHAND_CACHE"] = home
        first = seconds(lambda: epoch(cached(folder, paths, prepared)))
        there = cached(folder, paths, prepared)
        again = statistics.median(seconds(lambda: epoch(there)) for _ in range(3))
    files = streamed(folder, paths, prepared)
    epoch(files)
    return [*loader_epochs(folder, paths), first, again, seconds(lambda: epoch(files))]


def held() -> int:
    """Bytes of memory that this process holds, without pages of files; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def growth(folder: Path, paths: list[str]) -> int:
    """By how many bytes the process grows at most while it makes a cache and goes through an epoch."""
    decoded = cached(folder, paths[:BATCH], Preparation(SIZE))
    epoch(decoded)
    before, most = held(), 0

    def look(_: object) -> None:
        nonlocal most
        most = max(most, held() - before)

    with reporting(look):
        decoded = cached(folder, paths, Preparation(SIZE))
    for rows in torch.split(torch.randperm(len(paths)), BATCH):
        decoded.pixels.gather(rows)
        look(rows)
    return most


def growth_apart(folder: Path, paths: list[str]) -> int:
    """`growth` in a new process."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, __file__, "--growth"], input=json.dumps([str(folder), paths]), text=True, check=True,
            stdout=subprocess.PIPE, env={**os.environ, "EVENHAND_CACHE": home},
        )  # fmt: skip
    return int(done.stdout)


def training_files(root: str | None, made: Path) -> tuple[str, Path, list[str]]:
    """Waterbirds where it is, else JPEGs made in `made`."""
    try:
        listing = data.open_set("waterbirds").listing(data.default_root(root))  # type: ignore[attr-defined]
        return "waterbirds", listing.folder, [listing.paths[row] for row in np.flatnonzero(listing.parts == 0)]
    except BadInput:
        for k in range(4000):
            colours = np.random.default_rng(k).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(colours).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(made / f"{k}.jpg", quality=90)
        return "JPEGs made here", made, [f"{k}.jpg" for k in range(4000)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder of the data sets; default EVENHAND_DATA")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.growth:
        folder, paths = json.load(sys.stdin)
        print(growth(Path(folder), paths))
        return
    with tempfile.TemporaryDirectory() as made:
        name, folder, paths = training_files(options.root, Path(made))
        consume(DataLoader(Files(folder, paths[:BATCH]), BATCH))  # imports, and the files come into memory
        epoch(streamed(folder, paths, Preparation(SIZE)))
        times = np.array([one_round(folder, paths) for _ in range(options.rounds)])
        print(f"{name}: {len(paths)} images, {SIZE} px, batches of {BATCH}, {options.rounds} rounds")
        for way, column in zip(WAYS, times.T, strict=True):
            rates = len(paths) / column
            print(f"  {way:14s} {np.median(rates):7.0f} images/s (min {rates.min():.0f}, max {rates.max():.0f})")
        first, again, built, kept, streaming = times.T
        print(f"  cache again / loader again  {np.median(again / kept):.2f}  (to reach: ≥ 5)")
        print(f"  cache first / loader first  {np.median(first / built):.2f}  (to reach: ≥ 1)")
        print(f"  no cache / loader again     {np.median(again / streaming):.2f}")
        for times_as_many in (1, 2, 4):
            needed = growth_apart(folder, paths * times_as_many) / 2**20
            images = len(paths) * times_as_many
            print(f"  {images:6d} images ({images * 3 * SIZE**2 / 2**20:4.0f} MiB): {needed:.1f} MiB more in memory")


if __name__ == "__main__":
    main()
