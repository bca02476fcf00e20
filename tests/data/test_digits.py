from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Generator, Tensor

from evenhand import data, encoders
from evenhand.batch import Split
from evenhand.data.digits import Composites, Digits, handwritten
from evenhand.errors import BadInput
from evenhand.model import Model
from evenhand.sampling import balancing_weights, in_batches, shuffled, weighted


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


def accuracy(model: Model, split: Split) -> tuple[float, float]:
    """Worst group and average."""
    with torch.no_grad(), model.evaluating():
        rows = torch.arange(len(split)).split(512)
        correct = torch.cat([model(split.inputs.take(r)).argmax(1) for r in rows]).eq(split.y).double()
    hits_G = torch.bincount(split.group, weights=correct, minlength=split.n_groups)
    return float((hits_G / split.count_G).min()), float(correct.mean())


def trained(loaded: data.Data, method: str) -> tuple[float, float]:
    """Worst group and average on test, in the epoch with the best worst group on val."""
    torch.manual_seed(0)
    rng, train, test = Generator().manual_seed(0), loaded.train, loaded.test.unseal()
    model = encoders.build("small_cnn", (3, 32, 32), 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    q_G = torch.full((4,), 0.25)
    weight_N = balancing_weights(train.group, train.count_G)
    best = (-1.0, (0.0, 0.0))
    for _ in range(6):
        order = weighted(weight_N, len(train), rng) if method == "rwg" else shuffled(len(train), rng)
        for rows in in_batches(order, 128):
            loss_B = F.cross_entropy(model(train.inputs.take(rows)), train.y[rows], reduction="none")
            loss, q_G = group_dro(loss_B, train.group[rows], q_G) if method == "groupdro" else (loss_B.mean(), q_G)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        best = max(best, (accuracy(model, loaded.val)[0], accuracy(model, test)))
    return best[1]


def group_dro(loss_B: Tensor, group_B: Tensor, q_G: Tensor) -> tuple[Tensor, Tensor]:
    one_hot_BG = F.one_hot(group_B, 4).to(loss_B.dtype)
    loss_G = (loss_B @ one_hot_BG) / one_hot_BG.sum(0).clamp(min=1)
    q_G = q_G * (0.01 * loss_G.detach()).exp()
    q_G = q_G / q_G.sum()
    return q_G @ loss_G, q_G


@pytest.mark.slow
def test_plain_training_fails_the_minority_and_group_methods_help(loaded: data.Data) -> None:
    worst, average = trained(loaded, "erm")
    assert average - worst >= 0.20
    assert trained(loaded, "rwg")[0] >= worst + 0.10
    assert trained(loaded, "groupdro")[0] >= worst + 0.10
