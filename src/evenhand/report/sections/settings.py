"""What made these results: settings, versions, the data's fingerprint, and the commands that make them again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from evenhand.report.blocks import Block, Cell, Section, Table, Text
from evenhand.report.found import Found
from evenhand.runs import Run
from evenhand.study.comparison import Entry

Record = Mapping[str, Any]

OF_MACHINE = ("device", "threads")
OWN_FLAGS = ("seed", "epochs")


def sections(found: Found) -> list[Section]:
    """Settings that all runs share and those in which they differ; the environment; a command for each method."""
    if found.comparison is None:
        return []
    blocks: list[Block] = [
        Text(("This makes the same runs again; --root DIR names the folder of data that are not built in.",)),
        Text(commands(found.comparison.shown, str(found.path)), "code"),
        _settings(found.runs),
        *_differing(found.comparison.shown),
        _made(found.runs),
        _run_folders(found.runs),
    ]
    return [Section("settings", "Settings, versions and commands", tuple(blocks))]


def commands(entries: Sequence[Entry], out: str) -> tuple[str, ...]:
    """The command lines that make these runs again: one where a single comparison can, else one for each entry."""
    first = entries[0]
    together = len({entry.method for entry in entries}) == len(entries)
    if together and _from_0(first) and all(_shared(entry) == _shared(first) for entry in entries):
        return (_compare(entries, out),)
    return tuple(
        line for entry in entries for line in ((_compare([entry], out),) if _from_0(entry) else _train(entry, out))
    )


def _compare(entries: Sequence[Entry], out: str) -> str:
    config = entries[0].finished[0].config
    options = {f"{entry.method}.{key}": value for entry in entries for key, value in entry.options.items()}
    words = ["evenhand", "compare", config["data"]["name"], "--methods", ",".join(entry.method for entry in entries)]
    return shlex.join([*words, "--seeds", str(len(entries[0].finished)), *_rest(config, options, out)])


def _train(entry: Entry, out: str) -> Iterator[str]:
    for run in entry.finished:
        words = ["evenhand", "train", run.config["data"]["name"], "--method", entry.method]
        words += ["--seed", str(run.config["settings"]["seed"])]
        yield shlex.join([*words, *_rest(run.config | {"oracle": False}, entry.options, out)])


def _rest(config: Record, options: Record, out: str) -> list[str]:
    """The options that both commands have."""
    settings = config["settings"]
    skipped = {*OWN_FLAGS, *OF_MACHINE}
    if settings.get("pretrain", "none") == "none":
        skipped |= {key for key in settings if key.startswith("pretrain")}
    chosen = {f"data.{key}": value for key, value in (config["data"].get("options") or {}).items()} | dict(options)
    chosen |= {key: value for key, value in settings.items() if key not in skipped}
    words = ["--epochs", str(settings["epochs"])]
    words += [option for key, value in chosen.items() for option in _given(key, value)]
    words += ["--groups-from", "FILE"] if "groups_sha256" in config else []
    words += ["--track", config["track"]] if config.get("track") else []
    words += ["--oracle"] if config["oracle"] else []
    return [*words, "--out", out]


def _shared(entry: Entry) -> tuple[str, bool]:
    """What the runs of a single comparison have in common."""
    config = entry.finished[0].config
    settings = {key: value for key, value in config["settings"].items() if key != "seed"}
    beside = [config.get(key) for key in ("oracle", "track", "groups_sha256")]
    return str((settings, beside, len(entry.finished))), _from_0(entry)


def _from_0(entry: Entry) -> bool:
    """Whether the seeds are those that a comparison takes."""
    return [run.config["settings"]["seed"] for run in entry.finished] == list(range(len(entry.finished)))


def _given(key: str, value: Any) -> list[str]:
    """`--set key=value`, or nothing for what is left open."""
    if value in (None, "none", []):
        return []
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return ["--set", f"{key}={text}"]


def _settings(runs: Iterable[Run]) -> Table:
    """Settings that are the same in all runs."""
    all_settings = [_flat(run.config["settings"]) for run in runs]
    shared = {key: text for key, text in all_settings[0].items() if all(one.get(key) == text for one in all_settings)}
    rows = tuple((Cell(key), Cell(text)) for key, text in shared.items())
    return Table("Training settings of all runs", ("setting", "value"), rows, (False, False), folded=True)


def _differing(entries: Iterable[Entry]) -> list[Block]:
    """Options of the methods, and settings in which runs differ."""
    by_label = {entry.label: entry for entry in entries}
    settings = {label: _flat(entry.finished[0].config["settings"]) for label, entry in by_label.items()}
    keys = list(dict.fromkeys(key for one in settings.values() for key in one if key != "seed"))
    differing = [key for key in keys if len({one.get(key) for one in settings.values()}) > 1]
    rows = []
    for label, entry in by_label.items():
        own = {**_flat(entry.options), **{key: settings[label].get(key, "") for key in differing}}
        rows.append((Cell(label), Cell(", ".join(f"{key} {value}" for key, value in own.items()) or "none")))
    return [Table("Options of each method", ("method", "options"), tuple(rows), (False, False), folded=True)]


def _flat(settings: Record) -> dict[str, str]:
    return {key: "none" if value in (None, []) else _text(value) for key, value in settings.items()}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _made(runs: list[Run]) -> Table:
    """Versions, machine and the fingerprint of the data; several values where runs differ."""
    environments = [run.metrics.get("environment", {}) for run in runs]
    keys = list(dict.fromkeys(key for one in environments for key in one))
    rows = [(key, _several(str(one.get(key, "unknown")) for one in environments)) for key in keys]
    data = runs[0].config["data"]
    options = ", ".join(f"{key} {value}" for key, value in (data.get("options") or {}).items())
    rows = [("data", data["name"]), *([("options of the data", options)] if options else []), *rows]
    rows.append(("fingerprint of the data", str(data.get("fingerprint", "unknown"))))
    return Table(
        "Versions and data", ("what", "value"), tuple((Cell(key), Cell(value)) for key, value in rows), (), folded=True
    )


def _several(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _run_folders(runs: list[Run]) -> Table:
    rows = []
    for run in runs:
        chosen, seconds = run.metrics["selection"], run.metrics["seconds"]
        rows.append((
            Cell(run.folder.name), Cell(str(chosen["epoch"] + 1), chosen["epoch"] + 1),
            Cell(str(len(run.history)), len(run.history)), Cell(str(chosen.get("rule", "")).replace("_", " ")),
            Cell(f"{seconds:.1f}", seconds),
        ))  # fmt: skip
    columns = ("run", "selected epoch", "epochs", "selected by", "seconds")
    return Table("Runs", columns, tuple(rows), (False, True, True, False, True), folded=True)
