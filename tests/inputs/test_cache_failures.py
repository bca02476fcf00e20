"""The cache of decoded images, whatever fails while it is made."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from small_images import SMALL, child, everything, expected, images, remains, spoil, told

from evenhand.errors import BadInput, RunFailed
from evenhand.inputs import building, decoders
from evenhand.inputs.cache import cached
from evenhand.inputs.decoding import Preparation
from evenhand.inputs.progress import Progress, reporting

pytestmark = pytest.mark.usefixtures("home")


# --- killed, interrupted, at once ---


@pytest.mark.parametrize("workers", [False, True])
def test_a_killed_process_leaves_what_the_next_goes_on_with(
    tmp_path: Path, home: Path, workers: bool, in_processes: None
) -> None:
    folder, paths = images(tmp_path / "images", 60)
    log = tmp_path / "log"
    assert child(folder, log, kill_at=30, workers=workers).wait(60) == -9
    assert json.loads(log.read_text().splitlines()[-1])[1] == 30
    assert not list(home.glob("*.npy"))
    reports = told(lambda: cached(folder, paths, SMALL))
    assert [report.done for report in reports[:2]] == [0, 30]
    assert torch.equal(everything(cached(folder, paths, SMALL)), expected(folder, paths))
    assert remains(home) == {".npy", ".json"}


def test_only_chunks_that_are_whole_are_believed(tmp_path: Path, home: Path, in_processes: None) -> None:
    """After a loss of power the journal may be ahead of the images, and its last line may be cut short."""
    folder, paths = images(tmp_path / "images", 60)
    child(folder, tmp_path / "log", kill_at=30).wait(60)
    (partial,), (journal,) = home.glob(".*.partial"), home.glob(".*.journal")
    with partial.open("r+b") as file:
        file.seek(128 + 7 * 3 * 16 * 16)
        file.write(bytes(100))
    journal.write_text(journal.read_text()[:-4] + "\n[1, 2")
    reports = told(lambda: cached(folder, paths, SMALL))
    assert reports[1].done == 20
    assert torch.equal(everything(cached(folder, paths, SMALL)), expected(folder, paths))


def test_a_partial_file_of_another_length_is_begun_anew(tmp_path: Path, home: Path, in_processes: None) -> None:
    folder, paths = images(tmp_path / "images", 20)
    child(folder, tmp_path / "log", kill_at=10).wait(60)
    (partial,) = home.glob(".*.partial")
    os.truncate(partial, 1000)
    assert told(lambda: cached(folder, paths, SMALL))[1].done == 0
    assert torch.equal(everything(cached(folder, paths, SMALL)), expected(folder, paths))


def test_of_two_processes_at_once_one_decodes_and_both_find_it(tmp_path: Path, home: Path) -> None:
    folder, _ = images(tmp_path / "images", 60)
    go, logs = tmp_path / "go", [tmp_path / "a", tmp_path / "b"]
    both = [child(folder, log, go=str(go)) for log in logs]
    time.sleep(1.0)
    go.touch()
    assert [process.wait(60) for process in both] == [0, 0]
    lines = [json.loads(line) for log in logs if log.exists() for line in log.read_text().splitlines()]
    decoded = [done for what, done, _ in lines if what.startswith("decoding")]
    assert sorted(decoded) == [0, *range(0, 61, 5)]
    assert remains(home) == {".npy", ".json"}


def replaced(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Worker processes decode by a function `decode(path, preparation)` with this body; `real` is the real one."""
    code = (
        "import sys; sys.path[:] = sys.argv[1:]\n"
        "import os, pathlib, time, evenhand.inputs.decoders as d\n"
        "real = d.decode\n"
        f"def decode(path, preparation):\n    {body}\n    return real(path, preparation)\n"
        "d.decode = decode\nd.serve()"
    )
    monkeypatch.setattr(decoders, "CODE", code)


def test_an_interrupt_stops_workers_in_the_middle_of_a_file(
    tmp_path: Path, home: Path, in_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced(monkeypatch, "time.sleep(60 if path.name > '0011.png' else 0)")
    started: list[decoders._Worker] = []
    stop = decoders._Worker.stop
    monkeypatch.setattr(decoders._Worker, "stop", lambda worker: (started.append(worker), stop(worker)))
    folder, paths = images(tmp_path / "images")

    def interrupt(progress: Progress) -> None:
        if progress.done >= 10:
            raise KeyboardInterrupt

    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt), reporting(interrupt):
        cached(folder, paths, SMALL)
    assert time.monotonic() - before < 20
    assert len(started) == 2
    assert all(worker.process.poll() is not None for worker in started)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decoders")]
    assert remains(home) == {".partial", ".journal"}


def test_a_file_that_ends_its_worker_is_named(
    tmp_path: Path, in_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced(monkeypatch, "path.name == '0013.png' and os.kill(os.getpid(), 11)")
    folder, paths = images(tmp_path / "images")
    with pytest.raises(RunFailed, match=r"decoded the image .*0013\.png ended by SIGSEGV"):
        cached(folder, paths, SMALL)


def test_a_worker_that_dies_by_accident_is_replaced(
    tmp_path: Path, in_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = f"mark = pathlib.Path({str(tmp_path / 'mark')!r})"
    replaced(monkeypatch, f"{mark}; path.name == '0013.png' and not mark.exists() and (mark.touch(), os._exit(3))")
    folder, paths = images(tmp_path / "images")
    spoil(folder, 12)
    decoded = cached(folder, paths, SMALL, skip_bad=True)
    assert (tmp_path / "mark").exists()
    assert list(decoded.bad) == [12]
    assert torch.equal(everything(decoded)[13:], expected(folder, paths[13:]))


def test_workers_that_cannot_start_say_why(tmp_path: Path, in_processes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "CODE", "import no_such_module")
    folder, paths = images(tmp_path / "images")
    with pytest.raises(RunFailed, match=r"ended with exit code 1 .*no_such_module"):
        cached(folder, paths, SMALL)


def test_processes_that_cannot_be_started_are_no_fault_of_the_disk(
    tmp_path: Path, in_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    folder, paths = images(tmp_path / "images")
    with pytest.raises(RunFailed, match="cannot start a process to decode images: No such file"):
        cached(folder, paths, SMALL)
    monkeypatch.setattr(sys, "executable", "")  # as in a program that has Python inside
    assert torch.equal(everything(cached(folder, paths, SMALL)), expected(folder, paths))


def test_what_a_library_prints_is_no_answer(
    tmp_path: Path, in_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced(monkeypatch, "print('hello'); os.write(1, b'hello')")
    folder, paths = images(tmp_path / "images")
    assert torch.equal(everything(cached(folder, paths, SMALL)), expected(folder, paths))


def test_caches_can_be_built_in_daemons_and_in_scripts_without_a_guard(tmp_path: Path) -> None:
    """Worker processes import nothing of the script, which may be a daemon that may have no children of its kind."""
    folder, paths = images(tmp_path / "images")
    script = (
        "from evenhand.inputs import building, cache, decoders\nfrom evenhand.inputs.decoding import Preparation\n"
        "from pathlib import Path\nbuilding.CHUNK_IMAGES, decoders.WORTH_IT = 5, 0\n"
        f"cache._ready(Path({str(folder)!r}), {paths!r}, Preparation(16))\nprint('once')"
    )
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("once\n", "")
    daemon = multiprocessing.get_context("fork").Process(target=_in_daemon, args=(folder, paths), daemon=True)
    daemon.start()
    daemon.join(60)
    assert daemon.exitcode == 0


def _in_daemon(folder: Path, paths: list[str]) -> None:
    building.CHUNK_IMAGES, decoders.WORTH_IT, decoders.available_cores = 5, 0.0, lambda: 2
    cached(folder, paths, Preparation(8))


# --- the disk ---


@pytest.mark.parametrize("damage", ["shorter", "longer", "header", "no description", "broken description"])
def test_a_damaged_cache_is_built_again(tmp_path: Path, home: Path, damage: str) -> None:
    folder, paths = images(tmp_path / "images")
    cached(folder, paths, SMALL)
    (file,), (description,) = home.glob("*.npy"), home.glob("*.json")
    if damage in ("shorter", "longer"):
        os.truncate(file, file.stat().st_size + (1 if damage == "longer" else -1))
    elif damage == "header":
        with file.open("r+b") as stream:
            stream.write(b"\0" * 8)
    elif damage == "no description":
        description.unlink()
    else:
        description.write_text('{"bad": [')
    assert told(lambda: cached(folder, paths, SMALL))
    assert torch.equal(everything(cached(folder, paths, SMALL)), expected(folder, paths))


def test_too_small_a_disk_is_refused_before_anything_is_written(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, paths = images(tmp_path / "images")
    usage = shutil.disk_usage(tmp_path)
    needed = 128 + 32 * 3 * 16 * 16
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed + building.MARGIN - 1))
    with pytest.raises(BadInput, match=r"need 24 KiB in .*cache, where 64 MiB are free.*EVENHAND_CACHE"):
        cached(folder, paths, SMALL)
    assert remains(home) == set()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed + building.MARGIN))
    cached(folder, paths, SMALL)


@pytest.mark.parametrize("limit", [10_000, 40_000])
def test_a_disk_that_takes_no_more_ends_it_and_nothing_is_left(tmp_path: Path, home: Path, limit: int) -> None:
    """A real refusal by the system: of files beyond a limit, which is less than the 46 KB that are needed."""
    folder, _ = images(tmp_path / "images", 60)
    process = child(folder, tmp_path / "log", limit=limit)
    said, _ = process.communicate(timeout=60)
    assert said == f"RunFailed: cannot write 45 KiB (46208 bytes) of decoded images in {home}: File too large\n"
    assert remains(home) == set()


@pytest.mark.parametrize("processes", [False, True])
def test_a_disk_that_becomes_full_while_images_are_written(
    tmp_path: Path, home: Path, processes: bool, in_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on file systems that cannot promise room: the error comes with the writing."""
    if processes:
        full = f"time.sleep(0); raise OSError({errno.ENOSPC}, 'No space left on device')"
        replaced(monkeypatch, f"if path.name > '0010.png': {full}")
    else:
        monkeypatch.setattr(decoders, "WORTH_IT", 1e9)
        put = decoders.put

        def until_full(job: decoders.Job, chunk: decoders.Chunk) -> decoders.Outcome:
            if chunk.first >= 10:
                raise OSError(errno.ENOSPC, "No space left on device")
            return put(job, chunk)

        monkeypatch.setattr(decoders, "put", until_full)
    folder, paths = images(tmp_path / "images")
    with pytest.raises(RunFailed, match=r"\(24704 bytes\) of decoded images in .*cache: No space left on device"):
        cached(folder, paths, SMALL)
    assert remains(home) == set()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "file" / "cache"))
    folder, paths = images(tmp_path / "images", 2)
    with pytest.raises(BadInput, match=r"cannot write to the cache folder .*EVENHAND_CACHE"):
        cached(folder, paths, SMALL)


def test_a_file_that_could_not_be_read_for_a_time_is_not_bad_for_ever(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, paths = images(tmp_path / "images", 3)
    decode, access = decoders.decode, os.access

    def denied(path: Path, preparation: Preparation) -> object:
        if path.name == Path(paths[1]).name:
            raise decoders.BadImage(path, "Permission denied")
        return decode(path, preparation)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(decoders, "decode", denied)
        meanwhile.setattr(
            os, "access", lambda path, mode: Path(path).name != Path(paths[1]).name and access(path, mode)
        )
        assert list(cached(folder, paths, SMALL, skip_bad=True).bad) == [1]
        assert list(cached(folder, paths, SMALL, skip_bad=True).bad) == [1]
    assert not cached(folder, paths, SMALL).bad
