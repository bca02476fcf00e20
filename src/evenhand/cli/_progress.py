"""Progress bars on standard error; silent where that is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from evenhand.study import Progress


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Bars(*columns, console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty())


@contextmanager
def epochs(description: str, total: int) -> Iterator[Callable[[Any], None]]:
    """A bar for one run; what it yields is to be called after each epoch."""
    with _bars() as bars:
        task = bars.add_task(description, total=total)

        def advance(record: Any) -> None:
            done = record["epoch"] + 1 if record["stage"] == 0 else None
            bars.update(task, completed=done) if done else bars.advance(task)

        yield advance


@contextmanager
def runs() -> Iterator[Callable[[Progress], None]]:
    """A bar for all runs and one for each run at work; what it yields takes a study's progress."""
    with _bars() as bars:
        overall = bars.add_task("runs", total=None)
        at_work: dict[tuple[str, int], TaskID] = {}

        def note(progress: Progress) -> None:
            bars.update(overall, completed=progress.done, total=progress.total)
            run = (progress.label, progress.seed)
            if progress.kind == "started":
                at_work[run] = bars.add_task(f"  {progress.label}, seed {progress.seed}", total=progress.epochs)
            elif progress.kind == "epoch":
                bars.update(at_work[run], completed=progress.epoch)
            elif run in at_work:
                bars.remove_task(at_work.pop(run))

        yield note
