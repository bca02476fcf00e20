"""Files that are no images, or damaged ones: an error with a name, and nothing else."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_images import noise, of

from evenhand.errors import BadInput
from evenhand.inputs import decoding
from evenhand.inputs.decoding import Preparation, decode

# --- files that are no images ---


def bad(path: Path, content: bytes | None = None) -> str:
    if content is not None:
        path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadInput) as caught:
            decode(path, Preparation(8))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def encoded(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(out, kind, **options)
    return out.getvalue()


def test_files_that_are_no_images_are_refused_by_name(tmp_path: Path) -> None:
    assert "it is empty" in bad(tmp_path / "empty.jpg", b"")
    assert "none of the image formats" in bad(tmp_path / "page.jpg", b"<html><body>404 Not Found</body></html>")
    assert "none of the image formats" in bad(tmp_path / "zeros.png", bytes(1000))
    assert "none of the image formats" in bad(tmp_path / "a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert "No such file" in bad(tmp_path / "missing.jpg")
    assert "directory" in bad(tmp_path)


def test_libtiff_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = bytearray(encoded("TIFF", compression="tiff_lzw"))
    content[200:400] = bytes(byte ^ 255 for byte in content[200:400])
    assert "damaged or cut short" in bad(tmp_path / "a.tif", bytes(content))
    print("still heard", file=sys.stderr)
    assert capfd.readouterr() == ("", "still heard\n")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_truncated_files_are_refused(
    tmp_path: Path, kind: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = encoded(kind)
    bad(tmp_path / "cut", whole[: int(share * len(whole))])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000"])
def test_damaged_files_are_an_image_or_an_error_and_nothing_else(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    whole = np.frombuffer(encoded(kind), np.uint8)
    path = tmp_path / "damaged"
    outcomes = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(60):
            content = whole.copy()
            places = rng.integers(0, len(whole) if rng.random() < 0.5 else min(200, len(whole)), 8)
            content[places] = rng.integers(0, 256, 8)
            path.write_bytes(content.tobytes())
            try:
                outcomes.append(decode(path, Preparation(8)).shape == (3, 8, 8))
            except BadInput as error:
                outcomes.append(str(path) in str(error))
    assert all(outcomes)
    assert capfd.readouterr() == ("", "")


def test_a_bomb_is_refused_with_its_size(tmp_path: Path) -> None:
    def claiming(width: int, height: int) -> bytes:
        row = zlib.compress(bytes(10))
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunks = [(b"IHDR", head), (b"IDAT", row), (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        )

    assert "13000×12000 pixels" in bad(tmp_path / "a.png", claiming(13000, 12000))  # 156 million
    assert "400000000 pixels" in bad(tmp_path / "b.png", claiming(20000, 20000))  # which Pillow itself refuses


def test_too_little_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evenhand.errors import RunFailed

    def scarce(*_: object) -> Image.Image:
        raise MemoryError

    path = of(Image.fromarray(noise(8, 8)), tmp_path / "a.png")
    monkeypatch.setattr(decoding, "_prepared", scarce)
    with pytest.raises(RunFailed, match=r"not enough memory to decode the image .*a\.png"):
        decode(path, Preparation(8))


# --- manners ---


def test_pillow_warns_nobody_and_other_warnings_pass(tmp_path: Path) -> None:
    whole = encoded("TIFF")
    (tmp_path / "a.tiff").write_bytes(whole[: len(whole) - 40])  # warns of tags that are cut short, in Pillow
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        with pytest.raises(BadInput):
            decode(tmp_path / "a.tiff", Preparation(8))
        assert list(warnings.filters) == before
        warnings.warn("of one's own", stacklevel=1)
    assert [str(warning.message) for warning in heard] == ["of one's own"]


def test_threads_leave_the_filters_of_warnings_as_they_were(tmp_path: Path) -> None:
    path = of(Image.fromarray(noise(8, 8)), tmp_path / "a.png")
    before = list(warnings.filters)

    def work() -> None:
        for _ in range(50):
            decode(path, Preparation(4))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_decoding_imports_no_torch() -> None:
    code = "import evenhand.inputs.decoding, evenhand.inputs.decoders, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


@pytest.fixture(autouse=True)
def _no_open_files(recwarn: pytest.WarningsRecorder) -> Callable[[], None] | None:
    """Files are closed: Python would warn of one that is not."""
    yield  # type: ignore[misc]
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]
