"""How far the decoding of images is, told to whoever asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Work on images that takes a while.

    Attributes:
        what: what is done, with its size and place: the same text until it is done.
        done: images so far.
        total: of so many.
    """

    what: str
    done: int
    total: int


_callback: ContextVar[Callable[[Progress], None] | None] = ContextVar("evenhand_inputs_progress", default=None)


@contextmanager
def reporting(callback: Callable[[Progress], None]) -> Iterator[None]:
    """Inside, in this thread, `callback` hears of images being decoded: before the first, now and then, at the end."""
    token = _callback.set(callback)
    try:
        yield
    finally:
        _callback.reset(token)


def report(what: str, done: int, total: int) -> None:
    """Tell the callback of `reporting`, if there is one."""
    callback = _callback.get()
    if callback is not None:
        callback(Progress(what, done, total))


def size_text(n_bytes: float) -> str:
    """Bytes in the largest unit of which there is at least one: `138 MiB`, `1.5 GiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if n_bytes < 1024 or unit == "TiB":
            break
        n_bytes /= 1024
    return f"{n_bytes:.0f} {unit}" if n_bytes >= 10 or unit == "bytes" else f"{n_bytes:.1f} {unit}"
