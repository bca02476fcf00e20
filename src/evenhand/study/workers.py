"""Runs in worker processes: none falls with another, all stop with this process, and what they did stays resumable.

A worker has a pipe of its own, over which it is given plans and answers with events. So it is always known which run
a dead worker was at, and no lock that a killed process might have held is shared.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from evenhand.errors import EvenhandError

if TYPE_CHECKING:
    from evenhand.data import Data
    from evenhand.plan import Plan

CRASHES_ALLOWED = 1  # a run whose worker dies is tried once more
SECONDS_TO_STOP = 20.0


@dataclass(frozen=True)
class Event:
    """Something that happened to the run with this index among the plans.

    Attributes:
        epoch: how many epochs are done, over all stages.
        reason: why it failed, why it is tried again, or how far its pretraining is.
    """

    kind: Literal["started", "pretraining", "epoch", "done", "failed", "again"]
    index: int
    epoch: int = 0
    reason: str = ""


def warm_up() -> None:
    """Begin to import what workers need, in the background, once for all of them.

    Workers are forked from a server process that has imported PyTorch and run nothing else. Interrupts from the
    keyboard reach this process alone, which then stops the workers.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return
    from multiprocessing import forkserver

    multiprocessing.get_context("forkserver").set_forkserver_preload(["evenhand.execute"])
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def run_all(
    plans: Sequence[Plan],
    load: Callable[[], Data],
    out: Path,
    n_workers: int,
    on_event: Callable[[Event], None] = lambda event: None,
) -> dict[int, str]:
    """Execute every plan below `out` and say, by index, which failed and why.

    Args:
        load: gives a worker the data; must be picklable. Called once in each worker.
        n_workers: processes at a time, at least 1; no more are started than there are plans.
    """
    warm_up()
    failed: dict[int, str] = {}
    crashes: Counter[int] = Counter()
    waiting = deque(range(len(plans)))

    def note(event: Event) -> None:
        if event.kind == "failed":
            failed[event.index] = event.reason
        on_event(event)

    with _workers(min(n_workers, len(plans)), load, out) as pool:
        while waiting or any(worker.index is not None for worker in pool):
            for worker in pool:
                if worker.index is None and waiting:
                    index = waiting.popleft()
                    worker.give(index, plans[index])
                    note(Event("started", index))
            busy = {worker.connection: worker for worker in pool if worker.index is not None}
            for connection in wait(list(busy)):
                worker = busy[connection]
                index, event = worker.answer()
                if event is None:
                    crashes[index] += 1
                    reason = worker.replace()
                    again = crashes[index] <= CRASHES_ALLOWED
                    event = Event("again" if again else "failed", index, reason=reason)
                    if again:
                        waiting.append(index)
                note(event)
    return failed


class _Worker:
    """A worker process and this side of its pipe. `index` is the run it is at."""

    def __init__(self, load: Callable[[], Data], out: Path) -> None:
        self.load, self.out = load, out
        self.index: int | None = None
        self._start()

    def _start(self) -> None:
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        context: Any = multiprocessing.get_context(method)
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, self.load, self.out), name="evenhand-worker")
        self.process.start()
        theirs.close()

    def give(self, index: int, plan: Plan) -> None:
        self.index = index
        with suppress(OSError):  # it has died: reading its answer will tell
            self.connection.send((index, plan))

    def answer(self) -> tuple[int, Event | None]:
        """The index of its run and what it says of it; None where it died without a word."""
        assert self.index is not None
        index = self.index
        try:
            event: Event | None = self.connection.recv()
        except (EOFError, OSError):
            event = None
        if event is None or event.kind not in ("pretraining", "epoch"):
            self.index = None
        return index, event

    def replace(self) -> str:
        """Put a new process in the place of one that died, and say how that one ended."""
        self.stop()
        code = self.process.exitcode
        self._start()
        how = f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
        return f"its worker process ended {how} (was there too little memory?)"

    def stop(self) -> None:
        """End the process: at once if it waits for work, else after it has stored how far it is."""
        self.connection.close()
        if self.index is not None:
            self.process.terminate()
        self.process.join(SECONDS_TO_STOP)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextmanager
def _workers(number: int, load: Callable[[], Data], out: Path) -> Iterator[list[_Worker]]:
    """So many workers, stopped at the end however it comes."""
    pool: list[_Worker] = []
    try:
        for _ in range(number):
            pool += [_Worker(load, out)]
        yield pool
    finally:
        for worker in pool:
            if worker.index is not None:
                worker.process.terminate()  # all at once, then wait for each
        for worker in pool:
            worker.stop()


# --- in the worker process ---


class _Stopped(BaseException):
    """This worker is asked to stop."""


def _work(connection: Connection[Any, Any], load: Callable[[], Data], out: Path) -> None:
    """Execute the plans that come over the pipe until it closes."""
    once = cache(load)
    with suppress(EOFError, OSError, _Stopped):  # no more work, or nobody left who wants it
        _obey_parent()
        while True:
            index, plan = connection.recv()
            _answer(connection, index, plan, once, out)


def _answer(connection: Connection[Any, Any], index: int, plan: Plan, load: Callable[[], Data], out: Path) -> None:
    """Execute one plan and say how it goes."""
    from evenhand.execute import execute

    epochs = 0

    def note(_: Any) -> None:
        nonlocal epochs
        epochs += 1
        connection.send(Event("epoch", index, epochs))

    def note_pretraining(progress: Any) -> None:
        connection.send(Event("pretraining", index, reason=str(progress)))

    try:
        execute(load(), plan, out, on_epoch=note, on_pretraining=note_pretraining)
    except EvenhandError as error:
        connection.send(Event("failed", index, epochs, str(error)))
    except Exception as error:
        connection.send(Event("failed", index, epochs, _unexpected(error)))
    else:
        connection.send(Event("done", index, epochs))


def _obey_parent() -> None:
    """Stop on SIGTERM after storing how far the run is, and when the parent is gone; ignore the keyboard."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once: storing must not be interrupted
        raise _Stopped

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=watch, daemon=True).start()


def _unexpected(error: Exception) -> str:
    if os.environ.get("EVENHAND_DEBUG"):
        traceback.print_exc(file=sys.stderr)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} (in {Path(where.filename).name}, line {where.lineno})"
