"""Tracked runs on tiny data that kill their own process at a chosen instant, for `test_tracking.py`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import tiny
from evenhand.data import Data, Sealed
from evenhand.execute import execute
from evenhand.plan import Plan
from evenhand.tracking import _part, _tracker

TRAIN, VAL, TEST = tiny.split(120), tiny.split(80, seed=1), tiny.split(60, seed=2)
RECOMMENDED = {"encoder": "mlp", "widths": (8,), "epochs": 2, "batch_size": 16, "lr": 0.02}
DATA = Data("d", TRAIN, VAL, Sealed(TEST), "f", RECOMMENDED)

FEW = {"PIECE": 200, "MOST_KEPT": 2**20, "MOST_POINTS": 24}  # so that 120 rows of 8 features come in several pieces


def dying(function: Callable[..., Any], calls: int) -> Callable[..., Any]:
    """`function`, which ends the process instead of returning from this call."""
    made = 0

    def call(*arguments: Any) -> Any:
        nonlocal made
        found = function(*arguments)
        made += 1
        if made == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    return call


def train(out: Path, method: str, track: str, kill: tuple[str, int], few: Mapping[str, int]) -> None:
    """A run with snapshots after every batch, killed at a step or at rows that come by."""
    torch.set_num_threads(1)
    for name, value in few.items():
        setattr(_tracker, name, value)
    where, calls = kill
    if where == "step":
        _tracker.Tracker.step = dying(_tracker.Tracker.step, calls)  # type: ignore[method-assign]
    else:
        _part.Part.add = dying(_part.Part.add, calls)  # type: ignore[method-assign]
    execute(DATA, Plan(method, oracle=True, track=track), out, checkpoint_every=0)
