"""`ImageInputs`: bytes until a batch is asked for, on the CPU and on a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from evenhand.inputs.augmentation import augmentation
from evenhand.inputs.images import ImageInputs, MappedPixels, MemoryPixels

STORED = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (30, 3, 12, 12), dtype=np.uint8))
INDEX = torch.tensor([4, 29, 0, 7, 7, 15])


def mapped(tmp_path: Path) -> MappedPixels:
    (tmp_path / "x").write_bytes(b"head" + STORED.numpy().tobytes())
    return MappedPixels(tmp_path / "x", 4, (30, 3, 12, 12))


def as_floats(stored: Tensor) -> Tensor:
    return stored.double() / 127.5 - 1


def test_rows_are_rows_of_the_split_as_floats(tmp_path: Path) -> None:
    for pixels in (MemoryPixels(STORED), mapped(tmp_path)):
        inputs = ImageInputs(pixels, INDEX)
        assert len(inputs) == 6
        found = inputs.take(torch.tensor([5, 1, 1]))
        assert found.dtype == torch.float32
        assert torch.allclose(found.double(), as_floats(STORED[[15, 29, 29]]), atol=1e-6)
        assert found.min() >= -1
        assert found.max() <= 1
        assert torch.equal(
            ImageInputs(pixels).take(torch.arange(30)), ImageInputs(MemoryPixels(STORED)).take(torch.arange(30))
        )


def test_without_a_generator_the_centre_is_delivered_and_with_one_it_is_augmented() -> None:
    inputs = ImageInputs(MemoryPixels(STORED), INDEX, 8, augmentation("crop+flip", 8))
    rows = torch.arange(6)
    assert torch.allclose(inputs.take(rows).double(), as_floats(STORED[INDEX][..., 2:10, 2:10]), atol=1e-6)
    draws = [inputs.take(rows, Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert draws[0].shape == (6, 3, 8, 8)


def test_fetching_from_memory_is_not_slow_and_from_files_or_to_another_device_it_is(tmp_path: Path) -> None:
    inputs = ImageInputs(mapped(tmp_path), INDEX)
    assert not inputs.slow
    assert ImageInputs(mapped(tmp_path), device=torch.device("meta")).slow
    assert ImageInputs(MemoryPixels(STORED), device=torch.device("meta")).slow
    kept = MemoryPixels(STORED.to("meta"))
    assert not ImageInputs(kept, device=torch.device("meta")).slow


def test_kept_bytes_are_those_of_the_split_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes to a GPU, made on the CPU: carried there in pieces of two images."""
    monkeypatch.setattr("evenhand.inputs.images.CARRIED", 2 * 3 * 12 * 12)
    for inputs in (ImageInputs(mapped(tmp_path), INDEX, 8, augmentation("flip", 8)), ImageInputs(mapped(tmp_path))):
        there = inputs.kept(inputs._copied(torch.Size([3, 12, 12]), torch.device("cpu")))
        rows = torch.tensor([5, 0, 3])
        assert len(there) == len(inputs)
        assert torch.equal(there.take(rows), inputs.take(rows))
        drawn = [of.take(rows, Generator().manual_seed(3)) for of in (there, inputs)]
        assert torch.equal(drawn[0], drawn[1])


def test_inputs_on_the_cpu_stay_where_they_are(tmp_path: Path) -> None:
    pixels = mapped(tmp_path)
    assert ImageInputs(pixels, INDEX).to(torch.device("cpu")).pixels is pixels


@pytest.mark.gpu
@pytest.mark.parametrize("share", [1.0, 0.0])
def test_batches_on_a_gpu_are_those_of_the_cpu(tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    monkeypatch.setattr("evenhand.inputs.images.SHARE", share)
    device = torch.device("cuda")
    inputs = ImageInputs(mapped(tmp_path), INDEX, 8, augmentation("crop+flip", 8))
    there = inputs.to(device)
    assert isinstance(there.pixels, MemoryPixels) == (share > 0)
    assert there.slow == (share == 0)
    rows = torch.tensor([5, 0, 3])
    for asked in (rows, rows.to(device)):
        assert there.take(asked).device.type == "cuda"
        assert torch.allclose(there.take(asked).cpu(), inputs.take(rows), atol=1e-6)
        drawn = [of.take(rows, Generator().manual_seed(3)).cpu() for of in (there, inputs)]
        assert torch.allclose(drawn[0], drawn[1], atol=1e-6)
    assert torch.equal(there.to(device).take(rows), there.take(rows))
