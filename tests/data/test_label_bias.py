"""Labels made wrong on purpose, and groups made rare or noisy."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evenhand import data
from evenhand.batch import RowsOf, Split, TensorInputs
from evenhand.data._changes import Changes
from evenhand.data._label_bias import drawn, flipped, generator_of, members, noisy_labels, undersampled
from evenhand.errors import BadInput
from evenhand.inputs.augmentation import augmentation
from evenhand.inputs.images import ImageInputs, MemoryPixels
from evenhand.inputs.noise import LEVELS, NoisyPixels, noisy


def split(counts: list[list[int]]) -> Split:
    """A split with so many rows of each class (outer) and attribute value, in random order."""
    pairs = torch.tensor([(c, a) for c, row in enumerate(counts) for a, n in enumerate(row) for _ in range(n)])
    y, a = pairs[torch.randperm(len(pairs), generator=torch.Generator().manual_seed(1))].T
    found = Split.of(
        torch.arange(len(pairs)).float()[:, None], y, a, n_classes=len(counts), attribute_sizes=[len(counts[0])]
    )
    sexes = ("male", "female", "other")[: len(counts[0])]
    names = {"attribute_names": ("sex",), "attribute_values": (sexes,), "label_name": "eye"}
    return replace(found, class_names=("healthy", "ill", "worse")[: len(counts)], **names)


def flip(whole: Split, share: float, **options: object) -> Split:
    chosen: dict[str, object] = {"of": 1, "to": 0, "among": 1, "mode": "bernoulli"} | options
    return flipped(whole, share, rng=generator_of(0, "flip"), **chosen).split  # type: ignore[arg-type]


WHOLE = split([[50, 40], [30, 400]])


def test_all_positives_of_the_group_are_flipped_and_nothing_else() -> None:
    found = flip(WHOLE, 1.0)
    eligible_N = (WHOLE.y == 1) & (WHOLE.attribute == 1)
    assert torch.equal(found.y, torch.where(eligible_N, 0, WHOLE.y))
    assert found.count_G.tolist() == [50, 440, 30, 0], "a row belongs to the group of the label it has now"
    assert torch.equal(found.attribute, WHOLE.attribute)
    assert torch.equal(flip(WHOLE, 0.0).y, WHOLE.y)


def test_one_draw_for_each_row_that_could_be_flipped_in_their_order() -> None:
    wanted, rng = WHOLE.y.clone(), generator_of(0, "flip")
    draws = torch.rand(400, generator=rng).tolist()
    for row in range(len(WHOLE)):
        if int(WHOLE.y[row]) == 1 and int(WHOLE.attribute[row]) == 1 and draws.pop(0) < 0.25:
            wanted[row] = 0
    assert torch.equal(flip(WHOLE, 0.25).y, wanted)
    assert 70 < int((wanted != WHOLE.y).sum()) < 130


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 1.0])
def test_exactly_is_the_share_itself(share: float) -> None:
    assert int((flip(WHOLE, share, mode="exact").y != WHOLE.y).sum()) == round(share * 400)


@given(st.integers(0, 300), st.floats(0, 1), st.integers(0, 5))
def test_drawn_rows_are_some_of_them_once(n: int, share: float, seed: int) -> None:
    for mode in ("bernoulli", "exact"):
        rows = drawn(n, share, mode, torch.Generator().manual_seed(seed)).tolist()  # type: ignore[arg-type]
        assert rows == sorted(set(rows))
        assert all(0 <= row < n for row in rows)
    assert len(rows) == round(share * n)


def test_groups_have_numbers_and_names() -> None:
    three = split([[5, 6, 7], [8, 9, 10]])
    assert members(three, (0, "other"), "flip_group").sum() == 5 + 8 + 7 + 10
    assert torch.equal(members(three, ("sex=female",), "flip_group"), members(three, 1, "flip_group"))
    several = Split.of(torch.zeros(4, 1), torch.tensor([0, 1, 0, 1]), torch.tensor([[0, 0], [0, 1], [1, 0], [1, -1]]))
    several = replace(several, attribute_names=("a", "b"), attribute_values=(("x", "y"), ("x", "z")))
    assert members(several, 1, "flip_group").tolist() == [False, True, False, False], "of the combination"
    assert members(several, ("y",), "flip_group").tolist() == [False, False, True, False], "not of unknown groups"
    with pytest.raises(BadInput, match="several attributes; say which: a=x, b=x"):
        members(several, ("x",), "flip_group")


def test_wrong_labels_of_symmetric_noise_are_spread_over_all_other_classes() -> None:
    whole = split([[3000, 100], [3000, 100], [3000, 100]])
    found = noisy_labels(whole, 0.4, among=(), mode="bernoulli", rng=generator_of(3, "noise"))
    assert found.eligible == len(whole)
    assert found.count == int((found.split.y != whole.y).sum()) == pytest.approx(0.4 * len(whole), rel=0.05)
    moved = torch.stack((whole.y, found.split.y), 1)[found.split.y != whole.y]
    count_CC = torch.zeros(3, 3).index_put((moved[:, 0], moved[:, 1]), torch.ones(len(moved)), accumulate=True)
    others = count_CC[~torch.eye(3, dtype=torch.bool)]
    assert float(others.min() / others.max()) > 0.85
    some = noisy_labels(whole, 1.0, among=1, mode="exact", rng=generator_of(3, "noise"))
    assert torch.equal(some.split.y != whole.y, whole.attribute == 1)


@pytest.mark.parametrize("share", [0.001, 0.3, 1.0])
def test_undersampling_keeps_the_share_of_each_class(share: float) -> None:
    found = undersampled(WHOLE, share, among=1, rng=generator_of(0, "undersample"))
    assert found.count_G.tolist() == [50, max(1, round(share * 40)), 30, max(1, round(share * 400))]
    rows = found.batch(torch.arange(len(found))).x[:, 0].long()
    assert torch.equal(rows, rows.sort().values)
    assert torch.equal(found.y, WHOLE.y[rows])


def test_noise_on_a_table_is_normal_fixed_and_of_the_group_alone() -> None:
    inputs = TensorInputs(torch.zeros(4000, 5))
    rows = torch.arange(0, 4000, 2)
    found = noisy(inputs, rows, 0.5, 3)
    once = found.take(torch.arange(4000))
    assert torch.equal(once, found.take(torch.arange(4000)))
    assert not once[1::2].any()
    assert float(once[::2].std()) == pytest.approx(0.5, rel=0.03)
    view = noisy(RowsOf(inputs, torch.tensor([7, 8, 9])), torch.tensor([1]), 0.5, 3)
    assert view.take(torch.arange(3)).any(1).tolist() == [False, True, False]
    words = replace(inputs, x=torch.zeros(3, 3, 8, dtype=torch.int64))
    with pytest.raises(BadInput, match="texts"):
        noisy(words, torch.tensor([0]), 0.5, 3)


class Files:
    """Images that are read when they are asked for."""

    slow = True

    def __init__(self, x: torch.Tensor) -> None:
        self.x, self.read = x, 0

    def __len__(self) -> int:
        return len(self.x)

    def gather(self, rows: torch.Tensor) -> torch.Tensor:
        self.read += len(rows)
        return self.x[rows]


def test_noise_on_images_is_the_same_in_memory_and_when_they_are_read() -> None:
    x = torch.full((40, 3, 16, 16), 128, dtype=torch.uint8)
    index, rows, files = torch.arange(5, 35), torch.tensor([0, 3]), Files(x)
    read = noisy(ImageInputs(files, index), rows, 0.2, 9)
    assert files.read == 0, "nothing is read before it is asked for"
    held = noisy(ImageInputs(MemoryPixels(x), index), rows, 0.2, 9)
    one, two = (each.take(torch.arange(30)) for each in (read, held))
    assert torch.equal(one, two)
    assert torch.equal(one[[3]], read.take(torch.tensor([3]))), "whatever else is in the batch"
    assert not torch.equal(one[0], one[3])
    plain = ImageInputs(files, index).take(torch.arange(30))
    changed_N = (one != plain).flatten(1).any(1)
    assert changed_N.nonzero().flatten().tolist() == [0, 3]
    assert float((one - plain)[rows].std()) == pytest.approx(0.2, rel=0.05)
    again = pickle.loads(pickle.dumps(read.pixels))
    assert torch.equal(again.gather(torch.arange(40)), read.pixels.gather(torch.arange(40)))
    assert read.slow
    assert torch.equal(files.x, torch.full_like(x, 128)), "the images themselves stay"


def test_noise_goes_with_the_image_through_augmentation() -> None:
    x = torch.full((2, 3, 12, 12), 128, dtype=torch.uint8)
    inputs = ImageInputs(MemoryPixels(x), augmentation=augmentation("flip", 12))
    found = noisy(inputs, torch.tensor([1]), 0.3, 0)
    plain = found.take(torch.tensor([1]))
    seen = [found.take(torch.tensor([1]), torch.Generator().manual_seed(seed)) for seed in range(8)]
    assert all(torch.equal(each, plain) or torch.equal(each, plain.flip(3)) for each in seen)
    assert any(torch.equal(each, plain.flip(3)) for each in seen)


def test_too_much_noise_stays_in_the_range() -> None:
    x = torch.full((1, 3, 30, 30), 250, dtype=torch.uint8)
    found = NoisyPixels(MemoryPixels(x), torch.tensor([True]), 1.0, 0).gather(torch.tensor([0])).double()
    assert found.max() == 255
    reference = 250 + LEVELS * np.random.default_rng((0, 0)).standard_normal((1, 3, 30, 30), dtype=np.float32)
    assert found.flatten().tolist() == np.clip(np.round(reference), 0, 255).flatten().tolist()


def test_any_data_set_takes_it_tells_and_leaves_the_test_rows_alone() -> None:
    plain = data.load("digits")
    one, same, other, more = (
        data.load("digits", flip="0.25", flip_group="blobs", change_seed=seed, **rest)
        for seed, rest in ((0, {}), (0, {}), (1, {}), (0, {"undersample": 0.5, "feature_noise": 0.1}))
    )
    assert one.options == {"flip": 0.25, "flip_group": ("blobs",), "change_seed": 0}
    for part in ("train", "val"):
        was, now = getattr(plain, part), getattr(one, part)
        changed_N = was.y != now.y
        assert torch.equal(now.y, getattr(same, part).y)
        assert not torch.equal(now.y, getattr(other, part).y)
        assert bool(((was.y == 1) & (was.attribute == 1))[changed_N].all())
        note = next(note for note in one.notes if f"in {part}" in note)
        eligible = int(was.count_G[3])
        assert note == (
            f"wrong on purpose in {part}: {int(changed_N.sum())} of {eligible} labels digit=5-9 of background=blobs "
            "became digit=0-4"
        )
    assert torch.equal(more.val.y, one.val.y), "one kind of change does not move another"
    assert len({each.fingerprint for each in (plain, one, other, more)}) == 4
    assert one.fingerprint == same.fingerprint
    for each in (one, other, more):
        assert torch.equal(each.test.count_G, plain.test.count_G)
        rows = torch.arange(50)
        assert torch.equal(each.test.unseal().batch(rows).x, plain.test.unseal().batch(rows).x)
    assert more.train.count_G[3] == round(0.5 * int(one.train.count_G[3]))


def test_what_changes_nothing_is_the_plain_data() -> None:
    plain = data.load("digits")
    assert data.load("digits", flip=0.0, flip_group="waves", flip_mode="exact").fingerprint == plain.fingerprint
    ratio = {"imbalance_ratio": 4.0}
    assert data.load("digits", **ratio).fingerprint == data.load("digits", **ratio, flip=0.0).fingerprint
    assert repr(Changes(flip=0.5)) == repr(Changes()), "older hashes stay"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": 1.5}, r"flip must lie in \[0, 1\], got 1\.5"),
        ({"flip": 0.5, "flip_to": 1}, "must be different classes"),
        ({"flip": 0.5, "flip_from": 7}, r"flip_from must be a class in 0\.\.1, got 7"),
        ({"flip": 0.5, "flip_to": "0-5"}, "unknown class in flip_to"),
        ({"flip": 0.5, "flip_group": 2}, r"flip_group must lie in 0\.\.1, got 2"),
        ({"flip": 0.5, "flip_group": "blob"}, "unknown value of an attribute in flip_group"),
        ({"flip": 0.5, "flip_mode": "about"}, "flip_mode"),
        ({"label_noise": -0.1}, r"label_noise must lie in \[0, 1\]"),
        ({"undersample": 0}, "undersample must be above 0"),
        ({"feature_noise": -1}, "feature_noise must not be negative"),
    ],
)
def test_bad_input(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.load("digits", **options)


def test_without_attributes_there_is_no_group_to_flip() -> None:
    with pytest.raises(BadInput, match="flip_group needs an attribute"):
        flip(WHOLE.without_groups(), 0.5)
