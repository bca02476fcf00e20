"""Folders of runs as they look while they are made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GROUPS = ["bird=land, place=land", "bird=land, place=<water>"]


class Growing:
    """A run that can be let grow by epochs, stop and finish."""

    def __init__(
        self, out: Path, method: str = "erm", seed: int = 0, epochs: int = 10, stages: list[int] | None = None,
        **options: Any,
    ) -> None:  # fmt: skip
        self.name = f"{method}-seed{seed}-{abs(hash(str(options))) % 16**6:012x}"
        self.folder = out / f".{self.name}.partial"
        self.folder.mkdir(parents=True)
        config = {
            "format": 1, "data": {"name": "birds", "fingerprint": "f"}, "method": {"name": method, "options": options},
            "settings": {"seed": seed, "epochs": epochs, "select": "worst_group"}, "oracle": False,
        }  # fmt: skip
        (self.folder / "config.json").write_text(json.dumps(config))
        (self.folder / "live.json").write_text(json.dumps({"groups": GROUPS, "epochs": stages or [epochs]}))
        (self.history).write_text("")
        self.done = 0

    @property
    def history(self) -> Path:
        return self.folder / "history.jsonl"

    def line(self, stage: int = 0) -> str:
        good, bad = 0.9, 0.5 + 0.01 * self.done
        figures = {"loss": [0.1, 0.2], "accuracy": [good, bad], "count": [10, 5]}
        record = {"stage": stage, "epoch": self.done, "lr": 0.1, "train": figures, "val": figures, "score": bad}
        return json.dumps({**record, "seconds": 2.0, "seconds_training": 1.5}) + "\n"

    def grow(self, epochs: int = 1, stage: int = 0) -> None:
        for _ in range(epochs):
            with self.history.open("a") as file:
                file.write(self.line(stage))
            self.done += 1

    def finish(self) -> None:
        (self.folder / "live.json").unlink()
        metrics = {"groups": [{"group": name} for name in GROUPS], "epochs": self.done}
        (self.folder / "metrics.json").write_text(json.dumps(metrics))
        self.folder = self.folder.rename(self.folder.parent / self.name)
