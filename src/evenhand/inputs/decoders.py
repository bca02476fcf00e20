"""Files decoded straight into an array on disk, in this process or in others. Imports no torch.

The others are plain Python processes that are told over their standard input what to do, in lines of JSON. So they
need nothing of the script that runs (no `if __name__ == "__main__":`), import it and torch never, and can be started
from the workers of a study. They end when their input does, whatever becomes of this process.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evenhand.errors import RunFailed
from evenhand.inputs.decoding import BadImage, Preparation, decode

WORTH_IT = 1.0  # seconds of decoding left for which processes are started; they are ready after about 0.25
CODE = "import sys; sys.path[:] = sys.argv[1:]; from evenhand.inputs.decoders import serve; serve()"
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # NumPy then starts none that it would not use


@dataclass(frozen=True)
class Job:
    """Where images come from and go to.

    Attributes:
        folder: that all paths are below.
        file: the array on disk, there in its full length.
        start: of the first image in it, in bytes.
    """

    folder: str
    preparation: Preparation
    file: str
    start: int

    @property
    def image_bytes(self) -> int:
        return 3 * self.preparation.side**2


class Chunk(NamedTuple):
    """Files that are decoded together, the first of which has this place in the list."""

    first: int
    paths: Sequence[str]


class Outcome(NamedTuple):
    """A chunk that is in the array.

    Attributes:
        checksum: CRC-32 of its bytes; those of bad files are 0.
        bad: what is wrong with files that are no images, by their place in the list.
    """

    checksum: int
    bad: dict[int, str]


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode_all(job: Job, chunks: Sequence[Chunk]) -> Generator[tuple[Chunk, Outcome], None, None]:
    """Put all chunks into the array; each is yielded, in order, when it is there.

    It begins in this process, and goes on in one for each core when much is left to do.

    Raises:
        OSError: the array cannot be written.
        RunFailed: there is not enough memory, or a file ends the process that decodes it.
    """
    started, cores = time.perf_counter(), available_cores()
    for number, chunk in enumerate(chunks, start=1):
        yield chunk, put(job, chunk)
        left = (time.perf_counter() - started) / number * (len(chunks) - number)
        if cores > 1 and sys.executable and left > WORTH_IT:
            with _Decoders(job, min(cores, len(chunks) - number)) as decoders:
                yield from decoders.decode(chunks[number:])
            return


def put(job: Job, chunk: Chunk) -> Outcome:
    """Decode a chunk into its place in the array."""
    x: NDArray[np.uint8] = np.zeros((len(chunk.paths), 3, job.preparation.side, job.preparation.side), np.uint8)
    bad = {}
    for k, path in enumerate(chunk.paths):
        try:
            x[k] = decode(Path(job.folder, path), job.preparation)
        except BadImage as error:
            bad[chunk.first + k] = error.reason
    rest = x.data.cast("B")
    with Path(job.file).open("r+b", buffering=0) as file:
        file.seek(job.start + chunk.first * job.image_bytes)
        while rest:
            rest = rest[file.write(rest) :]
    return Outcome(zlib.crc32(x.data), bad)


def checksum(job: Job, chunk: Chunk) -> int:
    """CRC-32 of what is in the array where the chunk belongs."""
    with Path(job.file).open("rb") as file:
        file.seek(job.start + chunk.first * job.image_bytes)
        return zlib.crc32(file.read(len(chunk.paths) * job.image_bytes))


class _Died(Exception):
    """A worker process ended without an answer; the text says how."""


class _Worker:
    """A process that decodes one chunk at a time."""

    def __init__(self, job: Job) -> None:
        try:
            self.errors = tempfile.TemporaryFile()  # noqa: SIM115
            self.process = subprocess.Popen(
                [sys.executable, "-c", CODE, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self.errors, env={**os.environ, **ONE_THREAD},
                start_new_session=True,  # interrupts from the keyboard reach this process alone, which then stops it
            )  # fmt: skip
        except OSError as error:
            raise RunFailed(f"cannot start a process to decode images: {error.strerror or error}") from error
        with suppress(OSError):  # it has died: its first answer will tell
            self._tell(asdict(job))

    def _tell(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def put(self, chunk: Chunk) -> Outcome:
        """Have a chunk decoded; from any thread, one at a time."""
        assert self.process.stdout is not None
        line = b""
        with suppress(OSError, ValueError):  # it has died, or is stopped
            self._tell({"first": chunk.first, "paths": list(chunk.paths)})
            line = self.process.stdout.readline()
        if not line.endswith(b"\n"):
            raise _Died(self._end())
        answer = json.loads(line)
        if "failed" in answer:
            raise RunFailed(answer["failed"])
        if "errno" in answer:
            raise OSError(answer["errno"], answer["text"])
        return Outcome(answer["checksum"], {int(place): reason for place, reason in answer["bad"].items()})

    def _end(self) -> str:
        self.process.kill()  # of what it may still be at, nobody would hear
        code = self.process.wait()
        if code < 0:
            return f"by {signal.Signals(-code).name} (was there too little memory?)"
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        return f"with exit code {code}{f' ({said[-1]})' if said else ''}"

    def stop(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Give back the pipes of a stopped process that no thread listens to any more."""
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            with suppress(OSError):
                stream.close()  # type: ignore[union-attr]


@dataclass
class _Decoders:
    """Worker processes, each served by a thread; all are gone at the end of the `with` block, however it comes."""

    job: Job
    number: int
    idle: queue.SimpleQueue[_Worker] = field(default_factory=queue.SimpleQueue)
    started: list[_Worker] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopping: bool = False

    def __enter__(self) -> _Decoders:
        self.threads = ThreadPoolExecutor(self.number, thread_name_prefix="decoders")
        try:
            for _ in range(self.number):
                self.idle.put(self._start())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.stopping = True
            for worker in self.started:
                worker.stop()
        self.threads.shutdown(cancel_futures=True)
        for worker in self.started:
            worker.close()

    def _start(self) -> _Worker:
        with self.lock:
            if self.stopping:
                raise _Died("as it was stopped")
            self.started.append(_Worker(self.job))
            return self.started[-1]

    def decode(self, chunks: Sequence[Chunk]) -> Iterator[tuple[Chunk, Outcome]]:
        """Each chunk with its outcome, in order."""
        futures = [self.threads.submit(self._put, chunk) for chunk in chunks]
        for chunk, future in zip(chunks, futures, strict=True):
            yield chunk, future.result()

    def _put(self, chunk: Chunk) -> Outcome:
        worker = self.idle.get()
        try:
            return worker.put(chunk)
        except _Died:
            worker = self._start()
            return self._put_singly(worker, chunk)
        finally:
            self.idle.put(worker)

    def _put_singly(self, worker: _Worker, chunk: Chunk) -> Outcome:
        """Decode what has ended a process file by file: it was an accident, or it is known which file does that."""
        bad: dict[int, str] = {}
        for k, path in enumerate(chunk.paths):
            try:
                bad |= worker.put(Chunk(chunk.first + k, [path])).bad
            except _Died as error:
                raise RunFailed(
                    f"the process that decoded the image {Path(self.job.folder, path)} ended {error}"
                ) from error
        return Outcome(checksum(self.job, chunk), bad)


# --- in the worker process ---


def serve() -> None:
    """Decode what standard input asks for until it ends."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no reply
    requests: IO[bytes] = sys.stdin.buffer
    described = json.loads(requests.readline() or "null")
    if described is None:
        return
    job = Job(**{**described, "preparation": Preparation(**described["preparation"])})
    for line in requests:
        chunk = Chunk(**json.loads(line))
        with suppress(BrokenPipeError):  # nobody wants to know; then nobody asks either
            replies.write(json.dumps(_answer(job, chunk)).encode() + b"\n")
            replies.flush()


def _answer(job: Job, chunk: Chunk) -> dict[str, Any]:
    try:
        return put(job, chunk)._asdict()
    except RunFailed as error:
        return {"failed": str(error)}
    except OSError as error:
        return {"errno": error.errno, "text": error.strerror}
