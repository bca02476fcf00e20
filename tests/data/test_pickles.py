"""Pickles of arrays are read, and nothing that a pickle names is run."""

from __future__ import annotations

import os
import pickle
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenhand.data._pickles import read_pickle
from evenhand.errors import BadInput

PIXELS = np.arange(24, dtype=np.uint8).reshape(4, 6)


def written(folder: Path, value: object, protocol: int = 2) -> Path:
    (folder / "batch").write_bytes(pickle.dumps(value, protocol))
    return folder / "batch"


def as_python_2(array: np.ndarray[Any, Any], key: bytes = b"data") -> bytes:
    """The pickle (protocol 2) that Python 2 and its NumPy wrote of `{key: array}`: texts are byte strings."""

    def text(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value

    raw = array.tobytes()
    shape = b"".join(b"K" + bytes([size]) for size in array.shape) + b"\x86"
    return (
        b"\x80\x02}" + text(key)
        + b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + text(b"b") + b"tR"
        b"(K\x01" + shape + b"cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR(K\x03" + text(b"|") + b"NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + text(raw) + b"tbs."
    )  # fmt: skip


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_arrays_and_plain_values(tmp_path: Path, protocol: int) -> None:
    wanted = {"data": PIXELS, "labels": [1, 0, 2, 1], "label_names": ["a", "ü"], "batch_label": "1 of 5"}
    found = read_pickle(written(tmp_path, wanted, protocol))
    assert found["data"].dtype == np.uint8
    np.testing.assert_array_equal(found["data"], PIXELS)
    assert {key: found[key] for key in found if key != "data"} == {key: wanted[key] for key in wanted if key != "data"}


def test_pickle_of_python_2(tmp_path: Path) -> None:
    (tmp_path / "batch").write_bytes(as_python_2(PIXELS))
    theirs = pickle.loads(as_python_2(PIXELS), encoding="latin1")
    np.testing.assert_array_equal(theirs["data"], PIXELS)  # the bytes above are what NumPy itself reads
    np.testing.assert_array_equal(read_pickle(tmp_path / "batch")["data"], PIXELS)


def test_column_order_is_kept(tmp_path: Path) -> None:
    found = read_pickle(written(tmp_path, {"data": np.asfortranarray(PIXELS)}))
    np.testing.assert_array_equal(found["data"], PIXELS)


class Marks:
    """Unpickled by code that leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


class Evaluates(Marks):
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"__import__('os').mkdir({str(self.path)!r})",)


@pytest.mark.parametrize("kind", [Marks, Evaluates])
@pytest.mark.parametrize("place", ["alone", "value"])
def test_pickle_with_code_is_refused_and_not_run(tmp_path: Path, kind: type[Marks], place: str) -> None:
    trap = kind(tmp_path / "was run")
    value = trap if place == "alone" else {"data": PIXELS, "labels": [trap]}
    with pytest.raises(
        BadInput, match=r"batch is not a pickle that can be read: wants (posix|nt|__builtin__)\.(mkdir|eval)"
    ):
        read_pickle(written(tmp_path, value))
    assert not (tmp_path / "was run").exists()
    pickle.loads((tmp_path / "batch").read_bytes())
    assert (tmp_path / "was run").exists()  # it would have been


@pytest.mark.parametrize("name", [b"builtins\neval", b"os\nsystem", b"numpy\nload", b"numpy.core.multiarray\nscalar"])
def test_functions_named_in_a_pickle(tmp_path: Path, name: bytes) -> None:
    (tmp_path / "batch").write_bytes(b"\x80\x02c" + name + b"\n(U\x01xtR.")
    with pytest.raises(BadInput, match=r"wants .*only arrays of bytes, lists and texts are read"):
        read_pickle(tmp_path / "batch")


def test_array_of_objects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="an array of something else than bytes"):
        read_pickle(written(tmp_path, {"data": np.array([None, {}], dtype=object)}))


def test_every_truncation_is_an_error(tmp_path: Path) -> None:
    whole = pickle.dumps({"data": PIXELS, "labels": [1, 0, 2, 1]}, 2)
    for length in range(0, len(whole), 5):
        (tmp_path / "batch").write_bytes(whole[:length])
        with pytest.raises(BadInput, match="is not a pickle that can be read"):
            read_pickle(tmp_path / "batch")


def test_changed_bytes_are_read_or_refused(tmp_path: Path) -> None:
    whole = pickle.dumps({"data": PIXELS, "labels": [1, 0, 2, 1]}, 2)
    draw = np.random.default_rng(0)
    loaded = set(sys.modules)
    for _ in range(300):
        changed = bytearray(whole)
        for place in draw.integers(len(whole), size=3):
            changed[place] = draw.integers(256)
        (tmp_path / "batch").write_bytes(changed)
        with suppress(BadInput):  # and nothing else
            assert isinstance(read_pickle(tmp_path / "batch"), dict)
    assert set(sys.modules) == loaded


@pytest.mark.parametrize("content", ["data = [1, 2]", "<html>moved</html>", "{'data': 1}"])
@pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
def test_text_is_no_pickle(tmp_path: Path, content: str, coding: str) -> None:
    (tmp_path / "batch").write_bytes(content.encode(coding))
    with pytest.raises(BadInput, match="batch"):
        read_pickle(tmp_path / "batch")


def test_other_than_a_dictionary(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must hold a dictionary, got list"):
        read_pickle(written(tmp_path, [1, 2]))


def test_file_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read"):
        read_pickle(tmp_path)
