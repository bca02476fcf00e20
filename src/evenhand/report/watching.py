"""Runs in progress, read as they grow: of each file only what is new, and nothing of files that did not change."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evenhand.runs import CHECKPOINT, LIVE

Record = dict[str, Any]

HISTORY, PARTIAL = "history.jsonl", ".partial"
LEAST_SILENCE = 120.0  # seconds without a sign after which an unfinished run may count as stalled
SLOWER = 5  # … if that is also so many times its longest epoch
RECENT = 10  # epochs from which the rest is estimated
OFTEN = 0.5  # seconds that a look at the folder holds for


@dataclass
class Watched:
    """A run, finished or not, as far as it has been read.

    Attributes:
        folder: where it is now; it is renamed when it is finished.
        key: number, size and time of the file of its history when that was read last.
        offset: bytes of the history that were read.
        records: of its epochs, as they are told.
        life: how often its history began anew.
        summary: what the list says of it; `changed` is the number of its last change.
    """

    name: str
    folder: Path
    config: Record
    finished: bool
    groups: list[str] = field(default_factory=list)
    epochs: int = 0
    key: tuple[int, int, int] = (-1, -1, -1)
    offset: int = 0
    records: list[Record] = field(default_factory=list)
    life: int = 0
    longest: float = 0.0
    summary: Record = field(default_factory=dict)
    changed: int = 0


class Watch:
    """A folder of runs, looked at again and again.

    Every change has a number. Who has seen all changes up to one number is told those above it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: dict[str, Watched] = {}
        self.serial = 0
        self._seen = 0.0
        self._lock = threading.Lock()
        self._labelled: set[str] = set()

    def news(self, since: int = 0) -> Record:
        """What the list says of runs that changed after the change `since`, and the names of all that there are."""
        with self._lock:
            self._look()
            known = since if 0 <= since <= self.serial else 0
            changed = [run.summary for run in self.runs.values() if run.changed > known]
            return {"serial": self.serial, "now": time.time(), "names": list(self.runs), "runs": changed}

    def curve(self, name: str, start: int = 0, life: int = 0) -> Record | None:
        """The epochs of a run from `start` on, or all if its history began anew since its `life`; None: no such run."""
        with self._lock:
            self._look()
            run = self.runs.get(name)
            if run is None:
                return None
            start = start if life == run.life and 0 <= start <= len(run.records) else 0
            return {"life": run.life, "start": start, "records": run.records[start:]}

    def place(self, name: str) -> Path | None:
        """The folder of a finished run; None if there is none of this name."""
        with self._lock:
            self._look()
            run = self.runs.get(name)
            return run.folder if run is not None and run.finished else None

    def _look(self) -> None:
        """Bring everything up to date, unless that was done a moment ago."""
        if time.monotonic() - self._seen < OFTEN and self._seen:
            return
        found = dict(_folders(self.folder))
        for name in self.runs.keys() - found.keys():
            del self.runs[name]
        for name, folder in found.items():
            self._update(name, folder)
        if self.runs.keys() != self._labelled:
            self._label()
        self._seen = time.monotonic()

    def _update(self, name: str, folder: Path) -> None:
        run = self.runs.get(name)
        finished = not folder.name.endswith(PARTIAL)
        if run is None:
            config = _json(folder / "config.json")
            if config is None or not _is_config(config):
                return  # half-written, or no run
            run = self.runs[name] = Watched(name, folder, config, finished)
        if run.folder != folder:
            run.folder, run.finished = folder, finished
        if not run.groups or not run.epochs:
            self._describe(run)
        self._read(run)
        self._summarise(run)

    def _describe(self, run: Watched) -> None:
        """Names of its groups and how many epochs it has at most."""
        live = _json(run.folder / LIVE)
        if live is not None:
            run.groups, run.epochs = [str(name) for name in live.get("groups", ())], sum(live.get("epochs", ()))
        elif run.finished:
            metrics = _json(run.folder / "metrics.json") or {}
            own = "groups_sha256" in run.config  # then its history is by other groups than its figures
            run.groups = [] if own else [str(group["group"]) for group in metrics.get("groups", ())]
            run.epochs = int(metrics.get("epochs", 0))

    def _read(self, run: Watched) -> None:
        """Read what was appended to the history; all of it if it is shorter than before, or was written anew."""
        try:
            stat = os.stat(run.folder / HISTORY)  # noqa: PTH116
        except OSError:
            return
        key = stat.st_ino, stat.st_size, stat.st_mtime_ns
        if key == run.key:
            return
        if run.offset and (stat.st_ino != run.key[0] or stat.st_size < run.offset):  # a run that goes on cut it back
            run.offset, run.records, run.life = 0, [], run.life + 1
        with suppress(OSError), (run.folder / HISTORY).open("rb") as file:
            file.seek(run.offset)
            content = file.read()
            whole = content[: content.rfind(b"\n") + 1]  # a line that is just being written comes next time
            told = [_told(record) for record in _records(whole)]
            run.offset += len(whole)
            run.key = key
            if told:
                run.records += told
                run.longest = max(run.longest, *(record["seconds"] for record in told))

    def _summarise(self, run: Watched) -> None:
        summary = self._summary(run)
        if summary != run.summary:
            self.serial += 1
            run.summary, run.changed = summary, self.serial

    def _summary(self, run: Watched) -> Record:
        done, last = len(run.records), run.records[-1] if run.records else None
        sign = max((_time_of(run.folder / name) for name in (HISTORY, CHECKPOINT, LIVE, "config.json")), default=0.0)
        silent = not run.finished and time.time() - sign > max(LEAST_SILENCE, SLOWER * run.longest)
        of_stage = [record for record in run.records if last and record["stage"] == last["stage"]]
        best = max(of_stage, key=lambda record: record["score"] or 0.0, default=None)
        recent = [record["seconds"] for record in run.records[-RECENT:]]
        groups = run.groups or [f"group {g}" for g in range(len(last["val"]) if last else 0)]
        return {
            "name": run.name,
            "method": str(run.config["method"]["name"]),
            "label": run.summary.get("label", ""),
            "data": str(run.config["data"]["name"]),
            "seed": run.config["settings"]["seed"],
            "status": "finished" if run.finished else "stalled" if silent else "running",
            "epoch": done,
            "epochs": done if run.finished else max(run.epochs or int(run.config["settings"]["epochs"]), done),
            "seconds": round(sum(record["seconds"] for record in run.records), 3),
            "each": round(sum(recent) / len(recent), 3) if recent else None,
            "sign": round(sign, 3),
            "life": run.life,
            "groups": groups,
            "worst": None if last is None else _worst(groups, last["val"]),
            "rule": str(run.config["settings"]["select"]),
            "best": None if best is None else {"score": best["score"], "epoch": best["epoch"]},
        }

    def _label(self) -> None:
        """Name runs by their method, and by the options and settings in which they differ from others of it."""
        flat = {name: _flat(run.config) for name, run in self.runs.items()}
        by_method: dict[str, list[str]] = {}
        for name, run in self.runs.items():
            by_method.setdefault(str(run.config["method"]["name"]), []).append(name)
        for method, names in by_method.items():
            keys = {key for name in names for key in flat[name]}
            varied = sorted(key for key in keys if len({repr(flat[name].get(key)) for name in names}) > 1)
            for name in names:
                shown = ", ".join(f"{key}={flat[name][key]}" for key in varied if key in flat[name])
                run = self.runs[name]
                label = f"{method} ({shown})" if shown else method
                if run.summary.get("label") != label:
                    self.serial += 1
                    run.summary, run.changed = {**run.summary, "label": label}, self.serial
        self._labelled = set(self.runs)


def _folders(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name and place of every run in the folder, in folders of runs below it, or of the run that it is."""
    if (folder / "config.json").is_file() and (folder / HISTORY).is_file():
        yield folder.resolve().name, folder
        return
    for prefix, place in _places(folder):
        for entry in sorted(_entries(place), key=lambda entry: entry.name):
            if entry.name.startswith(".") and entry.name.endswith(PARTIAL):
                yield prefix + entry.name[1 : -len(PARTIAL)], Path(entry.path)
            elif not entry.name.startswith(".") and (Path(entry.path) / HISTORY).is_file():
                yield prefix + entry.name, Path(entry.path)


def _places(folder: Path) -> Iterator[tuple[str, Path]]:
    yield "", folder
    for entry in sorted(_entries(folder), key=lambda entry: entry.name):
        if not entry.name.startswith(".") and (Path(entry.path) / "evenhand.json").is_file():
            yield f"{entry.name}/", Path(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.is_dir()]
    except OSError:
        return []


def _records(content: bytes) -> Iterator[Record]:
    """The records of whole lines; a damaged line is left out."""
    for line in content.splitlines():
        with suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict):
                yield record


def _told(record: Mapping[str, Any]) -> Record:
    """What the page draws of an epoch."""
    return {
        "stage": record.get("stage", 0),
        "epoch": record.get("epoch", 0),
        "score": record.get("score"),
        "seconds": float(record.get("seconds") or 0.0),
        **{part: _rounded((record.get(part) or {}).get("accuracy") or []) for part in ("train", "val")},
    }


def _rounded(values: list[float | None]) -> list[float | None]:
    return [None if value is None else round(value, 5) for value in values]


def _worst(groups: list[str], accuracies: list[float | None]) -> Record | None:
    known = [(value, name) for name, value in zip(groups, accuracies, strict=False) if value is not None]
    if not known:
        return None
    value, name = min(known)
    return {"group": name, "accuracy": value}


def _flat(config: Record) -> Record:
    settings = {key: value for key, value in config["settings"].items() if key != "seed"}
    return {**settings, **config["method"].get("options", {}), "data": config["data"]["name"]}


def _is_config(config: Record) -> bool:
    try:
        str(config["method"]["name"]), str(config["data"]["name"]), int(config["settings"]["epochs"])
        return "seed" in config["settings"] and "select" in config["settings"]
    except (KeyError, TypeError, ValueError):
        return False


def _json(path: Path) -> Record | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _time_of(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
