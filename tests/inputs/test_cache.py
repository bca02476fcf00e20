"""The cache of decoded images: right pixels, once, and an account of what is there."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_images import SMALL, child, everything, expected, images, remains, spoil, told

from evenhand.errors import BadInput
from evenhand.inputs import cache
from evenhand.inputs.cache import Decoded, cached, caches, remove
from evenhand.inputs.decoding import Preparation
from evenhand.inputs.images import MappedPixels
from evenhand.inputs.progress import Progress, reporting, size_text

pytestmark = pytest.mark.usefixtures("home")


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
