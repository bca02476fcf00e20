"""Images decoded from their files whenever they are asked for, for data larger than the disk."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evenhand.inputs.cache import Decoded
from evenhand.inputs.decoding import Preparation, decode


@dataclass(frozen=True, eq=False)
class FilePixels:
    """Images in files, decoded by threads."""

    folder: Path
    paths: Sequence[str]
    preparation: Preparation
    slow = True

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(thread_name_prefix="decode")

    def gather(self, rows: Tensor) -> Tensor:
        files = [self.folder / self.paths[row] for row in rows.tolist()]
        images = self._pool.map(lambda file: decode(file, self.preparation), files)
        return torch.from_numpy(np.stack(list(images)))


def streamed(folder: Path, paths: Sequence[str], preparation: Preparation, *, skip_bad: bool = False) -> Decoded:
    """The files `paths` below `folder`, to be decoded on demand."""
    return Decoded(FilePixels(folder, paths, preparation))
