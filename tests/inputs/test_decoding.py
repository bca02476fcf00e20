"""Every kind of image file that people have, and what size it becomes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features
from small_images import Bytes, noise, of

from evenhand.inputs import decoding
from evenhand.inputs.decoding import BadImage, Preparation, decode


def smooth(height: int, width: int) -> Bytes:
    """Colours that survive JPEG: a gradient in each channel."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * x / width, 255 * y / height, 128 + 0 * x], axis=2).astype(np.uint8)


def seen(path: Path, side: int = 8) -> Bytes:
    """(side, side, 3) of a file that has this size, so that nothing is resized."""
    return decode(path, Preparation(side)).transpose(1, 2, 0)


def png(bits: int, colour: int, rows: list[bytes], width: int, *chunks: bytes) -> bytes:
    """A PNG of one's own: kinds that Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    middle = b"".join(chunk(data[:4], data[4:]) for data in chunks)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + middle + chunk(b"IDAT", body) + chunk(b"IEND", b"")


# --- kinds of files ---


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm"])
def test_lossless_kinds_give_the_pixels_back(tmp_path: Path, suffix: str) -> None:
    x = noise(8, 8)
    assert np.array_equal(seen(of(Image.fromarray(x), tmp_path / f"a.{suffix}")), x)


@pytest.mark.parametrize(
    "options", [{"format": "TIFF", "compression": "tiff_lzw"}, {"format": "WEBP", "lossless": True}]
)
def test_compressed_lossless_kinds_give_the_pixels_back(tmp_path: Path, options: dict[str, object]) -> None:
    x = noise(8, 8)
    assert np.array_equal(seen(of(Image.fromarray(x), tmp_path / "image", **options)), x)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "JPEG2000", "AVIF"])
def test_lossy_kinds_give_nearly_the_pixels_back(tmp_path: Path, kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this build of Pillow reads no AVIF")
    x = smooth(32, 32)
    path = of(Image.fromarray(x), tmp_path / "image", format=kind, quality=95)
    assert np.abs(seen(path, 32).astype(int) - x).max() < 16


def test_the_name_says_nothing_of_the_kind(tmp_path: Path) -> None:
    x = noise(8, 8)
    assert np.array_equal(seen(of(Image.fromarray(x), tmp_path / "photo.jpg", format="PNG")), x)


def test_cmyk_and_ycck_jpegs_have_their_colours(tmp_path: Path) -> None:
    """An Adobe CMYK file stores inverted inks; red must not come out cyan."""
    red = Image.new("RGB", (8, 8), (230, 20, 30))
    path = of(red.convert("CMYK"), tmp_path / "cmyk.jpg", quality=95)
    assert np.abs(seen(path).astype(int) - (230, 20, 30)).max() < 8
    # In a YCCK file libjpeg finds 255 - RGB of luma and chroma, which must be the inverted inks; K is stored as it is.
    inks = np.asarray(red.convert("CMYK"))
    ycc = np.asarray(Image.fromarray(np.ascontiguousarray(inks[..., :3])).convert("YCbCr"))
    out = io.BytesIO()
    Image.fromarray(np.dstack([255 - ycc, inks[..., 3]]), "CMYK").save(out, "JPEG", quality=95)
    ycck = bytearray(out.getvalue())
    transform = ycck.index(b"Adobe") + 11
    assert ycck[transform] == 0
    ycck[transform] = 2
    (tmp_path / "ycck.jpg").write_bytes(ycck)
    assert np.abs(seen(tmp_path / "ycck.jpg").astype(int) - (230, 20, 30)).max() < 8


def test_grey_becomes_rgb(tmp_path: Path) -> None:
    x = noise(8, 8, 1)
    assert np.array_equal(seen(of(Image.fromarray(x), tmp_path / "a.png")), np.dstack([x] * 3))


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    x = noise(8, 8, 1) > 127
    assert np.array_equal(seen(of(Image.fromarray(x), tmp_path / "a.png"))[..., 0], 255 * x)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    path = of(Image.fromarray(values), tmp_path / f"a.{suffix}")
    assert np.array_equal(seen(path)[..., 0], np.rint(values / 257))


def test_16_bit_rgb_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (8, 8, 3))
    (tmp_path / "a.png").write_bytes(png(16, 2, [row.astype(">u2").tobytes() for row in values], 8))
    assert np.abs(seen(tmp_path / "a.png") - values / 257).max() <= 1


def test_16_bit_grey_with_alpha_is_laid_on_black(tmp_path: Path) -> None:
    row = np.array([[65535, 65535], [65535, 0], [32768, 65535]] * 2, dtype=">u2").tobytes()
    (tmp_path / "a.png").write_bytes(png(16, 4, [row] * 6, 6))
    assert seen(tmp_path / "a.png", 6)[0, :3, 0].tolist() == [255, 0, 128]


def test_grey_of_more_than_16_bits_and_floats_are_refused(tmp_path: Path) -> None:
    path = of(Image.fromarray(np.full((8, 8), 70000, dtype=np.int32)), tmp_path / "a.tiff")
    with pytest.raises(BadImage, match="70000"):
        seen(path)
    path = of(Image.fromarray(np.full((8, 8), 0.5, dtype=np.float32)), tmp_path / "b.tiff")
    with pytest.raises(BadImage, match="floating-point"):
        seen(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_black(tmp_path: Path, mode: str) -> None:
    x = noise(8, 8, 4 if mode == "RGBA" else 2)
    path = of(Image.fromarray(x, mode), tmp_path / "a.png")
    colours, alpha = x[..., :-1].astype(int), x[..., -1:].astype(int)
    assert np.abs(seen(path) - colours * alpha / 255).max() <= 1


def test_a_palette_without_transparency(tmp_path: Path) -> None:
    x = np.zeros((8, 8, 3), np.uint8)
    x[:4] = (200, 100, 50)
    path = of(Image.fromarray(x).convert("P", palette=Image.Palette.ADAPTIVE), tmp_path / "a.png")
    assert np.array_equal(seen(path), x)


@pytest.mark.parametrize("alpha", [b"\x00\xff\x80", b"\x00"])
def test_a_palette_with_transparency_is_laid_on_black(tmp_path: Path, alpha: bytes) -> None:
    palette = b"PLTE" + bytes([200, 100, 50, 10, 20, 30, 100, 100, 100])
    (tmp_path / "a.png").write_bytes(png(8, 3, [bytes([0, 1, 2])] * 3, 3, palette, b"tRNS" + alpha))
    last = [50, 50, 50] if len(alpha) == 3 else [100, 100, 100]
    assert seen(tmp_path / "a.png", 3)[0].tolist() == [[0, 0, 0], [10, 20, 30], last]


def test_a_transparent_colour_is_laid_on_black(tmp_path: Path) -> None:
    """A PNG may name one grey value or colour that is transparent."""
    (tmp_path / "grey.png").write_bytes(png(8, 0, [bytes([7, 9])] * 2, 2, b"tRNS" + struct.pack(">H", 9)))
    assert seen(tmp_path / "grey.png", 2)[0].tolist() == [[7] * 3, [0] * 3]
    colours = bytes([7, 8, 9, 10, 11, 12])
    (tmp_path / "rgb.png").write_bytes(png(8, 2, [colours] * 2, 2, b"tRNS" + struct.pack(">HHH", 7, 8, 9)))
    assert seen(tmp_path / "rgb.png", 2)[0].tolist() == [[0] * 3, [10, 11, 12]]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first_counts(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    options = {"lossless": True} if kind == "WEBP" else {}
    path = of(frames[0], tmp_path / "a", format=kind, save_all=True, append_images=frames[1:], **options)
    with Image.open(path) as file:
        assert file.n_frames == 3  # type: ignore[attr-defined]
    assert np.array_equal(seen(path), np.asarray(frames[0]))


def test_of_a_phone_s_several_pictures_in_one_jpeg_the_first_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    path = of(frames[0], tmp_path / "a.jpg", format="MPO", save_all=True, append_images=frames[1:])
    with Image.open(path) as file:
        assert (file.format, file.n_frames) == ("MPO", 2)  # type: ignore[attr-defined]
    assert np.abs(seen(path).astype(int) - (250, 0, 0)).max() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_undone(tmp_path: Path, kind: str, orientation: int) -> None:
    """The three corners by their colours, from the definition of each orientation."""
    upright = Image.new("RGB", (16, 16))
    for place, colour in (((0, 0), (240, 0, 0)), ((8, 0), (0, 240, 0)), ((0, 8), (0, 0, 240))):
        upright.paste(colour, (*place, place[0] + 8, place[1] + 8))
    pixels = np.asarray(upright)
    stored = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, 1), 7: pixels[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(pixels, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    path = of(Image.fromarray(np.ascontiguousarray(stored)), tmp_path / "a", format=kind, exif=exif, **options)
    assert np.abs(seen(path, 16)[2::11, 2::11].astype(int) - pixels[2::11, 2::11]).max() < 12


def test_broken_exif_data_do_not_matter(tmp_path: Path) -> None:
    x = noise(8, 8)
    for data in (b"", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + b"\x7f" * 40):
        path = of(Image.fromarray(x), tmp_path / "a.png", exif=data)
        assert np.array_equal(seen(path), x)


# --- size ---


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 1), (8, 5), (100, 60), (61, 100), (23, 23)])
@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_resizing_a_part_is_cutting_it_out_of_the_whole(tmp_path: Path, height: int, width: int, fit: str) -> None:
    """Slow reference: the whole image resized, the shorter side to `side`, and then cut, as torchvision does."""
    image, side = Image.fromarray(noise(height, width)), 16
    path = of(image, tmp_path / "a.png")
    short = min(height, width)
    size = (side, side) if fit == "squash" else (int(side * width / short), int(side * height / short))
    whole = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    top, left = round((size[1] - side) / 2), round((size[0] - side) / 2)
    found = decode(path, Preparation(side, fit)).transpose(1, 2, 0)  # type: ignore[arg-type]
    assert np.abs(found.astype(int) - whole[top : top + side, left : left + side]).max() <= 1


def test_reducing_is_the_mean_of_what_a_pixel_stands_for(tmp_path: Path) -> None:
    """A checkerboard becomes grey: without antialiasing it would stay black or white."""
    board = (255 * (np.indices((64, 64)).sum(axis=0) % 2)).astype(np.uint8)
    assert np.abs(seen(of(Image.fromarray(board), tmp_path / "a.png")).astype(int) - 127).max() < 4


def test_an_elongated_image_needs_little_memory(tmp_path: Path) -> None:
    path = of(Image.fromarray(noise(1, 60000)), tmp_path / "a.png")
    assert decode(path, Preparation(224, "crop")).shape == (3, 224, 224)  # resized whole it would have 3 · 10⁹ pixels


def test_a_window_is_cut_out_of_the_middle(tmp_path: Path) -> None:
    x = noise(12, 10)
    path = of(Image.fromarray(x), tmp_path / "a.png")
    assert np.array_equal(decode(path, Preparation(8, window=8)).transpose(1, 2, 0), x[2:10, 1:9])


def test_a_window_larger_than_the_image_takes_all_of_that_side(tmp_path: Path) -> None:
    x = noise(4, 12)
    path = of(Image.fromarray(x), tmp_path / "a.png")
    middle = of(Image.fromarray(x[:, 2:10]), tmp_path / "b.png")
    assert np.array_equal(decode(path, Preparation(8, window=8)), decode(middle, Preparation(8)))
    assert np.array_equal(decode(path, Preparation(8, window=99)), decode(path, Preparation(8)))


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_large_jpegs_are_reduced_while_they_are_decoded(
    tmp_path: Path, fit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    upright = decoding._upright

    def noted(image: Image.Image) -> Image.Image:
        sizes.append(image.size)
        return upright(image)

    monkeypatch.setattr(decoding, "_upright", noted)
    x = smooth(1000, 1280)
    path = of(Image.fromarray(x), tmp_path / "a.jpg", quality=95)
    lossless = of(Image.fromarray(x), tmp_path / "a.png")
    wanted = Preparation(32, fit)  # type: ignore[arg-type]
    assert np.abs(decode(path, wanted).astype(int) - decode(lossless, wanted)).max() < 8
    decode(path, Preparation(32, window=1000))
    assert sizes == [(160, 125), (1280, 1000), (1280, 1000)]


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 12),
    st.sampled_from(["squash", "crop"]),
    st.none() | st.integers(1, 50),
)
@settings(max_examples=60, deadline=None)
def test_any_size_becomes_the_wanted_one(height: int, width: int, side: int, fit: str, window: int | None) -> None:
    """One colour stays that colour."""
    image = Image.new("RGB", (width, height), (10, 200, 60))
    found = np.asarray(decoding._prepared(image, Preparation(side, fit, window)))  # type: ignore[arg-type]
    assert found.shape == (side, side, 3)
    assert (found == (10, 200, 60)).all()


@pytest.fixture(autouse=True)
def _no_open_files(recwarn: pytest.WarningsRecorder) -> Callable[[], None] | None:
    """Files are closed: Python would warn of one that is not."""
    yield  # type: ignore[misc]
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]
