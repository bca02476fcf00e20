"""What `evenhand data cache` prints of the caches of decoded images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from evenhand.cli._output import say
from evenhand.inputs.cache import Cache
from evenhand.inputs.progress import size_text


def show(found: Sequence[Cache], home: Path) -> None:
    """A row for each cache with its size, its source and its dates."""
    from evenhand.cli import _tables
    from evenhand.study.tables import Table

    if not found:
        say(f"There are no caches of decoded images in {home}.")
        return
    columns = ("name", "size", "images", "pixels", "made", "last used", "of")
    total = size_text(sum(cache.bytes for cache in found))
    note = "evenhand data cache --remove NAME (or all) deletes; what is needed again is decoded again."
    title = f"Caches of decoded images in {home}: {total}"
    _tables.show([Table(title, columns, tuple(map(_row, found)), (note,), text_columns=(0, 6))])


def _row(cache: Cache) -> tuple[str, ...]:
    side = "–" if cache.preparation is None else f"{cache.preparation.side}×{cache.preparation.side}"
    images = "–" if cache.images is None else f"{cache.images:,}"
    dates = (time.strftime("%Y-%m-%d", time.localtime(at)) for at in (cache.made, cache.used))
    return cache.name, size_text(cache.bytes), images, side, *dates, cache.folder or "(unfinished)"


def say_removed(names: Sequence[str], freed: int) -> None:
    """How many were deleted and how much room that made."""
    one = names[0] if len(names) == 1 else f"{len(names)} caches"
    say(f"Removed {one}: {size_text(freed)} are free again." if names else "There was no cache to remove.")
