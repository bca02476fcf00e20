"""Snapshots of a training: all that continuing bit for bit needs, written so that no crash leaves half of one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evenhand.errors import RunFailed
from evenhand.files import write_atomically

Tree = Any  # dictionaries, lists and tuples of tensors, numbers and texts


def save(path: Path, snapshot: dict[str, Tree]) -> None:
    """Write `snapshot` to `path` atomically."""
    buffer = io.BytesIO()
    torch.save(snapshot, buffer)
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> dict[str, Tree] | None:
    """The snapshot at `path`, on the CPU; None where there is none.

    No code is executed in loading (`weights_only`).

    Raises:
        RunFailed: the file is not a snapshot.
    """
    if not path.exists():
        return None
    try:
        snapshot: dict[str, Tree] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RunFailed(
            f"{path} is not a checkpoint ({error}); remove it to train this run from its beginning"
        ) from error
    return snapshot


def copied(tree: Tree) -> Tree:
    """`tree` with every tensor cloned to the CPU."""
    if isinstance(tree, Tensor):
        return tree.detach().to("cpu", copy=True)
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(copied(value) for value in tree)
    return tree
