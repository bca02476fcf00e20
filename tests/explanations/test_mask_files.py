"""Masks in files that are named as the images of a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evenhand import data
from evenhand.errors import BadInput
from evenhand.explanations import masks


def write(path: Path, value: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(value.astype(np.uint8)).save(path)


def test_masks_are_found_by_the_names_of_the_images_and_cut_as_they_were(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, n_rows in (("train", 4), ("val", 3), ("test", 2)):
        for k in range(n_rows):
            for name in ("cat", "dog"):
                # The object is a bright bar of its own height in each image, which is twice as wide as high.
                image = rng.integers(0, 60, (32, 64, 3))
                height = 4 * (k + 1 + 2 * (name == "dog"))
                image[:height] += 180
                write(tmp_path / "set" / part / name / f"{part}-{k}.png", image)
                mask = np.zeros((32, 64))
                mask[:height] = 255
                if (name, k) != ("dog", 2):
                    write(tmp_path / "masks" / part / name / f"{part}-{k}_segmentation.png", mask)
    options = {"size": 16, "fit": "crop"}
    chosen = data.load(str(tmp_path / "set"), **options)
    data_set = masks.opened(str(tmp_path / "set"), options)
    found = masks.of_folder(tmp_path / "masks", data_set, None, chosen.val, (16, 16))
    rows = list(range(len(chosen.val)))
    masks_BHW, known_B = found(rows)
    assert known_B.sum() == 5
    import torch

    x_BHW = chosen.val.inputs.take(torch.tensor(rows)).numpy().mean(axis=1)
    np.testing.assert_array_equal(masks_BHW[known_B], x_BHW[known_B] > 0)
    assert masks.of_data(data_set, "val", chosen.val) is None


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    digits = data.load("digits", copies=1)
    with pytest.raises(BadInput, match="holds no pictures"):
        masks.of_folder(tmp_path, masks.opened("digits", {}), None, digits.val, (32, 32))
    with pytest.raises(BadInput, match="must be a folder"):
        masks.of_folder(tmp_path / "x", masks.opened("digits", {}), None, digits.val, (32, 32))
