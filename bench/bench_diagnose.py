"""Diagnoses of planted causes: of models in which one thing alone is broken, how often is it named?

The rows of the table are what is broken (see `tests/planted.py`), the columns what `diagnose` says, over seeds; the
last column is how many of the right ones call themselves sure. To reach: at least 9 of 10 in each row.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch

from evenhand.diagnosis import diagnose

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from planted import CAUSES, planted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rows", type=int, default=2000, help="of validation; training has three times as many")
    parser.add_argument("--broken", nargs="*", default=CAUSES, choices=CAUSES, help="default: each in turn")
    parser.add_argument("--verbose", action="store_true", help="print every verdict")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{options.seeds} seeds, {3 * options.rows} rows of training, {options.rows} of validation")
    print("| broken | " + " | ".join(CAUSES) + " | sure | seconds each |")
    print("|---" + "|--:" * (len(CAUSES) + 2) + "|")
    for cause in options.broken:
        said: Counter[str] = Counter()
        sure, begin = 0, time.perf_counter()
        for seed in range(options.first, options.first + options.seeds):
            verdict = diagnose(*planted(cause, seed, 3 * options.rows, options.rows)).verdict
            said[verdict.cause] += 1
            sure += verdict.cause == cause and verdict.sure
            if options.verbose:
                figures = "  ".join(f"{c.value:.2f} [{c.low:.2f}, {c.high:.2f}]" for c in verdict.asked)
                print(f"    {cause} {seed}: {verdict.kind} of group {verdict.group}  {figures}")
        seconds = (time.perf_counter() - begin) / options.seeds
        print(f"| {cause} | " + " | ".join(str(said[c]) for c in CAUSES) + f" | {sure} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
