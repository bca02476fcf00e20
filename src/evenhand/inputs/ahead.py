"""Batches fetched while the model is at work on the one before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Generator, Tensor

from evenhand.batch import Batch, Split

AHEAD = 2  # batches in the making


def batches(
    split: Split, orders: Iterable[Tensor], rng_of: Callable[[int], Generator] | None = None, *, ahead: int = AHEAD
) -> Iterator[Batch]:
    """The batch of each of `orders` (B rows each), in order.

    Where fetching is slow, up to `ahead` batches are made in a thread while the caller uses the one before; their rows
    are asked for that much earlier. The result is the same: every batch has a generator of its own.

    Args:
        rng_of: the generator with which the batch of this number is augmented; None does not augment.
    """

    def fetch(number: int, rows: Tensor) -> Batch:
        return split.batch(rows, rng_of(number) if rng_of and split.inputs.augments else None)

    if not (split.inputs.slow and ahead):
        for number, rows in enumerate(orders):
            yield fetch(number, rows)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="fetch") as pool:
        waiting: deque[Future[Batch]] = deque()
        try:
            for number, rows in enumerate(orders):
                waiting.append(pool.submit(fetch, number, rows))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
