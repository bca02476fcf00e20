"""Builds a cache and tells how it goes in a file, for `test_cache.py`; run in a process that may be killed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from evenhand.errors import EvenhandError
from evenhand.inputs import building, decoders
from evenhand.inputs.cache import _ready
from evenhand.inputs.decoding import Preparation
from evenhand.inputs.progress import Progress, reporting


def main(folder: Path, log: Path, kill_at: int, *, go: Path | None, workers: bool, limit: int) -> None:
    if limit:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    building.CHUNK_IMAGES = 5
    decoders.WORTH_IT = 0.0 if workers else 1e9
    decoders.available_cores = lambda: 2
    while go and not go.exists():
        time.sleep(0.001)

    def note(progress: Progress) -> None:
        with log.open("a") as lines:
            lines.write(json.dumps([progress.what, progress.done, progress.total]) + "\n")
        if progress.done >= kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        with reporting(note):
            _ready(folder, sorted(path.name for path in folder.iterdir()), Preparation(16))
    except EvenhandError as error:
        print(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    _, folder, log, kill_at, go, workers, limit = sys.argv
    main(
        Path(folder), Path(log), int(kill_at), go=Path(go) if go else None, workers=workers == "workers",
        limit=int(limit),
    )  # fmt: skip
