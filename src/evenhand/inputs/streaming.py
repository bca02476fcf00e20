"""Images decoded from their files whenever they are asked for, for data larger than the disk.

Threads decode, not processes: Pillow lets go of the interpreter while it decodes and resizes, and the images are
where they are needed. Each thread has a run of consecutive images of the batch, as handing over one at a time costs
about as much as decoding a small one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evenhand.inputs.cache import Decoded, bad_texts
from evenhand.inputs.decoders import available_cores
from evenhand.inputs.decoding import BadImage, Preparation, decode
from evenhand.inputs.progress import report

RUNS = 4  # of images for each thread in a batch, so that none waits long for the slowest
CHECKED = 256  # files between two reports


class _Threads:
    """Threads that decode; started when they are needed, once in each process, and not sent to another."""

    def __init__(self) -> None:
        self.pool: ThreadPoolExecutor | None = None
        self.process = 0

    def __reduce__(self) -> tuple[type[_Threads], tuple[()]]:
        return _Threads, ()

    def here(self) -> ThreadPoolExecutor:
        """The pool of this process: a forked one has none of its parent's threads."""
        if self.pool is None or self.process != os.getpid():
            self.pool = ThreadPoolExecutor(available_cores(), thread_name_prefix="decode")
            self.process = os.getpid()
        return self.pool


@dataclass(frozen=True, eq=False)
class FilePixels:
    """Images in files, decoded by threads. In memory is only what was asked for."""

    folder: Path
    paths: Sequence[str]
    preparation: Preparation
    threads: _Threads = field(default_factory=_Threads)
    slow = True

    def __len__(self) -> int:
        return len(self.paths)

    def gather(self, rows: Tensor) -> Tensor:
        """The images of `rows`.

        Raises:
            BadInput: a file is no image; the message names it.
        """
        side = self.preparation.side
        x: NDArray[np.uint8] = np.empty((len(rows), 3, side, side), np.uint8)
        paths = [self.folder / self.paths[row] for row in rows.tolist()]

        def fill(k: int) -> None:
            x[k] = decode(paths[k], self.preparation)

        self._for_each(range(len(rows)), fill)
        return torch.from_numpy(x)

    def bad(self) -> dict[int, str]:
        """What is wrong with each file that is no image, by its place: every file is decoded once."""

        found: dict[int, str] = {}

        def read(place: int) -> None:
            try:
                decode(self.folder / self.paths[place], self.preparation)
            except BadImage as error:
                found[place] = error.reason

        what = f"reading {len(self)} images in {self.folder} to find those that are damaged"
        report(what, 0, len(self))
        for first in range(0, len(self), CHECKED):
            last = min(first + CHECKED, len(self))
            self._for_each(range(first, last), read)
            report(what, last, len(self))
        return found

    def _for_each(self, places: range, work: Callable[[int], None]) -> None:
        """`work` of all places in threads, each of which has runs of them; the first error in order is raised."""

        def all_of(run: NDArray[np.int64]) -> None:
            for k in run.tolist():
                work(k)

        runs = np.array_split(np.array(places, dtype=np.int64), max(1, min(len(places), RUNS * available_cores())))
        for _ in self.threads.here().map(all_of, runs):
            pass


def streamed(folder: Path, paths: Sequence[str], preparation: Preparation, *, skip_bad: bool = False) -> Decoded:
    """The files `paths` below `folder`, decoded whenever they are asked for: the same pixels as `cached` gives.

    Args:
        skip_bad: read all files once now, to know which are no images; otherwise a file that is none is an error when
            it is asked for.
    """
    pixels = FilePixels(folder, tuple(paths), preparation)
    return Decoded(pixels, bad_texts(folder, paths, pixels.bad() if skip_bad else {}))
