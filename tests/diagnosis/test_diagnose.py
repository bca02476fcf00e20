"""Diagnoses of planted causes, and of odd data."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import tiny
from evenhand.batch import Split
from evenhand.diagnosis import diagnose, markdown, tables
from evenhand.diagnosis.rows import LEADING, gathered
from evenhand.errors import BadInput
from evenhand.model import Model
from planted import CAUSES, planted


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("cause", CAUSES)
def test_a_planted_cause_is_named(cause: str, seed: int) -> None:
    found = diagnose(*planted(cause, seed))
    assert found.verdict.cause == cause
    if cause == "data":
        assert found.verdict.kind == "label noise"
        assert found.groups[found.verdict.group].name.endswith("a0=1")


def test_a_diagnosis_can_be_repeated_stored_and_read() -> None:
    model, train, val = planted("classifier", 2, 1500, 600)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    found = diagnose(model, train, val)
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    record = found.record()
    assert diagnose(model, train, val).record() == record
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["verdict"]["cause"] == found.verdict.cause
    text = markdown(found)
    assert found.verdict.sentence[1:] in text
    assert all(table.title in text for table in tables(found))
    assert all(len(row) == len(table.columns) for table in tables(found) for row in table.rows)


def test_accuracies_are_those_of_the_model() -> None:
    model, train, val = planted("nothing", 3, 800, 400)
    found = diagnose(model, train, val)
    right = model(val.inputs.take(torch.arange(len(val)))).argmax(1) == val.y
    for group in found.groups:
        here = val.group == group.group
        assert group.accuracy == pytest.approx(float(right[here].double().mean()))
        assert (group.val, group.train) == (int(here.sum()), int(train.count_G[group.group]))


def test_classes_alone_are_groups_too() -> None:
    model, train, val = planted("classifier", 0, 800, 400)
    found = diagnose(model, train.without_groups(), val.without_groups())
    assert [group.name for group in found.groups] == ["y=0", "y=1"]
    assert found.attributes == ()


def test_several_classes_and_values_and_an_empty_group() -> None:
    train, val = (tiny.split(400, classes=3, attributes=(2, 2), seed=seed) for seed in (0, 1))
    keep = torch.nonzero(val.group != 5).flatten()
    found = diagnose(tiny.network(3), train, val.subset(keep))
    assert [group.group for group in found.groups] == [g for g in range(12) if g != 5]
    json.dumps(found.record(), allow_nan=False)


def test_rows_of_no_known_group_are_left_out() -> None:
    model, train, val = planted("nothing", 0, 600, 300)
    assert val.attributes is not None
    hidden = Split(val.inputs, val.y, 2, torch.where(torch.arange(300)[:, None] < 100, -1, val.attributes), (2,))
    assert sum(group.val for group in diagnose(model, train, hidden).groups) == 200


def test_large_inputs_are_reduced_and_texts_are_not_compared() -> None:
    images = tiny.split(60, shape=(3, 20, 20))
    model = Model.linear(nn.Flatten(), 1200, 2).eval()
    train, _ = gathered(model, images, images)
    assert train.raw is not None
    assert train.raw.shape == (60, min(LEADING, 60))
    words = Split.of(torch.randint(9, (60, 4)), images.y, images.attributes, n_classes=2, attribute_sizes=(2,))
    reader = Model.linear(nn.Sequential(nn.Embedding(9, 3), nn.Flatten()), 12, 2).eval()
    assert gathered(reader, words, words)[0].raw is None


def test_what_cannot_be_diagnosed_is_refused() -> None:
    model, train, val = planted("nothing", 0, 600, 300)
    with pytest.raises(BadInput, match="fewer than two have validation rows"):
        diagnose(model, train, val.subset(torch.nonzero(val.group == 1).flatten()))
    few = torch.cat([torch.nonzero(val.y == 0).flatten(), torch.nonzero(val.y == 1).flatten()[:3]])
    with pytest.raises(BadInput, match="needs 5 validation rows of each class, got 3 of 1"):
        diagnose(model, train, val.subset(few))
