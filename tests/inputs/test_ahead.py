"""Batches fetched ahead: the same ones in the same order, and no thread left when the consumer has gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Generator, Tensor

from evenhand.batch import Split
from evenhand.inputs.ahead import batches


@dataclass(eq=False)
class Slow:
    """Inputs that take a while, and fail at a row."""

    fails_at: int = -1
    slow: bool = True
    augments = True
    lengths = None

    def __len__(self) -> int:
        return 100

    def take(self, rows: Tensor, rng: Generator | None = None) -> Tensor:
        time.sleep(0.01)
        if self.fails_at in rows.tolist():
            raise OSError(f"row {self.fails_at}")
        return rows.float()[:, None] + (torch.rand(1, generator=rng) if rng else 0)

    def to(self, device: torch.device) -> Slow:
        return self


def split(inputs: Slow) -> Split:
    return Split(inputs, torch.zeros(100, dtype=torch.int64), 1)


def orders(number: int = 20) -> Iterator[Tensor]:
    for k in range(number):
        yield torch.arange(5 * k, 5 * k + 5)


def rng_of(number: int) -> Generator:
    return Generator().manual_seed(number)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch")]


def test_the_batches_are_those_that_are_fetched_one_by_one() -> None:
    ahead = [batch.x for batch in batches(split(Slow()), orders(), rng_of)]
    one_by_one = [batch.x for batch in batches(split(Slow()), orders(), rng_of, ahead=0)]
    assert torch.equal(torch.stack(ahead), torch.stack(one_by_one))
    assert torch.equal(torch.cat([batch.rows for batch in batches(split(Slow()), orders())]), torch.arange(100))


def test_fetching_goes_on_while_the_caller_works() -> None:
    fetched = batches(split(Slow()), orders(), rng_of)
    next(fetched)
    asked = threading.active_count()
    assert asked >= 2
    fetched.close()


def test_a_consumer_that_stops_early_leaves_no_thread() -> None:
    for number, _ in enumerate(batches(split(Slow()), orders(), rng_of)):
        if number == 3:
            break


def test_a_consumer_that_fails_leaves_no_thread() -> None:
    def consume() -> None:
        for _ in batches(split(Slow()), orders(), rng_of):
            raise KeyError("consumer")

    try:
        consume()
    except KeyError:
        pass
    else:
        pytest.fail("no error")


def test_an_error_in_the_thread_arrives_at_its_batch() -> None:
    seen = []
    with pytest.raises(OSError, match="row 31"):
        seen.extend(batch.rows for batch in batches(split(Slow(fails_at=31)), orders(), rng_of))
    fetched = batches(split(Slow(fails_at=31)), orders(), rng_of)
    assert [int(next(fetched).rows[0]) for _ in range(6)] == [0, 5, 10, 15, 20, 25]
    with pytest.raises(OSError, match="row 31"):
        next(fetched)


def test_an_error_of_who_orders_leaves_no_thread() -> None:
    def failing() -> Iterator[Tensor]:
        yield from orders(5)
        raise ValueError("orders")

    with pytest.raises(ValueError, match="orders"):
        list(batches(split(Slow()), failing(), rng_of))


def test_what_is_not_slow_needs_no_thread() -> None:
    before = threading.active_count()
    for _ in batches(split(Slow(slow=False)), orders(3), rng_of):
        assert threading.active_count() == before
