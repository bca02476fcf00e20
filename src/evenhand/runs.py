"""Run folders: one training, complete, named by the hash of its full configuration. Reading them needs no torch.

OUT/evenhand.json                     which data the runs in OUT are on
OUT/erm-seed0-3f9a2c81d07b/           a finished run
    config.json                       data, method, settings: everything that determines the result
    history.jsonl                     one line an epoch
    predictions.parquet               split, row, y, attribute_…, group, logit_k: every metric can be recomputed
    metrics.json                      the figures at the selected epoch, and at the oracle's where asked for; labels
    model.safetensors
    geometry.json                     of a trained model: features of val and test by the measures of `collapse`, and
                                      group means, class means and weights in three dimensions
    test_by_epoch.jsonl               with oracle: how the test rows were predicted after each epoch
    collapse.jsonl                    tracked: one line an epoch, the same measures of train, val and, with oracle, test
    points.npz                        tracked: features of some rows at the first and last epoch of the last stage
OUT/.erm-seed0-3f9a2c81d07b.partial/  an unfinished one, with checkpoint.pt and live.json; renamed when complete
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from filelock import BaseFileLock, FileLock, Timeout

from evenhand.errors import BadInput, RunFailed
from evenhand.files import TEMPORARY, cannot_write, json_text, write_atomically, write_json, write_once

if TYPE_CHECKING:
    import polars
    from numpy.typing import NDArray

    from evenhand.batch import Split

FORMAT = 1  # raised when the meaning of a configuration changes: runs of another format are other runs

CHECKPOINT, COLLAPSE, GEOMETRY, POINTS = "checkpoint.pt", "collapse.jsonl", "geometry.json", "points.npz"
LIVE = "live.json"  # of an unfinished run: names of its groups, and how many epochs each stage has at most

Config = dict[str, Any]


def run_name(config: Config) -> str:
    """`method-seedN-hash`: the folder of the run with this configuration."""
    text = json.dumps(config, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{config['method']['name']}-seed{config['settings']['seed']}-{digest}"


@dataclass(frozen=True)
class Run:
    """A finished run's folder."""

    folder: Path

    @cached_property
    def config(self) -> Config:
        return self._json("config.json")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        return self._json("metrics.json")

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """One record an epoch."""
        return read_lines(self.folder / "history.jsonl")

    @cached_property
    def collapse(self) -> list[dict[str, Any]]:
        """One record an epoch of a tracked run (`stage`, `epoch`, `parts`); empty for others."""
        return read_lines(self.folder / COLLAPSE)

    @cached_property
    def geometry(self) -> dict[str, Any] | None:
        """`parts`, `vectors`, `explained` of the selected model; None where nothing was trained, and in older runs."""
        return self._json(GEOMETRY) if (self.folder / GEOMETRY).exists() else None

    def points(self) -> dict[str, NDArray[Any]] | None:
        """Features of some rows of a tracked run at the first and last epoch of its last stage; None for others.

        `first_ND`, `last_ND` (float16), `rows_N`, `y_N`, `group_N` (-1 where not known), `predicted_first_N`,
        `predicted_last_N`, and `part`, which `rows_N` are of.
        """
        import numpy as np

        path = self.folder / POINTS
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as found:
                return dict(found)
        except (OSError, EOFError, ValueError, BadZipFile) as error:
            raise BadInput(f"{path} is damaged and cannot be read ({error})") from error

    def predictions(self) -> polars.DataFrame:
        """One row for each row of the validation and test splits."""
        import polars

        return polars.read_parquet(self.folder / "predictions.parquet")

    def _json(self, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / name).read_text())
        except (OSError, ValueError) as error:
            raise BadInput(f"{self.folder} is not a finished run: {name} cannot be read ({error})") from error
        if not isinstance(found, dict):
            raise BadInput(f"{self.folder} is not a finished run: {name} is damaged (no JSON object)")
        return found


def labels(split: Split) -> dict[str, Any]:
    """What classes and attribute values are called, as a run stores it; numbers where the split has no names."""
    return {
        "label": split.label_name,
        "classes": list(split.class_names) or [str(c) for c in range(split.n_classes)],
        "attributes": [
            {
                "name": split.attribute_names[k] if split.attribute_names else f"a{k}",
                "values": list(split.attribute_values[k]) if split.attribute_values else [str(a) for a in range(size)],
            }
            for k, size in enumerate(split.attribute_sizes)
        ],
    }


def find(out: Path, config: Config) -> Run | None:
    """The finished run with this configuration below `out`, if it is there.

    Raises:
        BadInput: a folder of that name holds another configuration.
    """
    run = Run(out / run_name(config))
    if not run.folder.exists():
        return None
    if run.config != json.loads(json.dumps(config)):
        raise BadInput(f"{run.folder} holds a run of another configuration; choose another --out or remove it")
    return run


def claim(out: Path, data: Mapping[str, Any]) -> None:
    """Make `out` the folder of runs on this data set (name, options and fingerprint).

    Raises:
        BadInput: `out` cannot be made or written, or it holds runs on other data.
    """
    marker = out / "evenhand.json"
    wanted = {"format": FORMAT, "data": dict(data)}
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not marker.exists():
            write_once(marker, json_text(wanted).encode())
        found = json.loads(marker.read_text())
    except OSError as error:
        raise BadInput(f"cannot write to the output folder {out}: {error.strerror or error}") from error
    except RunFailed as error:
        raise BadInput(f"cannot write to the output folder {out}: {error}") from error
    except ValueError as error:
        raise BadInput(f"{marker} is damaged ({error}); remove it or choose another --out") from error
    if found != json.loads(json.dumps(wanted)):
        theirs = found.get("data", {}) if isinstance(found, dict) else {}
        raise BadInput(
            f"{out} holds runs on other data: {_described(theirs)} there, {_described(wanted['data'])} asked for; "
            "choose another --out"
        )


def _described(data: Any) -> str:
    options = ", ".join(f"{key}={value}" for key, value in data.get("options", {}).items())
    return f"{data.get('name')}{f' ({options})' if options else ''} [{str(data.get('fingerprint'))[:8]}]"


@contextmanager
def partial(out: Path, config: Config, *, wait: bool = True) -> Iterator[Path | None]:
    """The folder in which this run is made, held by this process alone; None if another has finished it meanwhile.

    The folder becomes the finished run when the block ends, and stays as it is, to be continued, when it fails; with
    `BadInput` nothing was begun, and nothing stays.

    Raises:
        BadInput: `out` cannot be written.
        RunFailed: another process holds it and `wait` is False, or the folder cannot be written.
    """
    name = run_name(config)
    folder, final = out / f".{name}.partial", out / name
    lock = FileLock(out / f".{name}.lock")
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise RunFailed(f"another process is working on {final}") from error
    except OSError as error:
        raise BadInput(f"cannot write to the output folder {out}: {error.strerror or error}") from error
    try:
        if find(out, config) is not None:
            yield None
        else:
            _begin(folder, config)
            yield folder
            folder.replace(final)
        _remove(lock)
    except BadInput:
        if not (folder / CHECKPOINT).exists():
            shutil.rmtree(folder, ignore_errors=True)
            _remove(lock)
        raise
    finally:
        lock.release()


def _begin(folder: Path, config: Config) -> None:
    """Make the folder of an unfinished run, or clear away what a killed process left half-written in it."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    for left_behind in folder.glob(f".*{TEMPORARY}"):
        left_behind.unlink()
    write_json(folder / "config.json", config)


def _remove(lock: BaseFileLock) -> None:
    """Delete the lock's file. Whoever waits for it, or makes a new one of its name, finds what this process found."""
    with suppress(OSError):
        Path(lock.lock_file).unlink()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Every complete line of a JSON-lines file; a line cut off by a crash is left out. Empty without the file.

    Raises:
        BadInput: the file cannot be read, or a complete line is not a JSON object.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text().split("\n")[:-1]
        found: list[Any] = [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is damaged and cannot be read ({error})") from error
    for number, record in enumerate(found, 1):
        if not isinstance(record, dict):
            raise BadInput(f"{path} is damaged: line {number} is no JSON object")
    return found


def keep_lines(path: Path, n_lines: int) -> None:
    """Cut a JSON-lines file to its first `n_lines`; a file that is not there becomes an empty one."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    write_atomically(path, b"".join(line + b"\n" for line in lines[:n_lines]))
