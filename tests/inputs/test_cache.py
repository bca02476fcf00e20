"""The cache of decoded images: right pixels, once, whatever fails on the way."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import building_child
import numpy as np
import pytest
import torch
from PIL import Image

from evenhand.errors import BadInput, RunFailed
from evenhand.inputs import building, cache, decoders
from evenhand.inputs.cache import Decoded, cached, caches, remove
from evenhand.inputs.decoding import Preparation, decode
from evenhand.inputs.images import MappedPixels
from evenhand.inputs.progress import Progress, reporting, size_text

SMALL = Preparation(16)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of five images; after the first, two worker processes decode."""
    monkeypatch.setattr(building, "CHUNK_IMAGES", 5)
    monkeypatch.setattr(decoders, "WORTH_IT", 0.0)
    monkeypatch.setattr(decoders, "available_cores", lambda: 2)


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


# --- contents ---


def test_the_cache_holds_what_decode_gives_in_this_process_and_in_others(
    tmp_path: Path, home: Path, request: pytest.FixtureRequest
) -> None:
    folder, paths = images(tmp_path / "images")
    assert torch.equal(everything(cached(folder, paths, SMALL)), expected(folder, paths))
    shutil.rmtree(home)
    request.getfixturevalue("in_processes")
    assert torch.equal(everything(cached(folder, paths, SMALL)), expected(folder, paths))
    (file,) = home.glob("*.npy")
    assert np.array_equal(np.load(file), expected(folder, paths).numpy())
    assert remains(home) == {".npy", ".json"}


def test_what_is_decoded_is_not_decoded_again(tmp_path: Path) -> None:
    folder, paths = images(tmp_path / "images")
    assert told(lambda: cached(folder, paths, SMALL))
    assert not told(lambda: cached(folder, paths, SMALL))
    shutil.move(folder, tmp_path / "elsewhere")
    assert not told(lambda: cached(tmp_path / "elsewhere", paths, SMALL))


def test_another_file_time_preparation_or_order_is_another_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, paths = images(tmp_path / "images", 3)
    cached(folder, paths, SMALL)
    for other in (Preparation(17), Preparation(16, "crop"), Preparation(16, window=10)):
        assert told(lambda other=other: cached(folder, paths, other))
    assert told(lambda: cached(folder, paths[::-1], SMALL))
    assert told(lambda: cached(folder, paths[:2], SMALL))
    stat = (folder / paths[0]).stat()
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(folder / paths[0])
    content = (folder / paths[0]).read_bytes().ljust(stat.st_size, b"\0")  # of the same size, a nanosecond later
    (folder / paths[0]).write_bytes(content)
    os.utime(folder / paths[0], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert torch.equal(everything(cached(folder, paths, SMALL)), expected(folder, paths))
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    assert told(lambda: cached(folder, paths, SMALL))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_names_may_be_any_bytes(tmp_path: Path, in_processes: None) -> None:
    folder, paths = images(tmp_path / "images")
    for k, name in enumerate((b"line\nbreak.png", b"\xff\xfe.png", "ä ß.png".encode(), b'"quoted".png')):
        (folder / paths[20 + k]).rename(folder / os.fsdecode(name))
        paths[20 + k] = os.fsdecode(name)
    assert torch.equal(everything(cached(folder, paths, SMALL)), expected(folder, paths))
    (folder / paths[21]).write_bytes(b"")
    assert list(cached(folder, paths, SMALL, skip_bad=True).bad) == [21]


def test_no_images_need_no_cache(tmp_path: Path, home: Path) -> None:
    assert everything(cached(tmp_path, [], SMALL)).shape == (0, 3, 16, 16)
    assert not home.exists()


# --- bad files ---


def spoil(folder: Path, *numbers: int) -> None:
    for k in numbers:
        (folder / f"{k:04d}.png").write_bytes(b"no image" if k % 2 else b"")


def test_bad_files_are_listed_now_and_later(tmp_path: Path, in_processes: None) -> None:
    folder, paths = images(tmp_path / "images")
    spoil(folder, 3, 17)
    (folder / paths[30]).unlink()
    for _ in range(2):
        decoded = cached(folder, paths, SMALL, skip_bad=True)
        assert list(decoded.bad) == [3, 17, 30]
        assert decoded.bad[17] == f"{folder / '0017.png'} (it is in none of the image formats that are read)"
        assert "No such file" in decoded.bad[30]
    good = [k for k in range(32) if k not in decoded.bad]
    assert torch.equal(everything(decoded)[good], expected(folder, [paths[k] for k in good]))
    assert not everything(decoded)[[3, 17, 30]].any()
    with pytest.raises(BadInput, match=r"0003\.png.*--skip-bad"):
        cached(folder, paths, SMALL)


@pytest.mark.parametrize("processes", [False, True])
def test_the_first_bad_file_of_the_list_is_the_error(
    tmp_path: Path, home: Path, processes: bool, request: pytest.FixtureRequest
) -> None:
    if processes:
        request.getfixturevalue("in_processes")
    folder, paths = images(tmp_path / "images")
    spoil(folder, 13, 14, 31)
    for _ in range(2):
        with pytest.raises(BadInput, match=r"cannot read the image .*0013\.png: .*none of the image formats"):
            cached(folder, paths, SMALL)
    assert not list(home.glob("*.npy"))
    reports = told(lambda: cached(folder, paths, SMALL, skip_bad=True))
    assert reports[1].done > 0  # what was decoded before the error was found is not lost
    assert list(cached(folder, paths, SMALL, skip_bad=True).bad) == [13, 14, 31]
    assert torch.equal(everything(cached(folder, paths, SMALL, skip_bad=True))[:13], expected(folder, paths[:13]))


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


# --- manners ---


def test_what_is_written_is_announced_before(tmp_path: Path, home: Path, in_processes: None) -> None:
    folder, paths = images(tmp_path / "images")
    heard: list[Progress] = []

    def note(progress: Progress) -> None:
        if not heard:
            assert remains(home) == set()
        heard.append(progress)

    with reporting(note):
        cached(folder, paths, SMALL)
    assert heard[0].what.startswith(f"decoding 32 images into 24 KiB at {home}")
    assert [(report.done, report.total) for report in heard] == [(k, 32) for k in (0, *range(0, 32, 5), 32)]
    assert len({report.what for report in heard}) == 1


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """12 MB of images against 49 MB, of which a chunk of 128 is in memory at a time."""
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("RGB", (4, 4), (1, 2, 3)).save(folder / "0.ppm")
    peaks = []
    for number in (1000, 4000):
        for k in range(1, number):
            if not (folder / f"{k}.ppm").exists():
                os.link(folder / "0.ppm", folder / f"{k}.ppm")
        tracemalloc.start()
        decoded = cached(folder, [f"{k}.ppm" for k in range(number)], Preparation(64))
        decoded.pixels.gather(torch.arange(0, number, 100))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2_000_000


def test_old_caches_are_listed_and_removed(tmp_path: Path, home: Path, in_processes: None) -> None:
    assert caches() == []
    folder, paths = images(tmp_path / "images", 60)
    before = time.time()
    cached(folder, paths, SMALL)
    cached(folder, paths, Preparation(8, "crop"))
    os.utime(next(home.glob("*.json")), (0, 0))
    first, *others = caches()
    assert first.used == 0
    assert {cache.preparation for cache in (first, *others)} == {SMALL, Preparation(8, "crop")}
    assert all(cache.folder == str(folder) and cache.images == 60 and cache.made >= before - 1 for cache in others)
    cached(folder, paths, first.preparation or SMALL)
    assert caches()[0].used > 0
    assert remove(first.name) > first.bytes
    assert [cache.name for cache in caches()] == [cache.name for cache in others]
    with pytest.raises(BadInput, match=f"no cache '{first.name}'"):
        remove(first.name)


def test_an_unfinished_cache_is_listed_and_removed(tmp_path: Path, home: Path) -> None:
    folder, _ = images(tmp_path / "images", 60)
    child(folder, tmp_path / "log", kill_at=30).wait(60)
    (unfinished,) = caches()
    assert (unfinished.images, unfinished.preparation, unfinished.bytes) == (None, None, 128 + 60 * 768)
    remove(unfinished.name)
    assert remains(home) == set()


def test_a_cache_in_the_making_is_not_removed(tmp_path: Path, in_processes: None) -> None:
    folder, paths = images(tmp_path / "images")
    refused = []

    def attempt(progress: Progress) -> None:
        if progress.done == 10:
            with pytest.raises(BadInput, match="is being made"):
                remove(caches()[0].name)
            refused.append(True)

    with reporting(attempt):
        cached(folder, paths, SMALL)
    assert refused == [True]


def test_a_cache_is_sent_to_a_process_by_name_and_writing_into_it_changes_no_file(tmp_path: Path) -> None:
    folder, paths = images(tmp_path / "images")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = cached(folder, paths, SMALL).pixels
        everything(Decoded(pixels))
    assert isinstance(pixels, MappedPixels)
    sent = pickle.dumps(pixels)
    assert len(sent) < 1000
    pixels.x.zero_()
    assert torch.equal(everything(Decoded(pickle.loads(sent))), expected(folder, paths))
    remove(caches()[0].name)
    with pytest.raises(BadInput, match="are gone"):
        everything(Decoded(pickle.loads(sent)))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system decides")
def test_a_cache_larger_than_the_memory_is_mapped(tmp_path: Path) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    number = 2 * memory // (3 * 64 * 64)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(128 + number * 3 * 64 * 64)
    pixels = MappedPixels(tmp_path / "sparse", 128, (number, 3, 64, 64))
    assert not pixels.gather(torch.tensor([0, number - 1])).any()


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (144851072, "138 MiB"),
        (5 << 40, "5.0 TiB"),
        (1 << 60, "1048576 TiB"),
    ],
)
def test_sizes_in_words(n_bytes: int, text: str) -> None:
    assert size_text(n_bytes) == text
