"""Studies: several methods over several seeds, trained in worker processes, put side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evenhand import data as data_sets
from evenhand import loggers, methods, runs
from evenhand.errors import BadInput, RunFailed, unknown
from evenhand.files import write_atomically, write_json
from evenhand.runs import Config, Run
from evenhand.study import selection
from evenhand.study import workers as processes
from evenhand.study.comparison import Comparison, Entry, Failure, variants
from evenhand.study.tables import Table, markdown, tables

if TYPE_CHECKING:
    from evenhand.data import Data
    from evenhand.plan import Plan

__all__ = ["Comparison", "Contender", "Progress", "compare", "load", "save"]


@dataclass(frozen=True)
class Contender:
    """A method that takes part, under a label of its own, with its options and with settings above those of all."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.label or self.method


@dataclass(frozen=True)
class Progress:
    """How far a comparison is: told to `on_progress` whenever something happens.

    Attributes:
        label, seed: of the run that something happened to; empty and -1 at the beginning.
        kind: `found` (once, at the beginning), `started`, `pretraining`, `epoch`, `done`, `failed`, `again`.
        epoch, epochs: of that run.
        done, total: runs finished, found ones included, and all of them.
    """

    kind: str
    done: int
    total: int
    label: str = ""
    seed: int = -1
    epoch: int = 0
    epochs: int = 0
    reason: str = ""


def compare(
    data: str,
    contenders: Sequence[Contender | str],
    *,
    out: str | Path,
    seeds: int = 3,
    root: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    data_options: Mapping[str, Any] | None = None,
    oracle: bool = False,
    groups_from: Path | None = None,
    track: str = "",
    log: str = "",
    reference: str = "",
    n_workers: int | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Comparison:
    """Train every contender with every seed in 0..seeds-1, unless `out` has the run already, and compare them.

    A run that fails does not keep the others from being made: it is listed in `failures`. Interrupted or killed, it
    leaves finished runs and checkpoints, from which the same call continues. In a script, call this below
    `if __name__ == "__main__":`, as worker processes import the script.

    Args:
        data: name of a data set, or the path of a TOML file.
        settings: training settings of all runs, above what the data set recommends.
        data_options: of the data set, such as which target.
        oracle: also say what selecting on the test split would have given.
        groups_from: a table of groups by which all runs train and select.
        track: what is recorded of the features in every epoch, see `evenhand.plan`.
        log: the logger that all runs are also written to, one of `evenhand.loggers.KINDS`.
        reference: label of the contender that the others are compared with; default erm, else the first.
        n_workers: processes at a time; default as many as there are cores, each with one thread.

    Raises:
        BadInput: anything that can be known to be wrong before the first run starts; nothing was started.
        RunFailed: not a single run could be finished.
    """
    entrants = [Contender(entrant) if isinstance(entrant, str) else entrant for entrant in contenders]
    check(entrants, seeds, n_workers)
    out = Path(out)
    if not any(out.glob("*/metrics.json")):
        processes.warm_up()  # while this process reads the data
    load = partial(data_sets.load, data, root, **(data_options or {}))
    make = partial(_plan, settings=settings or {}, oracle=oracle, groups_from=groups_from, track=track, log=log)
    planned = _resolved(load(), [(one, make(one, seed)) for seed in range(seeds) for one in entrants], out)
    failures = _execute(load, out, planned, n_workers, on_progress)
    for one in planned:
        if log and (run := runs.find(out, one.config)) is not None:  # also those that were there before
            loggers.complete(log, run)
    return replace(_collected(planned, out, failures), reference_label=reference)


def load(out: str | Path) -> Comparison:
    """The comparison of all finished runs in a folder, whatever made them.

    Raises:
        BadInput: no finished run there.
    """
    found = [Run(path.parent) for path in sorted(Path(out).glob("*/metrics.json")) if path.parent.name[0] != "."]
    if not found:
        raise BadInput(f"there is no finished run in {out}")
    seeds, entries = variants(found)
    return Comparison(found[0].config["data"]["name"], seeds, entries)


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """Everything as plain values, for JSON."""
    rules = selection.as_dict(comparison)
    return comparison.as_dict() | ({"selection": rules} if rules else {})


def shown(comparison: Comparison) -> list[Table]:
    """All tables of a comparison, with that of selection rules where runs have test figures by epoch."""
    rules = selection.table(comparison)
    return [*tables(comparison), *([rules] if rules else [])]


def save(comparison: Comparison, out: str | Path) -> tuple[Path, Path]:
    """Write `comparison.json` and `table.md` in `out`; return their paths.

    Raises:
        RunFailed: they cannot be written.
    """
    paths = Path(out) / "comparison.json", Path(out) / "table.md"
    write_json(paths[0], as_dict(comparison))
    write_atomically(paths[1], markdown(shown(comparison)).encode())
    return paths


def check(entrants: Sequence[Contender], seeds: int, n_workers: int | None) -> None:
    """Raise BadInput for what can be seen without the data: seconds are saved on a typo."""
    if seeds < 1:
        raise BadInput(f"seeds must be at least 1, got {seeds}")
    if n_workers is not None and n_workers < 1:
        raise BadInput(f"workers must be at least 1, got {n_workers}")
    if not entrants:
        raise BadInput(f"no method is given to compare (known: {', '.join(methods.names())})")
    for number, entrant in enumerate(entrants):
        if entrant.method not in methods.names():
            raise unknown("method", entrant.method, methods.names())
        if entrant.name in [other.name for other in entrants[:number]]:
            raise BadInput(f"{entrant.name!r} is named twice among the methods")


class Planned(NamedTuple):
    """A run to be found or made."""

    entrant: Contender
    plan: Plan
    config: Config

    @property
    def seed(self) -> int:
        return int(self.config["settings"]["seed"])


def _plan(
    entrant: Contender,
    seed: int,
    *,
    settings: Mapping[str, Any],
    oracle: bool,
    groups_from: Path | None,
    track: str,
    log: str,
) -> Plan:
    from evenhand.plan import Plan

    chosen = {**settings, **entrant.settings, "seed": seed}
    return Plan(entrant.method, entrant.options, chosen, oracle, groups_from, track, log)


def _resolved(chosen: Data, wanted: Sequence[tuple[Contender, Plan]], out: Path) -> list[Planned]:
    """Every run, after all that could be wrong with it was checked; `out` is claimed for these data."""
    from evenhand.plan import described, resolve

    planned: list[Planned] = []
    names: dict[str, str] = {}
    for entrant, plan in wanted:
        config = resolve(plan, chosen)[2]
        same = names.setdefault(runs.run_name(config), entrant.name)
        if same != entrant.name:
            raise BadInput(f"{same!r} and {entrant.name!r} are the same method with the same options and settings")
        planned.append(Planned(entrant, plan, config))
    runs.claim(out, described(chosen))
    return planned


def _execute(
    load: Callable[[], Data],
    out: Path,
    planned: Sequence[Planned],
    n_workers: int | None,
    on_progress: Callable[[Progress], None],
) -> list[Failure]:
    """Make the missing runs; say which failed and why."""
    missing = [one for one in planned if runs.find(out, one.config) is None]
    done = len(planned) - len(missing)
    on_progress(Progress("found", done, len(planned)))
    if not missing:
        return []

    def on_event(event: processes.Event) -> None:
        nonlocal done
        one = missing[event.index]
        done += event.kind in ("done", "failed")
        epochs = one.config["settings"]["epochs"]
        what = Progress(event.kind, done, len(planned), one.entrant.name, one.seed, event.epoch, epochs, event.reason)
        on_progress(what)

    failed = processes.run_all([one.plan for one in missing], load, out, n_workers or cores(), on_event)
    return [Failure(missing[index].entrant.name, missing[index].seed, failed[index]) for index in sorted(failed)]


def _collected(planned: Sequence[Planned], out: Path, failures: Sequence[Failure]) -> Comparison:
    """The comparison of what is finished.

    Raises:
        RunFailed: nothing is.
    """
    found = [(one, runs.find(out, one.config)) for one in planned]
    if not any(run for _, run in found):
        first = failures[0]
        raise RunFailed(
            f"all {len(planned)} runs failed; the first, {first.label} with seed {first.seed}: {first.reason}"
        )
    entries = {}
    for one, _ in found:
        by_seed = tuple(run for other, run in found if other.entrant is one.entrant)
        options = one.config["method"]["options"]
        entries[one.entrant.name] = Entry(one.entrant.name, one.entrant.method, options, by_seed)
    seeds = tuple(sorted({one.seed for one in planned}))
    return Comparison(planned[0].config["data"]["name"], seeds, tuple(entries.values()), tuple(failures))


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
