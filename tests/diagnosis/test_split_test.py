"""SPLIT on test rows: features that hold the attribute, features that do not, and a network that stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from evenhand import data, features
from evenhand.diagnosis.split_test import _mean_over_values, split_test, told_by
from evenhand.errors import BadInput
from evenhand.execute import execute
from evenhand.metrics import auc
from evenhand.plan import Plan
from table import write_table


def rows(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    value = torch.randint(2, (n,), generator=rng)
    return torch.randn(n, 6, generator=rng), value


def area(train: tuple[torch.Tensor, torch.Tensor], test: tuple[torch.Tensor, torch.Tensor]) -> float:
    return auc(told_by(*train, test[0], 2)[:, 1].double().numpy(), test[1].numpy())


def test_features_that_hold_the_attribute_tell_it_and_others_do_not() -> None:
    train, test = rows(600, 0), rows(600, 1)
    assert area(train, test) == pytest.approx(0.5, abs=0.07)
    held = [(torch.cat((x, value[:, None].float()), 1), value) for x, value in (train, test)]
    assert area(held[0], held[1]) == 1.0


def test_as_well_as_logistic_regression_does() -> None:
    (x, value), (test_x, test_value) = rows(800, 2), rows(800, 3)
    x, test_x = x + 0.5 * value[:, None], test_x + 0.5 * test_value[:, None]
    other = LogisticRegression(class_weight="balanced").fit(x, value).decision_function(test_x)
    assert area((x, value), (test_x, test_value)) == pytest.approx(roc_auc_score(test_value, other), abs=0.005)


def test_rows_of_unknown_value_do_not_count() -> None:
    (x, value), test = rows(300, 4), rows(200, 5)
    more = torch.cat((x, 100 * torch.ones(50, 6))), torch.cat((value, torch.full((50,), -1)))
    assert torch.equal(told_by(x, value, test[0], 2), told_by(*more, test[0], 2))


def test_of_several_values_the_mean_over_them() -> None:
    score = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.5]])
    found = _mean_over_values(score, torch.tensor([0, 1, 2, -1]))
    assert found.value == pytest.approx((1 + 0.5 + 0.75) / 3)


def test_a_run_is_tested_on_its_test_rows_and_stays_as_it_is(tmp_path: Path) -> None:
    toml = write_table(tmp_path)
    chosen = data.load(str(toml))
    run = execute(chosen, Plan("erm", settings={"epochs": 1}), tmp_path / "runs")
    before = (run.folder / "model.safetensors").read_bytes()
    found = split_test(run, chosen)
    model = features.load_model(run, chosen)
    train, test = (features.encoded(model, chosen, part) for part in ("train", "test"))
    of_train, of_test = chosen.train.attributes, chosen.test.unseal().attributes
    assert of_train is not None
    assert of_test is not None
    score = told_by(train.features, of_train[:, 0], test.features, 2)[:, 1]
    assert found.value == pytest.approx(roc_auc_score(of_test[:, 0], score))
    assert found.low <= found.value <= found.high
    assert found == split_test(run, chosen), "the same each time"
    assert (run.folder / "model.safetensors").read_bytes() == before
    with pytest.raises(BadInput, match="no attribute 1"):
        split_test(run, chosen, column=1)


def test_batch_statistics_do_not_move() -> None:
    digits = data.load("digits", copies=1)
    encoder = features.encoder_of(digits, "resnet10_small", "none")
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items() if "running" in name}
    encoder.train()
    features.encoded(encoder, digits, "val", most=64, device="cpu")
    after = encoder.state_dict()
    assert before
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert encoder.training


def test_the_attribute_in_the_place_of_the_label(tmp_path: Path) -> None:
    toml = write_table(tmp_path)
    plain, chosen = data.load(str(toml)), data.load(str(toml), predict_attribute="sex")
    assert plain.train.attributes is not None
    assert torch.equal(chosen.train.y, plain.train.attributes[:, 0])
    assert (chosen.train.label_name, chosen.train.class_names) == ("sex", plain.train.attribute_values[0])
    assert not chosen.train.has_attributes
    assert len(chosen.test) == len(plain.test)
    assert int(chosen.test.count_G.sum()) == len(plain.test)
    assert chosen.fingerprint != plain.fingerprint
    assert data.load(str(toml), predict_attribute=0).train.class_names == chosen.train.class_names
    for wrong, message in ((1, r"must lie in 0\.\.0"), ("age", "unknown attribute in predict_attribute")):
        with pytest.raises(BadInput, match=message):
            data.load(str(toml), predict_attribute=wrong)
