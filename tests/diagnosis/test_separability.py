"""What features tell of classes and attributes."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import roc_auc_score

import tiny
from evenhand.batch import Split
from evenhand.diagnosis import attributes, separability
from evenhand.diagnosis.rows import Rows
from evenhand.diagnosis.separability import Within


def rows(split: Split) -> Rows:
    x = split.inputs.take(torch.arange(len(split))).flatten(1)
    return Rows(split, x, torch.ones(len(split), dtype=torch.bool), x)


def two_normals(apart: float, n_rows: int = 20000, wrong: float = 0.0, seed: int = 0) -> Within:
    """Two classes on a line, judged at the best border; a share of the labels of both is exchanged."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (n_rows,), generator=rng)
    score = torch.randn(n_rows, generator=rng) + apart * (y - 0.5)
    flipped = torch.rand(n_rows, generator=rng) < wrong
    return Within(torch.stack([-score, score], 1), torch.where(flipped, 1 - y, y))


@pytest.mark.parametrize("apart", [0.5, 1.0, 2.0, 3.0])
def test_errors_of_overlapping_normals_are_as_deep_as_expected(apart: float) -> None:
    made = two_normals(apart)
    auc = separability.auc_within(made, 0).value
    wanted = separability.depth_of_overlap(auc)
    assert separability.depth_of_errors(made, 0).value == pytest.approx(wanted, abs=0.02)


def test_depth_of_overlap_falls_from_a_half() -> None:
    depths = [separability.depth_of_overlap(auc) for auc in (0.4, 0.5, 0.6, 0.76, 0.92, 0.999)]
    assert depths[0] == pytest.approx(0.5, abs=1e-6) == depths[1]
    assert depths == sorted(depths, reverse=True)
    assert depths[3:5] == pytest.approx([0.34, 0.20], abs=0.005)


def test_wrong_labels_lie_deep() -> None:
    found = separability.excess_depth(two_normals(3.0, wrong=0.25), 1)
    assert found.low > 0.05
    assert found.value == pytest.approx(0.09, abs=0.02)


def test_depth_by_counting_pairs() -> None:
    made = two_normals(1.0, 120)
    score, guess = made.logits[:, 1], made.logits.argmax(1)
    wrong = [abs(float(s)) for s, y, g in zip(score, made.y, guess, strict=True) if y == 0 and g == 1]
    right = [abs(float(s)) for s, y, g in zip(score, made.y, guess, strict=True) if y == 1 and g == 1]
    pairs = [(w > r) + (w == r) / 2 for w in wrong for r in right]
    assert separability.depth_of_errors(made, 0).value == pytest.approx(sum(pairs) / len(pairs))


def test_few_errors_say_nothing() -> None:
    found = separability.depth_of_errors(two_normals(8.0, 100), 0)
    assert math.isnan(found.value)
    assert found.low == -math.inf


def test_told_apart_is_the_auc_among_rows_of_one_attribute() -> None:
    split = tiny.split(400)
    logits = torch.randn(400, 2, generator=torch.Generator().manual_seed(1)) + split.y[:, None] * torch.tensor([0, 0.8])
    found = separability.told_apart(logits, rows(split))
    for a in range(2):
        here = split.attribute == a
        wanted = roc_auc_score(split.y[here], (logits[:, 1] - logits[:, 0])[here])
        assert found[a].item() == pytest.approx(wanted) == found[2 + a].item()


def test_a_group_is_less_separated_than_its_class_elsewhere() -> None:
    split = tiny.split(800)
    strength = torch.where(split.attribute == 0, 3.0, 0.0)
    score = strength * (split.y - 0.5) + torch.randn(800, generator=torch.Generator().manual_seed(0))
    logits = torch.stack([-score, score], 1)
    assert separability.less_separated(logits, rows(split), 3).low > 0.3
    assert separability.less_separated(logits, rows(split), 2).high < -0.3
    alone = rows(split.without_groups())
    assert math.isnan(separability.less_separated(logits, alone, 1).value)


def test_neighbours_weigh_groups_alike_and_contradict_wrong_labels() -> None:
    x = torch.tensor([[1.0, 0.0]] * 60 + [[0.0, 1.0]] * 60)
    train = rows(Split.of(x, torch.tensor([0] * 60 + [1] * 60), torch.tensor([0, 1] * 60)))
    val = rows(Split.of(x[::12], torch.tensor([0] * 4 + [1] * 6), torch.zeros(10), n_classes=2, attribute_sizes=(2,)))
    found = separability.means(train, val, train.split.count_G)
    torch.testing.assert_close(found.agreement[::2], torch.tensor([1.0, 5 / 6], dtype=torch.float64))
    torch.testing.assert_close(found.suspect[::2], torch.tensor([0.0, 1 / 6], dtype=torch.float64))
    assert found.suspect[1].isnan()
    assert found.majority == pytest.approx(0.0, abs=1e-6)


def test_an_attribute_that_is_a_feature_is_told_always_and_a_random_one_never() -> None:
    rng = torch.Generator().manual_seed(0)
    values = torch.randint(2, (2000, 2), generator=rng)
    x = torch.randn(2000, 5, generator=rng)
    x[:, 0] = values[:, 0].float()
    split = Split.of(x, torch.randint(2, (2000,), generator=rng), values)
    both = rows(split.subset(torch.arange(1000))), rows(split.subset(torch.arange(1000, 2000)))
    told, untold = [probe for probe in attributes.attribute_probes(*both) if probe.source == "features"]
    assert told.auc == told.low == told.high == 1.0
    assert untold.low < 0.5 < untold.high
    assert [probe.attribute for probe in (told, untold)] == ["a0", "a1"]


def test_of_three_values_each_is_told_from_the_others() -> None:
    split = tiny.split(600, attributes=(3,))
    found = attributes.attribute_probes(rows(split), rows(split))
    assert [(probe.value, probe.source) for probe in found] == [
        (str(value), source) for source in ("features", "inputs") for value in range(3)
    ]
    assert attributes.attribute_probes(rows(split.without_groups()), rows(split.without_groups())) == []
