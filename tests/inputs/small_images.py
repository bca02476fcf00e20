"""Folders of small images, and caches of them, for the tests of inputs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import building_child
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from evenhand.inputs.cache import Decoded
from evenhand.inputs.decoding import Preparation, decode
from evenhand.inputs.progress import Progress, reporting

Bytes = NDArray[np.uint8]
SMALL = Preparation(16)


def noise(height: int, width: int, channels: int = 3, *, seed: int = 0) -> Bytes:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def of(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def images(folder: Path, number: int = 32, size: int = 20) -> tuple[Path, list[str]]:
    folder.mkdir()
    for k in range(number):
        x = np.random.default_rng(k).integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(x).save(folder / f"{k:04d}.png")
    return folder, [f"{k:04d}.png" for k in range(number)]


def expected(folder: Path, paths: list[str]) -> torch.Tensor:
    return torch.from_numpy(np.stack([decode(folder / path, SMALL) for path in paths]))


def everything(decoded: Decoded) -> torch.Tensor:
    return decoded.pixels.gather(torch.arange(len(decoded.pixels)))


def told(work: Callable[[], object]) -> list[Progress]:
    heard: list[Progress] = []
    with reporting(heard.append):
        work()
    return heard


def child(
    folder: Path, log: Path, *, kill_at: int = 10**9, go: str = "", workers: bool = False, limit: int = 0
) -> subprocess.Popen[str]:
    arguments = [str(folder), str(log), str(kill_at), go, "workers" if workers else "", str(limit)]
    return subprocess.Popen([sys.executable, building_child.__file__, *arguments], stdout=subprocess.PIPE, text=True)


def remains(home: Path) -> set[str]:
    """What is in the cache folder, by suffix, but for locks."""
    return {path.suffix for path in home.iterdir()} - {".lock"}


def spoil(folder: Path, *numbers: int) -> None:
    for k in numbers:
        (folder / f"{k:04d}.png").write_bytes(b"no image" if k % 2 else b"")
