"""Progress bars on standard error; silent where that is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from evenhand.inputs.progress import Progress as Decoding
    from evenhand.pretraining._store import Pretraining
    from evenhand.study import Progress


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Bars(*columns, console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty())


@contextmanager
def decoding(bars: Bars | None = None) -> Iterator[None]:
    """Of images that are decoded inside: a line that says what and where, and a bar, among `bars` if they are given."""
    from evenhand.cli._output import paragraph
    from evenhand.inputs.progress import reporting

    tasks: dict[str, TaskID] = {}

    with nullcontext(bars) if bars else _bars() as shown:

        def note(progress: Decoding) -> None:
            if progress.what not in tasks:
                paragraph(progress.what)
                tasks[progress.what] = shown.add_task("images", total=progress.total or None)
            shown.update(tasks[progress.what], completed=progress.done)
            if progress.done == progress.total and progress.total:
                shown.update(tasks[progress.what], visible=False)

        with reporting(note):
            yield


@contextmanager
def pretraining_and_epochs(
    description: str, total: int
) -> Iterator[tuple[Callable[[Pretraining], None], Callable[[Any], None]]]:
    """A bar for one run; the two that it yields are to be called after each epoch, of pretraining and of training.

    What came of pretraining is said in a sentence when it is done.
    """
    from evenhand.cli._output import paragraph

    with _bars() as bars:
        before: list[TaskID] = []
        task = bars.add_task(description, total=total)

        def pretrained(progress: Pretraining) -> None:
            if not before:
                before.append(bars.add_task(f"pretraining by {progress.objective}", total=progress.epochs))
            bars.update(before[0], completed=progress.epoch)
            if progress.epoch == progress.epochs:
                bars.update(before[0], visible=False)
                paragraph(str(progress))

        def advance(record: Any) -> None:
            done = record["epoch"] + 1 if record["stage"] == 0 else None
            bars.update(task, completed=done) if done else bars.advance(task)

        yield pretrained, advance


@contextmanager
def runs() -> Iterator[Callable[[Progress], None]]:
    """A bar for all runs and one for each run at work; what it yields takes a study's progress."""
    with _bars() as bars, decoding(bars):
        overall = bars.add_task("runs", total=None)
        at_work: dict[tuple[str, int], TaskID] = {}

        def note(progress: Progress) -> None:
            bars.update(overall, completed=progress.done, total=progress.total)
            run = (progress.label, progress.seed)
            if progress.kind == "started":
                at_work[run] = bars.add_task(f"  {progress.label}, seed {progress.seed}", total=progress.epochs)
            elif progress.kind == "pretraining":
                bars.update(at_work[run], description=f"  {progress.label}, seed {progress.seed}: {progress.reason}")
            elif progress.kind == "epoch":
                name = f"  {progress.label}, seed {progress.seed}"
                bars.update(at_work[run], completed=progress.epoch, description=name)
            elif run in at_work:
                bars.remove_task(at_work.pop(run))

        yield note


@contextmanager
def rows(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar for a pass over rows (None: nobody knows how many); what it yields takes how many more are done."""
    with _bars() as bars:
        task = bars.add_task(description, total=total)
        yield lambda done: bars.advance(task, done)
