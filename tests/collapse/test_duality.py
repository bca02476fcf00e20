"""NC3: weights against class means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made import CLASSIFIER, clouds, example, moments, rotation, simplex, unbalanced
from torch import nn

from evenhand.collapse import Classifier, duality
from evenhand.errors import BadInput


def test_the_running_example() -> None:
    assert duality.distance(example(), CLASSIFIER) == pytest.approx(0.578662, abs=1e-6)
    assert duality.distance(unbalanced(), CLASSIFIER, centre="rows") == pytest.approx(0.608506, abs=1e-6)
    assert duality.product_error(example(), CLASSIFIER) == pytest.approx(0.140374, abs=1e-6)
    assert duality.logit_variance(example(), CLASSIFIER) == pytest.approx(0.148148, abs=1e-6)
    assert duality.bias_relation(example(), CLASSIFIER) == pytest.approx(3.018462, abs=1e-6)


def test_weights_that_are_the_means() -> None:
    y = np.arange(30) % 5
    frame_CD = simplex(5, 8)
    found, own = moments(2 * frame_CD[y] + 3, y), Classifier.of(0.7 * frame_CD)
    assert duality.distance(found, own) == pytest.approx(0, abs=1e-12)
    assert duality.product_error(found, own) == pytest.approx(0, abs=1e-12)
    assert duality.logit_variance(found, own) == pytest.approx(0, abs=1e-12)
    assert duality.cosine(found, own).tolist() == pytest.approx([1] * 5)
    assert duality.cosine(found, Classifier.of(-frame_CD)).tolist() == pytest.approx([-1] * 5)
    assert duality.distance(found, Classifier.of(-frame_CD)) == pytest.approx(4)


@pytest.mark.parametrize("measure", [duality.distance, duality.product_error])
def test_turning_scaling_moving_and_renaming_change_nothing(measure) -> None:
    features, y, _ = clouds(200, 6, 4)
    weight_CD = np.random.default_rng(5).normal(size=(4, 6))
    plain = measure(moments(features, y), Classifier.of(weight_CD))
    turn_DD, order = rotation(6).numpy(), np.array([2, 0, 3, 1])
    turned = measure(moments(3 * features @ turn_DD + 9, y), Classifier.of(5 * weight_CD @ turn_DD))
    renamed = measure(moments(features, np.argsort(order)[y]), Classifier.of(weight_CD[order]))
    absent = measure(moments(features, y, classes=5), Classifier.of(np.vstack([weight_CD, np.ones(6)])))
    assert [turned, renamed, absent] == pytest.approx([plain] * 3, rel=1e-9)


def test_bias_that_takes_the_mean_away() -> None:
    features, y, _ = clouds(200, 6, 4)
    weight_CD = np.random.default_rng(5).normal(size=(4, 6))
    found = moments(features, y)
    assert duality.bias_relation(found, Classifier.of(weight_CD, -weight_CD @ features.mean(0))) < 1e-9


def test_group_means_and_the_weights_of_their_class() -> None:
    features = torch.tensor([[2.0, 0], [0, 3], [1, 1]])
    found = moments(features, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2]), attributes=2)
    cosine_G = duality.weight_cosine(found, Classifier.of(torch.tensor([[1.0, 0], [1, 1]])))
    np.testing.assert_allclose(cosine_G, [1, 0, 1, np.nan], atol=1e-12)


def test_a_layer_is_a_classifier() -> None:
    layer = nn.Linear(3, 2)
    classifier = Classifier.of(layer)
    x = torch.randn(4, 3)
    torch.testing.assert_close(x.double() @ classifier.weight_CD.T + classifier.bias_C, layer(x).double())
    assert Classifier.of(nn.Linear(3, 2, bias=False)).bias_C.tolist() == [0, 0]
    assert Classifier.of(classifier) is classifier


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(BadInput, match=r"shape \[3, 3\], got \[2, 3\]"):
        duality.distance(example(), Classifier.of(torch.ones(2, 3)))
    with pytest.raises(BadInput, match=r"bias must have shape \[2\], got \[3\]"):
        Classifier.of(torch.ones(2, 3), torch.ones(3))
    with pytest.raises(BadInput, match=r"\[C, D\]"):
        Classifier.of(torch.ones(3))
