"""From the shell to the help text: whole processes, against a bare interpreter in the same rounds.

To reach: `evenhand --help` ≤ 0.3 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 15
EVENHAND = str(Path(sys.executable).with_name("evenhand"))
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "evenhand --help": [EVENHAND, "--help"],
    "evenhand audit --help": [EVENHAND, "audit", "--help"],
    "evenhand data list": [EVENHAND, "data", "list"],
}


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    for command in COMMANDS.values():
        seconds(command)
    rounds = [[seconds(command) for command in COMMANDS.values()] for _ in range(ROUNDS)]
    for k, name in enumerate(COMMANDS):
        times = [row[k] for row in rounds]
        ratio = statistics.median(row[k] / row[0] for row in rounds)
        print(f"{name:24s} {statistics.median(times):.3f} s  (min {min(times):.3f}), {ratio:4.1f} x a bare interpreter")


if __name__ == "__main__":
    main()
