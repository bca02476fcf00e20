"""Audits of files: a CSV from the shell to the printed table, and Parquet shards that do not fit into memory.

The reference of the shards is a scan that reads the same columns and takes the largest value of each. Every measurement
is a process of its own, whose peak memory is measured, too. The files are made in a temporary folder and deleted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

SHARD = 5_000_000
COLUMNS = ["y", "p", "sex", "race"]
OPTIONS = ["--label", "y", "--prediction", "p", "--group", "sex", "--group", "race"]
SCAN = """
import sys, polars as pl
frame = pl.scan_parquet(sys.argv[1] + "/*.parquet")
print(frame.select(pl.col(sys.argv[2:]).max()).collect(engine="streaming"))
"""
DECODE = """
import sys, polars as pl
pl.scan_parquet(sys.argv[1] + "/*.parquet").select(sys.argv[2:]).sink_batches(lambda batch: False)
"""
NOTHING = "import polars"


def rows(n: int, seed: int) -> pl.DataFrame:
    """Eight columns, of which an audit needs four."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n, dtype=np.int8)
    return pl.DataFrame({
        "id": np.arange(n),
        "y": y,
        "p": np.where(rng.random(n) < 0.8, y, 1 - y).astype(np.int8),
        "sex": pl.Series(["F", "M"]).gather(rng.integers(0, 2, n)),
        "race": pl.Series(["asian", "black", "other", "white"]).gather(rng.integers(0, 4, n)),
        "age": rng.integers(18, 90, n, dtype=np.int16),
        "score": rng.random(n, dtype=np.float32),
        "weight": rng.random(n, dtype=np.float32),
    })  # fmt: skip


def run(command: list[str]) -> tuple[float, float]:
    """Wall time in seconds and peak memory in GiB of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{command} failed")
    return seconds, usage.ru_maxrss / 2**20


def best(command: list[str], repeats: int = 3) -> tuple[float, float]:
    """The fastest of a few runs, and the largest memory."""
    found = [run(command) for _ in range(repeats)]
    return min(seconds for seconds, _ in found), max(memory for _, memory in found)


def evenhand(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "import sys; from evenhand.cli import main; sys.exit(main())", *arguments]


def measure_csv(folder: Path, n: int) -> None:
    rows(n, 0).write_csv(folder / "t.csv")
    seconds, memory = best(evenhand("audit", str(folder / "t.csv"), *OPTIONS))
    print(f"CSV of {n:,} rows to the printed table: {seconds:.2f} s, {memory:.2f} GiB (wanted 1.5 s)")
    (folder / "t.csv").unlink()
    print(f"start-up, evenhand audit --help: {best(evenhand('audit', '--help'))[0]:.2f} s (wanted 0.4 s)")


def measure_shards(folder: Path, n: int) -> None:
    for number, start in enumerate(range(0, n, SHARD)):
        rows(min(SHARD, n - start), number).write_parquet(folder / f"{number:03}.parquet")
    start_up = best([sys.executable, "-c", NOTHING])[0]
    idle = best(evenhand("audit", "--help"))[0]
    scan = best([sys.executable, "-c", SCAN, str(folder), *COLUMNS])[0]
    decode = best([sys.executable, "-c", DECODE, str(folder), *COLUMNS])[0]
    audit, memory = best(evenhand("audit", str(folder), *OPTIONS))
    work = audit - start_up - idle
    print(f"{n:,} rows in Parquet shards: {audit:.2f} s, {memory:.2f} GiB (wanted 2 GiB)")
    print(f"  scanning these columns (largest values): {scan:.2f} s, {audit / scan:.2f}x (wanted 2x)")
    print(
        f"  without start-up: audit {work:.2f} s, scan {scan - start_up:.2f} s, {work / (scan - start_up):.2f}x;",
        end=" ",
    )
    print(f"decoding alone {decode - start_up:.2f} s, {work / (decode - start_up):.2f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="in Parquet shards")
    parser.add_argument("--csv-rows", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure_csv(Path(name), options.csv_rows)
        measure_shards(Path(name), options.rows)


if __name__ == "__main__":
    main()
