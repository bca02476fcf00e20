"""The array of a cache built in place, so that a process that is killed leaves what the next one can go on with.

The file has its full length from the beginning. Whenever a chunk of images is in it, a line with the chunk's checksum
is added to a journal. A chunk is believed only if it has a line and the bytes in the file have that checksum.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from evenhand.errors import BadInput, RunFailed
from evenhand.inputs.decoders import Chunk, Job, Outcome, checksum, decode_all
from evenhand.inputs.progress import report, size_text

MARGIN = 64 << 20  # bytes that stay free on the disk
CHUNK_BYTES, CHUNK_IMAGES = 4 << 20, 128  # at most so much is decoded into memory at a time
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def refuse_without_room(file: Path, n_bytes: int) -> None:
    """Raise BadInput if the disk has no room for `file` of so many bytes, of which a part may be there already."""
    there = file.stat().st_blocks * 512 if file.exists() and hasattr(file.stat(), "st_blocks") else 0
    needed, free = max(n_bytes - there, 0), shutil.disk_usage(file.parent).free
    if needed and free < needed + MARGIN:
        raise BadInput(
            f"decoded images need {size_text(n_bytes)} in {file.parent}, where {size_text(free)} are free; name "
            "another folder by EVENHAND_CACHE, store smaller images, or read files anew in every epoch by --cache none"
        )


def build(
    job: Job, paths: Sequence[str], header: bytes, journal: Path, what: str, *, stop_at_bad: bool
) -> dict[int, str]:
    """Fill `job.file` with the images of `paths` after `header`, or go on with filling it; flush it to the disk.

    Returns:
        What is wrong with the files that are no images, by their place. With `stop_at_bad` there is only the first of
        the list, and files after it may not be in the array.

    Raises:
        RunFailed: the disk is full, and nothing is left of the file; there is not enough memory; a file ended the
            process that decoded it.
    """
    file = Path(job.file)
    report(what, 0, len(paths))
    try:
        _begin(job, paths, header, journal)
        bad = _fill(job, paths, journal, what, stop_at_bad=stop_at_bad)
        if not (bad and stop_at_bad):
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
    except OSError as error:
        total = len(header) + len(paths) * job.image_bytes
        if error.errno in FULL:
            file.unlink(missing_ok=True)
            journal.unlink(missing_ok=True)
        raise RunFailed(
            f"cannot write {size_text(total)} ({total} bytes) of decoded images in {file.parent}: "
            f"{error.strerror or error}"
        ) from error
    return bad


def chunks(job: Job, paths: Sequence[str]) -> list[Chunk]:
    """All of `paths` in chunks; the same ones whatever the machine."""
    size = max(1, min(CHUNK_IMAGES, CHUNK_BYTES // job.image_bytes))
    return [Chunk(first, paths[first : first + size]) for first in range(0, len(paths), size)]


def _fill(job: Job, paths: Sequence[str], journal: Path, what: str, *, stop_at_bad: bool) -> dict[int, str]:
    """Decode the chunks that are not yet in the file."""
    done = _believed(job, chunks(job, paths), journal)
    bad = {place: reason for outcome in done.values() for place, reason in outcome.bad.items()}
    until = min(bad, default=len(paths)) if stop_at_bad else len(paths)
    left = [chunk for chunk in chunks(job, paths) if chunk.first not in done]
    finished = len(paths) - sum(len(chunk.paths) for chunk in left)
    report(what, finished, len(paths))
    wanted = [chunk for chunk in left if chunk.first < until]
    with journal.open("a") as lines, closing(decode_all(job, wanted)) as outcomes:
        for chunk, outcome in outcomes:
            lines.write(json.dumps([chunk.first, *outcome]) + "\n")
            lines.flush()
            finished += len(chunk.paths)
            report(what, finished, len(paths))
            bad |= outcome.bad
            if outcome.bad and stop_at_bad:
                break
    return {min(bad): bad[min(bad)]} if bad and stop_at_bad else bad


def _begin(job: Job, paths: Sequence[str], header: bytes, journal: Path) -> None:
    """See to it that the file is there in its full length; what was begun stays."""
    file, total = Path(job.file), len(header) + len(paths) * job.image_bytes
    if not file.exists() or file.stat().st_size != total:
        journal.unlink(missing_ok=True)
        with file.open("wb") as stream:
            _reserve(stream.fileno(), total)
            stream.write(header)


def _reserve(descriptor: int, total: int) -> None:
    """Give the file its length, with room on the disk where the file system can promise it."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, total)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
    os.ftruncate(descriptor, total)


def _believed(job: Job, all_chunks: Sequence[Chunk], journal: Path) -> dict[int, Outcome]:
    """The chunks that the journal says are in the file and that are there; a line that is cut short says nothing."""
    if not journal.exists():
        return {}
    by_first, done = {chunk.first: chunk for chunk in all_chunks}, {}
    for line in journal.read_text(errors="replace").splitlines():
        with suppress(ValueError, TypeError, AttributeError):
            first, expected, bad = json.loads(line)
            if first in by_first and checksum(job, by_first[first]) == expected:
                done[first] = Outcome(expected, {int(place): str(reason) for place, reason in bad.items()})
    # Without the line that was cut short, so that the next one begins at a beginning.
    journal.write_text("".join(json.dumps([first, *outcome]) + "\n" for first, outcome in done.items()))
    return done
