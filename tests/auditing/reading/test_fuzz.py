"""Whatever is in a file, the reader answers with an audit or with BadInput."""

import contextlib
import gzip

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evenhand.auditing import audit
from evenhand.errors import BadInput

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FRAME = pl.DataFrame({"y": [0, 1] * 20, "p": [1, 0, 0, 1] * 10, "g": ["a", "b", "c", "d"] * 10})
SUFFIXES = ["csv", "tsv", "jsonl", "parquet", "arrow", "csv.gz", "csv.zst", "jsonl.gz"]


def survives(path, content):
    path.write_bytes(content)
    with contextlib.suppress(BadInput):
        audit(path, label="y", prediction="p", group="g", missing="group")


def packed(suffix, folder):
    path = folder / f"whole.{suffix}"
    if suffix == "parquet":
        FRAME.write_parquet(path)
    elif suffix == "arrow":
        FRAME.write_ipc(path)
    elif suffix == "csv.zst":
        FRAME.write_csv(path, compression="zstd")
    else:
        kind = suffix.partition(".")[0]
        text = FRAME.write_ndjson() if kind == "jsonl" else FRAME.write_csv(separator="\t" if kind == "tsv" else ",")
        path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    return path.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
@FUZZ
@given(content=st.binary(max_size=200))
def test_random_bytes(suffix, content, tmp_path):
    survives(tmp_path / f"t.{suffix}", content)


@pytest.mark.parametrize("suffix", SUFFIXES)
@FUZZ
@given(cut=st.floats(0, 1), position=st.floats(0, 0.999), byte=st.integers(0, 255))
def test_truncated_and_damaged_files(suffix, cut, position, byte, tmp_path):
    content = bytearray(packed(suffix, tmp_path))
    survives(tmp_path / f"cut.{suffix}", bytes(content[: int(cut * len(content))]))
    content[int(position * len(content))] = byte
    survives(tmp_path / f"damaged.{suffix}", bytes(content))


@FUZZ
@given(st.lists(st.text(alphabet='01ab,"\n\r \t;.é\0', max_size=12), max_size=8))
@example(['"', "1,1,a"])
@example(["1,1,a\r", "", " "])
def test_random_rows(tmp_path, lines):
    survives(tmp_path / "t.csv", ("y,p,g\n" + "\n".join(lines)).encode())
