"""Random generators: seeded from a few integers, set aside and continued, so that results follow from the seed."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Generator

from evenhand.settings import Settings


@contextmanager
def reproducible(settings: Settings) -> Iterator[None]:
    """Inside, every draw follows from the seed; afterwards the caller's generators and threads are as they were."""
    states, threads = random_states(), torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        with _no_driver_lookups():
            yield
    finally:
        torch.set_num_threads(threads)
        restore_random_states(states)


@contextmanager
def _no_driver_lookups() -> Iterator[None]:
    """Where there is no GPU, say so in the environment.

    A CUDA build of PyTorch asks for GPUs in every optimizer step, and without a driver looks for its library on the
    disk each time: a third of the step of a small network.
    """
    if torch.cuda.is_available() or "CUDA_VISIBLE_DEVICES" in os.environ:
        yield
        return
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        yield
    finally:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)


def seed_everything(*parts: int) -> None:
    """Seed every global generator from a few integers (run seed, stage)."""
    words = np.random.SeedSequence(parts).generate_state(3, np.uint64)
    torch.manual_seed(int(words[0] >> 1))
    np.random.seed(int(words[1] & 0xFFFFFFFF))  # noqa: NPY002
    random.seed(int(words[2]))


def generator(*parts: int) -> Generator:
    """A generator seeded from a few integers (run seed, stage, epoch): the order of an epoch needs no saved state."""
    return Generator().manual_seed(int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1))


def random_states() -> dict[str, Any]:
    """The states of every global random generator: PyTorch's on all devices, NumPy's and Python's."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, gauss],
        "python": random.getstate(),
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Continue every global random generator where `random_states` found it."""
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    name, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    random.setstate(states["python"])
