"""Images decoded on demand: the pixels of the cache, errors with a name, no thread too many."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evenhand.errors import BadInput
from evenhand.inputs import streaming
from evenhand.inputs.cache import cached
from evenhand.inputs.decoding import Preparation
from evenhand.inputs.progress import Progress, reporting
from evenhand.inputs.streaming import FilePixels, streamed

SMALL = Preparation(16, "crop")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(streaming, "available_cores", lambda: 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for k in range(40):
        x = np.random.default_rng(k).integers(0, 256, (20 + k, 30, 3), dtype=np.uint8)
        Image.fromarray(x).save(tmp_path / "images" / f"{k:02d}.jpg")
    return tmp_path / "images"


PATHS = [f"{k:02d}.jpg" for k in range(40)]


def test_pixels_are_those_of_the_cache_bit_for_bit(folder: Path) -> None:
    stream, kept = streamed(folder, PATHS, SMALL).pixels, cached(folder, PATHS, SMALL).pixels
    assert len(stream) == len(kept) == 40
    for rows in (torch.arange(40), torch.tensor([7, 7, 0, 39]), torch.tensor([5]), torch.arange(0)):
        assert torch.equal(stream.gather(rows), kept.gather(rows))


def test_an_error_in_a_thread_names_the_file(folder: Path) -> None:
    (folder / "13.jpg").write_bytes(b"no image")
    stream = streamed(folder, PATHS, SMALL)
    assert not stream.bad
    stream.pixels.gather(torch.arange(10))
    for _ in range(2):
        with pytest.raises(BadInput, match=r"cannot read the image .*13\.jpg: it is in none"):
            stream.pixels.gather(torch.arange(40))
    assert stream.pixels.gather(torch.arange(14, 20)).shape == (6, 3, 16, 16)


def test_bad_files_are_found_by_reading_all_once_and_are_those_of_the_cache(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "CHECKED", 8)
    (folder / "13.jpg").write_bytes(b"no image")
    (folder / "31.jpg").write_bytes((folder / "31.jpg").read_bytes()[:300])
    heard: list[Progress] = []
    with reporting(heard.append):
        stream = streamed(folder, PATHS, SMALL, skip_bad=True)
    assert list(stream.bad) == [13, 31]
    assert dict(stream.bad) == dict(cached(folder, PATHS, SMALL, skip_bad=True).bad)
    assert [report.done for report in heard] == [0, 8, 16, 24, 32, 40]
    assert heard[0].what == f"reading 40 images in {folder} to find those that are damaged"


def test_threads_are_there_when_they_are_needed_and_not_sent_along(folder: Path) -> None:
    pixels = streamed(folder, PATHS, SMALL).pixels
    assert isinstance(pixels, FilePixels)
    assert pixels.threads.pool is None
    expected = pixels.gather(torch.arange(4))
    pool = pixels.threads.pool
    pixels.gather(torch.arange(4))
    assert pool is not None
    assert pixels.threads.pool is pool
    sent = pickle.loads(pickle.dumps(pixels))
    assert sent.threads.pool is None
    assert torch.equal(sent.gather(torch.arange(4)), expected)


def test_threads_end_with_what_they_decode_for(folder: Path) -> None:
    before = set(threading.enumerate())
    pixels = streamed(folder, PATHS, SMALL).pixels
    pixels.gather(torch.arange(40))
    mine = set(threading.enumerate()) - before
    assert 1 <= len(mine) <= 3
    del pixels
    for thread in mine:
        thread.join(5)
    assert not any(thread.is_alive() for thread in mine)


def _gather(pixels: FilePixels, found: multiprocessing.Queue[int]) -> None:
    found.put(int(pixels.gather(torch.arange(40)).long().sum()))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_process_has_threads_of_its_own(folder: Path) -> None:
    """Its parent's are not there: to wait for them would be for ever."""
    pixels = FilePixels(folder, tuple(PATHS), SMALL)
    expected = int(pixels.gather(torch.arange(40)).long().sum())
    context = multiprocessing.get_context("fork")
    found: multiprocessing.Queue[int] = context.Queue()
    child = context.Process(target=_gather, args=(pixels, found))
    child.start()
    assert found.get(timeout=30) == expected
    child.join(10)
    assert child.exitcode == 0
