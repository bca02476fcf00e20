"""What a folder holds that a page can show: finished runs, and the JSON files of the other commands."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evenhand.errors import BadInput
from evenhand.files import without_nan
from evenhand.runs import Run
from evenhand.study import as_dict
from evenhand.study.comparison import Comparison, variants

Record = dict[str, Any]
Records = list[tuple[Path, Record]]

STORED = "report.json"  # what a page was rendered from
OF_RUNS = ("config.json", "metrics.json", "geometry.json", "evenhand.json")
LARGEST = 64 * 2**20  # bytes of a JSON file that is read


@dataclass
class Found:
    """Everything that sections write from.

    Attributes:
        path: the folder or file that was asked for.
        runs: the finished runs in it, on the same data.
        comparison: of these runs, if there are any.
        compared: the comparison as plain values (see `evenhand.study.as_dict`), from the runs, else from a
            `comparison.json`; every number in prose and in tables is read from here. NaN is None.
        problems: what is there and cannot be shown, and why, a sentence each.
        failed: whether a section could not be made.
    """

    path: Path
    runs: list[Run] = field(default_factory=list)
    comparison: Comparison | None = None
    compared: Record | None = None
    audits: Records = field(default_factory=list)
    diagnoses: Records = field(default_factory=list)
    discoveries: Records = field(default_factory=list)
    explanations: Records = field(default_factory=list)
    reproductions: Records = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    failed: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        records = (self.audits, self.diagnoses, self.discoveries, self.explanations, self.reproductions)
        return not (self.runs or self.compared or any(records))


def find(path: Path) -> Found:
    """What is in a folder and one level below, or in one JSON file.

    Raises:
        BadInput: there is no such path, or nothing in it that a page could show.
    """
    if not path.exists():
        raise BadInput(f"there is nothing at {path}: name a folder of runs, a run, or the JSON file of a command")
    found = Found(path)
    if path.is_file():
        _read(path, found, {})
        if found.empty:
            reason = found.problems[0] if found.problems else f"{path} is not a result of evenhand"
            raise BadInput(f"{reason}; name a folder of runs, a run, or what a command wrote with --json")
        return found
    found.runs = _runs(path, found.problems)
    if found.runs:
        seeds, entries = variants(found.runs)
        found.comparison = Comparison(found.runs[0].config["data"]["name"], seeds, entries)
        found.compared = without_nan(as_dict(found.comparison))
    stored: dict[Path, Record] = {}
    for file in _json_files(path):
        _read(file, found, stored)
    _use_stored(found, stored)
    if found.empty:
        raise BadInput(_nothing(path, found.problems))
    return found


def kind_of(record: object) -> str:
    """What a command's JSON is about, by its `kind` or, of older files, by its keys; empty for what is not ours."""
    if not isinstance(record, Mapping):
        return ""
    if record.get("kind") in KINDS:
        return str(record["kind"])
    return next((kind for kind, keys in KINDS.items() if keys <= record.keys()), "")


KINDS: dict[str, set[str]] = {
    "audit": {"source", "rows", "overall", "groups", "columns"},
    "diagnosis": {"verdict", "worst_group", "groups", "recovery"},
    "discovery": {"groups", "looked_at", "ranked_by"},
    "explanation": {"run", "against", "method", "inputs", "split", "target", "groups", "examples"},
    "reproduction": {"table", "title", "source", "rows", "findings"},
    "comparison": {"data", "seeds", "rows", "reference", "differences"},
}
PLACES: dict[str, Callable[[Found], Records]] = {
    "audit": lambda found: found.audits,
    "diagnosis": lambda found: found.diagnoses,
    "discovery": lambda found: found.discoveries,
    "explanation": lambda found: found.explanations,
    "reproduction": lambda found: found.reproductions,
}


def _json_files(folder: Path) -> Iterator[Path]:
    for pattern in ("*.json", "*/*.json"):
        for file in sorted(folder.glob(pattern)):
            hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
            ours = file.name in OF_RUNS or file.name.endswith(STORED)
            if not hidden and not ours and file.is_file():
                yield file


def _read(file: Path, found: Found, stored: dict[Path, Record]) -> None:
    """Put what a JSON file holds where it belongs; what cannot be read becomes a problem, what is not ours nothing."""
    name = file.relative_to(found.path) if file != found.path else file
    try:
        if file.stat().st_size > LARGEST:
            return
        record = json.loads(file.read_bytes())
    except OSError as error:
        found.problems.append(f"{name} cannot be read: {error.strerror or error}.")
        return
    except (ValueError, RecursionError) as error:
        found.problems.append(f"{name} is not valid JSON: {error}.")
        return
    kind = kind_of(record)
    missing = sorted(KINDS[kind] - record.keys()) if kind else []
    if missing:
        found.problems.append(f"{name} is not a whole {kind}: {', '.join(missing)} is missing.")
    elif kind == "comparison" and found.path == file:
        found.compared = record
    elif kind == "comparison":
        stored[file] = record
    elif kind:
        PLACES[kind](found).append((file, record))


def _use_stored(found: Found, stored: Mapping[Path, Record]) -> None:
    """A stored comparison stands for runs that are not there, and names those that failed."""
    for record in stored.values():
        if found.compared is None:
            found.compared = record
        for failure in record.get("failures") or ():
            found.problems.append(f"{failure['label']} with seed {failure['seed']} failed: {failure['reason']}")


def _runs(folder: Path, problems: list[str]) -> list[Run]:
    """The finished runs on the same data; what is unfinished, damaged or on other data becomes a problem."""
    if (folder / "metrics.json").exists() and (folder / "config.json").exists():
        candidates = [folder]
    else:
        places = [*folder.glob("*/metrics.json"), *folder.glob("*/config.json")]
        candidates = sorted({place.parent for place in places if not place.parent.name.startswith(".")})
        problems += [_unfinished(partial) for partial in sorted(folder.glob(".*.partial"))]
    sound = []
    for candidate in candidates:
        run = Run(candidate)
        problem = _damage(run)
        if problem:
            problems.append(f"{candidate.name} is not a whole run: {problem}.")
        else:
            sound.append(run)
    return _on_same_data(sound, problems)


def _damage(run: Run) -> str:
    """What is wrong with a run's folder; empty where nothing is."""
    try:
        config, metrics = run.config, run.metrics
        config["data"]["name"], config["method"]["name"], config["method"]["options"]
        int(config["settings"]["seed"]), bool(config["oracle"])
        metrics["test"]["accuracy"], metrics["selection"]["epoch"], metrics["seconds"], metrics["worst_group"]["value"]
        [(group["group"], group["test"], group["accuracy"], group["low"]) for group in metrics["groups"]]
        [(epoch["stage"], epoch["epoch"], epoch["val"]["accuracy"], epoch["seconds"]) for epoch in run.history]
    except BadInput as error:
        return str(error).removeprefix(f"{run.folder} is not a finished run: ").removeprefix(f"{run.folder}/")
    except KeyError as error:
        return f"{error} is missing"
    except (ValueError, TypeError, IndexError) as error:
        return f"history.jsonl, config.json or metrics.json is damaged ({error})"
    return ""


def _unfinished(partial: Path) -> str:
    name = partial.name.removeprefix(".").removesuffix(".partial")
    try:
        done = (partial / "history.jsonl").read_text().count("\n")
        epochs = json.loads((partial / "config.json").read_text())["settings"]["epochs"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{name} is unfinished."
    return f"{name} is unfinished: {done} of {epochs} epochs are there; the command that began it continues it."


def _on_same_data(found: list[Run], problems: list[str]) -> list[Run]:
    """The runs on the data that most of them are on."""
    if not found:
        return []
    keys = [json.dumps(run.config["data"], sort_keys=True) for run in found]
    most = Counter(keys).most_common(1)[0][0]
    for run, key in zip(found, keys, strict=True):
        if key != most:
            problems.append(f"{run.folder.name} is on other data ({run.config['data']['name']}) and is left out.")
    return [run for run, key in zip(found, keys, strict=True) if key == most]


def _nothing(folder: Path, problems: list[str]) -> str:
    below = sorted({place.parents[1] for place in folder.glob("*/*/metrics.json")})[:3]
    hint = f"; there are runs in {', '.join(map(str, below))}" if below else ""
    seen = f" ({problems[0].rstrip('.')})" if problems else ""
    return (
        f"{folder} holds nothing to report: no finished run, no JSON of audit, diagnose, discover, explain or "
        f"reproduce, in it or one level below{seen}{hint}"
    )
