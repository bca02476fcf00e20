"""The paper's table of 8 methods × 3 seeds on Adult, from the command to the printed table, in a fresh folder.

    floor     what the same number of epochs would take on these cores if every one were a bare ERM loop over tensors
              (index a batch, forward, backward, fused Adam) and nothing else happened: no method, no evaluation of
              validation and test, no imports, no files. Measured here, before and after, as many processes as workers.
    table     `evenhand reproduce kdd24-table5`
    again     the same command again: everything is found, nothing is trained

To reach: the table in less than 75 s on two idle cores. Needs the real Adult files (EVENHAND_DATA or --root).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from subprocess import DEVNULL, run

RUNS, EPOCHS, BATCH = 24, 50, 256
SECONDS_WANTED = 75


def bare_epoch(root: str) -> float:
    """Seconds of an epoch of a bare loop, the median of five after a first one."""
    import torch
    from torch.nn import functional as F

    from evenhand import data, encoders

    torch.set_num_threads(1)
    train = data.load("adult", root).train
    x, y = train.inputs.take(torch.arange(len(train))), train.y
    model = encoders.build("mlp", tuple(x.shape[1:]), train.n_classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    seconds = []
    for _ in range(6):
        begin = time.perf_counter()
        for rows in torch.split(torch.randperm(len(train)), BATCH):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])


def floor(root: str, workers: int) -> float:
    """Seconds for all epochs of the table as bare loops in so many processes at once."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        epoch = statistics.mean(pool.map(bare_epoch, [root] * workers, chunksize=1))
    return epoch * EPOCHS * RUNS / workers


def table(root: str, out: str, workers: int) -> float:
    """Seconds of the command."""
    command = [str(Path(sys.executable).with_name("evenhand")), "reproduce", "kdd24-table5"]
    begin = time.perf_counter()
    run([*command, "--root", root, "--out", out, "--workers", str(workers)], check=True, stdout=DEVNULL)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", default=os.environ.get("EVENHAND_DATA"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if not arguments.root or not (Path(arguments.root) / "adult").is_dir():
        print("left out: the real Adult files are needed (set EVENHAND_DATA or pass --root)")
        return
    before = floor(arguments.root, arguments.workers)
    with tempfile.TemporaryDirectory() as out:
        first = table(arguments.root, out, arguments.workers)
        again = table(arguments.root, out, arguments.workers)
    bare = statistics.mean([before, floor(arguments.root, arguments.workers)])
    print(f"floor {bare:6.1f} s   {RUNS} runs × {EPOCHS} epochs of a bare loop, {arguments.workers} processes")
    print(f"table {first:6.1f} s   {first / bare:.2f} × floor   (at most {SECONDS_WANTED} s on two idle cores)")
    print(f"again {again:6.1f} s")


if __name__ == "__main__":
    main()
