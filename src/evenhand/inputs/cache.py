"""Images decoded once into a memory-mapped file of bytes.

CACHE/3f9a2c81d07b….npy                 (N, 3, side, side) uint8
CACHE/3f9a2c81d07b….json                of what it is, which files are no images, and when it was made and last used
CACHE/.3f9a2c81d07b….partial, .journal  an unfinished one, and which parts of it are there; .lock: who is at work

The name is a hash of the files' paths, sizes and times and of how they are prepared: a file that changes belongs to
another cache. The folder is not part of it, so that data may be moved.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
from filelock import FileLock, Timeout

from evenhand.errors import BadInput, RunFailed
from evenhand.files import write_json
from evenhand.inputs.building import build, refuse_without_room
from evenhand.inputs.decoders import Job
from evenhand.inputs.decoding import BadImage, Preparation
from evenhand.inputs.progress import report, size_text

if TYPE_CHECKING:
    from evenhand.inputs.images import Pixels

FORMAT = 1  # raised when what a file is decoded to changes


@dataclass(frozen=True, eq=False)
class Decoded:
    """Images of a list of files.

    Attributes:
        pixels: one image for each file; those of bad files are black.
        bad: for each file that is no image its name and what is wrong with it, by its place in the list.
    """

    pixels: Pixels
    bad: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cache:
    """A cache on this machine, finished or not.

    Attributes:
        name: by which `remove` knows it.
        bytes: on the disk.
        images: how many; None for an unfinished one, of which only the size is known.
        folder: of the files, when they were decoded; "" for an unfinished one.
        preparation: None for an unfinished one.
        made: seconds since 1970.
        used: seconds since 1970, last time.
    """

    name: str
    bytes: int
    images: int | None
    folder: str
    preparation: Preparation | None
    made: float
    used: float


def cached(folder: Path, paths: Sequence[str], preparation: Preparation, *, skip_bad: bool = False) -> Decoded:
    """The files `paths` below `folder`, decoded now or by an earlier call, memory-mapped.

    Decoding uses every core, and memory that does not grow with the number of images. Interrupted or killed, the next
    call continues. Two processes that want the same do not both decode: the second waits. `progress.reporting` tells
    how far it is.

    Raises:
        BadInput: a file is no image and `skip_bad` is False (the first of the list; the message names it), the disk
            has no room, or the cache folder cannot be written.
        RunFailed: the disk became full, there is not enough memory, or a file ended the process that decoded it.
    """
    import torch

    from evenhand.inputs.images import MappedPixels, MemoryPixels

    side = preparation.side
    if not paths:
        return Decoded(MemoryPixels(torch.empty(0, 3, side, side, dtype=torch.uint8)))
    place, bad = _ready(folder, paths, preparation, skip_bad=skip_bad)
    pixels = MappedPixels(place.file, len(place.header), (len(paths), 3, side, side))
    return Decoded(pixels, bad_texts(folder, paths, bad))


def _ready(
    folder: Path, paths: Sequence[str], preparation: Preparation, *, skip_bad: bool = False
) -> tuple[_Place, dict[int, str]]:
    """The finished cache, and what is wrong with its bad files."""
    place = _Place(cache_folder(), _name(folder, paths, preparation), len(paths), preparation)
    bad = place.found()
    if bad is None:
        bad = place.make(folder, paths, stop_at_bad=not skip_bad)
    if bad and not skip_bad:
        first = min(bad)
        raise BadImage(folder / paths[first], f"{bad[first]}; --skip-bad (skip_bad=True) leaves such files out")
    with suppress(OSError):  # the time of the last use; another's cache may be read-only
        os.utime(place.description)
    return place, bad


def cache_folder() -> Path:
    """Where caches are: `EVENHAND_CACHE`, or the user's cache folder."""
    chosen = os.environ.get("EVENHAND_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(chosen).expanduser() if chosen else Path(base) / "evenhand"


def caches() -> list[Cache]:
    """Every cache in the cache folder, the one that was not used for longest first."""
    home = cache_folder()
    found = []
    for file in [*home.glob("*.npy"), *home.glob(".*.partial")]:
        with suppress(OSError):  # removed meanwhile
            found.append(_described(file))
    return sorted(found, key=lambda cache: cache.used)


def remove(name: str) -> int:
    """Delete a cache, finished or not, and return how many bytes that freed; data sets decode anew when they need it.

    Raises:
        BadInput: there is no cache of this name, or a process is just making it.
        RunFailed: it cannot be deleted.
    """
    place = _Place(cache_folder(), name, 0, Preparation(1))
    if name not in {cache.name for cache in caches()}:
        raise BadInput(f"there is no cache {name!r} in {place.home}")
    try:
        with FileLock(place.lock, timeout=0):
            freed = sum(_bytes_on_disk(file) for file in place.everything)
            for file in place.everything:
                file.unlink(missing_ok=True)
    except Timeout as error:
        raise BadInput(f"the cache {name} is being made by another process") from error
    except OSError as error:
        raise RunFailed(f"cannot delete the cache {name} in {place.home}: {error.strerror or error}") from error
    return freed


def bad_texts(folder: Path, paths: Sequence[str], bad: Mapping[int, str]) -> dict[int, str]:
    """Name and reason of each bad file, in order."""
    return {place: f"{folder / paths[place]} ({bad[place]})" for place in sorted(bad)}


def _name(folder: Path, paths: Sequence[str], preparation: Preparation) -> str:
    """Of the cache that holds these files as they are now; files that are not there are bad ones."""
    found = hashlib.sha256(repr((FORMAT, PIL.__version__, preparation)).encode())
    for path in paths:
        try:
            stat = os.stat(folder / path)  # noqa: PTH116
            readable = os.access(folder / path, os.R_OK)  # else bad, until its permissions change, not its time
            known = (path, stat.st_size, stat.st_mtime_ns) if readable else (path, -1, -1)
        except OSError:
            known = (path, -1, -1)
        found.update(repr(known).encode(errors="surrogatepass"))
    return found.hexdigest()[:20]


@dataclass(frozen=True)
class _Place:
    """The files of one cache."""

    home: Path
    name: str
    images: int
    preparation: Preparation

    @property
    def file(self) -> Path:
        return self.home / f"{self.name}.npy"

    @property
    def description(self) -> Path:
        return self.home / f"{self.name}.json"

    @property
    def partial(self) -> Path:
        return self.home / f".{self.name}.partial"

    @property
    def journal(self) -> Path:
        return self.home / f".{self.name}.journal"

    @property
    def lock(self) -> Path:
        return self.home / f".{self.name}.lock"

    @property
    def everything(self) -> tuple[Path, ...]:
        return self.file, self.description, self.partial, self.journal

    @property
    def header(self) -> bytes:
        side = self.preparation.side
        described = {"descr": "|u1", "fortran_order": False, "shape": (self.images, 3, side, side)}
        written = io.BytesIO()
        np.lib.format.write_array_header_1_0(written, described)
        return written.getvalue()

    @property
    def bytes(self) -> int:
        return len(self.header) + self.images * 3 * self.preparation.side**2

    def found(self) -> dict[int, str] | None:
        """What is wrong with the bad files of the finished cache; None if there is none, or a damaged one."""
        try:
            with self.file.open("rb") as file:
                whole = file.read(len(self.header)) == self.header and file.seek(0, io.SEEK_END) == self.bytes
            described = json.loads(self.description.read_text())
            bad = {int(place): str(reason) for place, reason in described["bad"].items()}
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return None
        return bad if whole and all(0 <= place < self.images for place in bad) else None

    def make(self, folder: Path, paths: Sequence[str], *, stop_at_bad: bool) -> dict[int, str]:
        """Decode, unless another process does so meanwhile; what is wrong with the bad files.

        Bad files that `stop_at_bad` stopped at are returned too, and the unfinished cache stays to be continued.
        """
        with self._alone():
            bad = self.found()
            return self._made(folder, paths, stop_at_bad) if bad is None else bad

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the lock of this cache."""
        lock = FileLock(self.lock)
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                report("waiting for another process that decodes the same images", 0, 0)
                lock.acquire()
        except OSError as error:
            raise BadInput(
                f"cannot write to the cache folder {self.home}: {error.strerror or error}; EVENHAND_CACHE names another"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _made(self, folder: Path, paths: Sequence[str], stop_at_bad: bool) -> dict[int, str]:
        refuse_without_room(self.partial, self.bytes)
        what = f"decoding {len(paths)} images into {size_text(self.bytes)} at {self.file}"
        job = Job(str(folder), self.preparation, str(self.partial), len(self.header))
        bad = build(job, paths, self.header, self.journal, what, stop_at_bad=stop_at_bad)
        if bad and stop_at_bad:
            return bad
        preparation = asdict(self.preparation)
        write_json(
            self.description,
            {"format": FORMAT, "images": self.images, "bytes": self.bytes, "folder": str(folder.absolute()),
             "preparation": preparation, "made": time.time(), "pillow": PIL.__version__, "bad": bad},
        )  # fmt: skip
        self.partial.replace(self.file)
        self.journal.unlink(missing_ok=True)
        return bad


def _described(file: Path) -> Cache:
    stat, name = file.stat(), file.name.lstrip(".").partition(".")[0]
    described: dict[str, Any] = {}
    used = stat.st_mtime
    if file.suffix == ".npy":
        with suppress(OSError, ValueError):
            described = json.loads(file.with_suffix(".json").read_text())
            used = file.with_suffix(".json").stat().st_mtime
    preparation = described.get("preparation")
    return Cache(
        name, _bytes_on_disk(file), described.get("images"), described.get("folder", ""),
        Preparation(**preparation) if preparation else None, described.get("made", stat.st_mtime), used,
    )  # fmt: skip


def _bytes_on_disk(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
