from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from evenhand import data, encoders
from evenhand.data.digits import Composites, Digits, handwritten
from evenhand.errors import BadInput


@pytest.fixture(scope="module")
def loaded() -> data.Data:
    return data.load("digits")


@pytest.fixture(scope="module")
def parts() -> dict[str, Composites]:
    return {part: Digits().composites(part) for part in ("train", "val", "test")}


def test_background_goes_with_the_class_in_train_only(loaded: data.Data) -> None:
    train = loaded.train.count_G
    assert float(train[0] + train[3]) / len(loaded.train) == pytest.approx(0.95, abs=0.01)
    for count_G in (loaded.val.count_G, loaded.test.count_G):
        assert count_G[0] == count_G[1]
        assert count_G[2] == count_G[3]


def test_no_digit_in_two_parts_and_ten_of_each_in_train(parts: dict[str, Composites]) -> None:
    sources = [set(drawn.source.tolist()) for drawn in parts.values()]
    assert len(set.union(*sources)) == sum(map(len, sources)) == 1797
    assert set(np.bincount(parts["train"].source).tolist()) == {0, 10}


def test_labels_follow_the_digit(parts: dict[str, Composites], loaded: data.Data) -> None:
    drawn = parts["train"]
    assert (drawn.y == (drawn.digit > 4)).all()
    assert loaded.train.y.tolist() == drawn.y.tolist()
    assert loaded.train.attribute.tolist() == drawn.background.tolist()
    assert loaded.train.group_name(2) == "digit=5-9, background=waves"


def test_colours_say_nothing_of_the_background(parts: dict[str, Composites]) -> None:
    drawn = parts["train"]
    waves, blobs = (drawn.image[drawn.background == value] for value in (0, 1))
    assert np.abs(waves.mean((0, 2, 3)) - blobs.mean((0, 2, 3))).max() < 3
    assert np.abs(waves.std((0, 2, 3)) - blobs.std((0, 2, 3))).max() < 3


def test_mask_is_where_the_ink_is(parts: dict[str, Composites]) -> None:
    drawn = parts["val"]
    inked = drawn.mask > 250
    assert drawn.image.min(axis=1)[inked].min() >= 195
    assert 0.05 < inked.mean() < 0.4
    assert np.array_equal(Digits().masks("val"), drawn.mask)


def test_digits_are_those_of_scikit_learn() -> None:
    bunch = load_digits()
    images, target = handwritten()
    assert np.array_equal(images * 16, bunch.images)
    assert np.array_equal(target, bunch.target)


def test_same_seed_same_images(loaded: data.Data, parts: dict[str, Composites]) -> None:
    assert np.array_equal(Digits().composites("test").image, parts["test"].image)
    assert data.load("digits").fingerprint == loaded.fingerprint != data.load("digits", seed=1).fingerprint


def test_rows_come_as_floats_around_zero(loaded: data.Data) -> None:
    x = loaded.train.inputs.take(torch.tensor([3, 5]))
    assert x.shape == (2, 3, 32, 32)
    assert x.dtype == torch.float32
    assert x.min() >= -1
    assert x.max() <= 1


def test_recommended_encoder_takes_the_images(loaded: data.Data) -> None:
    model = encoders.build(loaded.recommended["encoder"], (3, 32, 32), 2)
    assert model(loaded.train.inputs.take(torch.arange(4))).shape == (4, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"correlation": 0.4}, r"correlation must lie in \[0.5, 1\], got 0.4"),
        ({"copies": 0}, "copies must be at least 1"),
        ({"seed": -1}, "seed not negative"),
        ({"colour": 1}, "unknown option of the data set digits 'colour'"),
    ],
)
def test_wrong_option(options: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.load("digits", **options)


def test_unknown_part() -> None:
    with pytest.raises(BadInput, match="part must be one of train, val, test, got 'dev'"):
        Digits().masks("dev")


# What the demo is for: plain training fails on the minority groups, balancing and GroupDRO help.
