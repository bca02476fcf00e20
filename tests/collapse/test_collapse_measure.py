"""All measures by name, and the tables."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from made import CLASSIFIER, FEATURES, GROUPED, GROUPS, LABELS, clouds, example, grouped, moments, rotation, simplex

from evenhand.collapse import Classifier, Moments, PredictionBias, RowPass, cautions, class_table, group_table, measure


def everything(features, y, group, classifier, *, classes: int, attributes: int) -> tuple[Moments, dict]:
    found = moments(features, y, group, classes=classes, attributes=attributes)
    rows, bias = RowPass(found, classifier, frame=True), PredictionBias(classes, attributes)
    rows.update(features, y, group)
    logits = torch.as_tensor(features, dtype=torch.float64) @ classifier.weight_CD.T + classifier.bias_C
    bias.update(logits.softmax(1), y, group)
    outside = moments(np.random.default_rng(9).normal(size=(20, features.shape[1])), np.zeros(20, dtype=int))
    return found, {"classifier": classifier, "rows": rows, "bias": bias, "outside": outside}


def test_what_is_given_decides_what_is_measured() -> None:
    found, given = everything(FEATURES, LABELS, LABELS, CLASSIFIER, classes=3, attributes=1)
    alone, all_of_them = measure(found), measure(found, **given)
    assert alone.items() <= all_of_them.items() or math.isnan(alone["d_min"])
    assert {name.partition("_")[0] for name in alone} == {"nc1", "nc2", "d"}
    assert {"nc3_distance", "w_sim", "nc4_mismatch", "nc5_cosine", "bias_gradient"} <= set(all_of_them)
    assert not any(name.startswith("nc1_papyan") for name in measure(moments(FEATURES, LABELS, full=False)))


def test_a_few_values_of_the_examples() -> None:
    found = measure(example(), CLASSIFIER)
    assert found["nc1_papyan_sum"] == pytest.approx(0.287582, abs=1e-6)
    assert found["nc2_structure_weights"] == pytest.approx(0.816497, abs=1e-6)
    assert found["nc3_product"] == pytest.approx(0.140374, abs=1e-6)
    rows = RowPass(grouped())
    rows.update(GROUPED, GROUPS // 2, GROUPS)
    found = measure(grouped(), rows=rows)
    assert found["nc1_distance_sum"] == pytest.approx(2.988625, abs=1e-6)
    assert found["d_min"] == pytest.approx(0.948683, abs=1e-6)
    assert found["nc1_group_variance"] == pytest.approx(1)


def test_collapse_is_0_0_0_1() -> None:
    y = np.arange(60) % 6
    classifier = Classifier.of(simplex(6, 9))
    found, given = everything((5 * simplex(6, 9)[y]).numpy(), y, y, classifier, classes=6, attributes=1)
    values = measure(found, **given)
    other = ("nc2_distance_mean", "nc2_log_distance_mean", "nc3_cosine")
    nothing = [name for name in values if name.startswith(("nc1", "nc2", "nc3")) and not name.startswith(other)]
    assert len(nothing) > 30
    for name in nothing:
        assert values[name] == pytest.approx(0, abs=1e-6 if name.startswith("nc1_distance") else 1e-12), name
    assert values["nc3_cosine"] == pytest.approx(1)
    assert (values["nc4_mismatch"], values["nc4_agreement_without_bias"], values["frame_agreement"]) == (0, 1, 1)


def test_turning_changes_no_scalar_and_no_table() -> None:
    features, y, group = clouds(200, 6, 3, 2)
    weight_CD, turn_DD = np.random.default_rng(1).normal(size=(3, 6)), rotation(6).numpy()
    plain, given = everything(features, y, group, Classifier.of(weight_CD), classes=3, attributes=2)
    del given["outside"]
    turned, turned_given = everything(
        features @ turn_DD, y, group, Classifier.of(weight_CD @ turn_DD), classes=3, attributes=2
    )
    del turned_given["outside"]
    assert measure(turned, **turned_given) == pytest.approx(measure(plain, **given), rel=1e-7, abs=1e-9)
    for table, drop in ((class_table, ()), (group_table, ("bias",))):
        mine = table(plain, **{k: v for k, v in given.items() if k not in drop})
        theirs = table(turned, **{k: v for k, v in turned_given.items() if k not in drop})
        for name in set(mine) - {"variance_norm"}:  # of single dimensions
            assert theirs[name] == pytest.approx(mine[name], rel=1e-7, abs=1e-9), name


def test_tables_have_a_number_for_each_class_and_group() -> None:
    features, y, group = clouds(200, 6, 3, 2)
    found, given = everything(features, y, group, Classifier.of(np.eye(3, 6)), classes=3, attributes=2)
    classes = class_table(found, **given)
    groups = group_table(found, given["classifier"], rows=given["rows"])
    assert {len(column) for column in classes.values()} == {3}
    assert {len(column) for column in groups.values()} == {6}
    assert classes["count"] == np.bincount(y).tolist()
    assert groups["count"] == np.bincount(group).tolist()
    assert groups["variance"][2] == pytest.approx(features[group == 2].var(0).sum())
    assert classes["accuracy"][1] == pytest.approx((features[y == 1, :3].argmax(1) == 1).mean())


@pytest.mark.parametrize(("dimensions", "classes"), [(30, 3), (2, 7), (1, 2)])
@pytest.mark.parametrize("kind", ["one row a group", "no rows in some", "constant", "no rows", "one class"])
def test_nothing_crashes(dimensions: int, classes: int, kind: str) -> None:
    rng = np.random.default_rng(0)
    group = {
        "one row a group": np.arange(2 * classes),
        "no rows in some": np.array([0, 0, 3, 3, 3]),
        "constant": np.arange(2 * classes).repeat(5),
        "no rows": np.empty(0, dtype=int),
        "one class": np.array([0, 1, 0, 1]),
    }[kind]
    features = rng.normal(size=(len(group), dimensions))
    if kind == "constant":
        features[:] = 0.1
    classifier = Classifier.of(rng.normal(size=(classes, dimensions)))
    found, given = everything(features, group // 2, group, classifier, classes=classes, attributes=2)
    values = measure(found, **given)
    assert all(isinstance(value, float) for value in values.values())
    tables = class_table(found, **given), group_table(found, classifier, rows=given["rows"])
    absent = np.bincount(group, minlength=2 * classes) == 0
    for name in ("variance", "feature_norm", "distance", "nearest_accuracy"):
        assert np.isnan(tables[1][name]).tolist() == absent.tolist(), name
    if kind == "constant":
        assert found.everything().spread_KD.abs().max() == 0
        assert math.isnan(values["nc1_papyan"])
    cautions(found)


def test_many_groups_are_not_compared_in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    features, y, group = clouds(50, 3, 2, 2)
    found = moments(features, y, group, attributes=2)
    paired = {name for name in measure(found) if "group_means" in name} | {"nc1_cdnv_groups"}
    monkeypatch.setattr("evenhand.collapse.measures.MOST_PAIRED", 3)
    assert set(measure(found)) & paired == set()
    assert "cdnv" not in group_table(found)


def test_cautions() -> None:
    assert cautions(example()) == []
    found = moments(GROUPED[:5], GROUPS[:5] // 2, GROUPS[:5], attributes=2)
    assert [line.split()[0] for line in cautions(found)] == ["two", "1", "1"]
    assert "no simplex in 1 dimensions" in cautions(moments(np.arange(4.0)[:, None], np.arange(4)))[0]


def test_the_import_needs_torch_only() -> None:
    code = "import sys, evenhand.collapse\nprint([name for name in ('polars', 'scipy', 'sklearn', 'pandas', 'PIL', 'torchvision') if name in sys.modules])"  # fmt: skip  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
