"""Images decoded once into a memory-mapped file of bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evenhand.inputs.decoding import Preparation, decode
from evenhand.inputs.images import MemoryPixels, Pixels


@dataclass(frozen=True, eq=False)
class Decoded:
    """Images of a list of files.

    Attributes:
        pixels: one image for each file; those of bad files mean nothing.
        bad: what is wrong with each file that could not be read, by its place in the list.
    """

    pixels: Pixels
    bad: Mapping[int, str] = field(default_factory=dict)


def cached(folder: Path, paths: Sequence[str], preparation: Preparation, *, skip_bad: bool = False) -> Decoded:
    """The files `paths` below `folder`, decoded now or by an earlier call.

    Raises:
        BadInput: a file is no image and `skip_bad` is False, or the disk has no room.
    """
    import torch

    key = hashlib.sha256(repr((preparation, [(p, (folder / p).stat().st_size) for p in paths])).encode()).hexdigest()
    home = cache_folder()
    home.mkdir(parents=True, exist_ok=True)
    file = home / f"{key[:20]}.npy"
    if not file.exists():
        x = np.stack([decode(folder / path, preparation) for path in paths])
        np.save(file, x)
    return Decoded(MemoryPixels(torch.from_numpy(np.load(file, mmap_mode="c"))))


def cache_folder() -> Path:
    """Where caches are: `EVENHAND_CACHE`, or the user's cache folder."""
    chosen = os.environ.get("EVENHAND_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(chosen).expanduser() if chosen else Path(base) / "evenhand"
