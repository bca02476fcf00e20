"""Real data for tests, where there are any: `EVENHAND_DATA`, or the folder `shared/data` beside the repository.

Image data sets may lie there packed; they are unpacked once into a folder that all test processes share.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

BESIDE = Path(__file__).parents[2] / "shared" / "data"
PACKED = {
    "waterbirds_v1.0": ("waterbirds_64.tar", ""),
    "ham10000": ("ham10000_64.tar", ""),
    "UTKFace": ("utkface_64.tar", ""),
    "cifar10": ("cifar10_jpg.tar.gz", "cifar10"),
}


def root_with(folder: str) -> Path:
    """The root below which the real `folder` lies; skips the test where it is absent."""
    base = Path(os.environ.get("EVENHAND_DATA") or BESIDE)
    if (base / folder).exists():
        return base
    archive, inside = PACKED.get(folder, ("", ""))
    if not archive or not (base / archive).is_file():
        pytest.skip(f"{folder} is not in {base}")
    unpacked = Path(tempfile.gettempdir()) / f"evenhand-real-{os.getuid()}-{(base / archive).stat().st_mtime_ns}"
    unpacked.mkdir(exist_ok=True)
    done = unpacked / f".{folder}.done"
    with FileLock(unpacked / f".{folder}.lock"):
        if not done.exists():
            with tarfile.open(base / archive) as tar:
                tar.extractall(unpacked / inside, filter="data")
            done.touch()
    return unpacked
