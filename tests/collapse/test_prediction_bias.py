"""Who takes the probability that belongs to others."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from evenhand.collapse import PredictionBias
from evenhand.errors import BadInput
from evenhand.methods.efreweight import effective_frequency, prediction_bias

PROBABILITIES = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]], dtype=torch.float64)
LABELS = torch.tensor([0, 0, 1, 1])


def of(probability, y, group=None, attributes: int = 1) -> PredictionBias:
    found = PredictionBias(probability.shape[1], attributes)
    found.update(probability, y, group)
    return found


def test_the_example() -> None:
    found = of(PROBABILITIES, LABELS)
    assert found.own_C().tolist() == pytest.approx([1.5, 1.1])
    assert found.others_C().tolist() == pytest.approx([0.9, 0.5])
    assert found.effective_frequency_C().tolist() == pytest.approx([0.75, 0.55])
    assert found.bias_gradient_C().tolist() == pytest.approx([0.4, -0.4])


def test_it_is_what_effective_frequency_reweighting_trains_with() -> None:
    torch.manual_seed(0)
    probability, y = torch.randn(50, 4, dtype=torch.float64).softmax(1), torch.randint(4, (50,))
    own_C, others_C = prediction_bias(probability, y)
    found = of(probability, y)
    torch.testing.assert_close(found.own_C(), own_C)
    torch.testing.assert_close(found.others_C(), others_C)
    torch.testing.assert_close(found.effective_frequency_C(), effective_frequency(probability, y))


def test_it_is_the_gradient_of_the_bias_and_nothing_when_trained() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(200, 3, dtype=torch.float64), torch.randint(4, (200,))
    layer = nn.Linear(3, 4).double()
    F.cross_entropy(layer(x), y, reduction="sum").backward()
    torch.testing.assert_close(of(layer(x).softmax(1), y).bias_gradient_C(), layer.bias.grad)
    optimizer = torch.optim.LBFGS(
        layer.parameters(), max_iter=200, tolerance_grad=1e-10, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)
    found = of(layer(x).softmax(1), y)
    torch.testing.assert_close(found.own_C() + found.others_C(), torch.bincount(y).double(), atol=1e-5, rtol=0)


def test_rows_of_some_classes_only() -> None:
    found = of(PROBABILITIES, LABELS)
    assert found.others_C(torch.tensor([1])).tolist() == pytest.approx([0.9, 0])
    assert found.others_C(torch.tensor([0, 1])).tolist() == pytest.approx(found.others_C().tolist())


def test_groups_and_shards() -> None:
    group = torch.tensor([0, 1, 2, 2])
    whole = of(PROBABILITIES, LABELS, group, attributes=2)
    assert whole.mass_GC.tolist() == [[0.9, 0.1], [0.6, 0.4], pytest.approx([0.9, 1.1]), [0, 0]]
    assert whole.count_G.tolist() == [1, 1, 2, 0]
    first, second = (of(PROBABILITIES[s], LABELS[s], group[s], attributes=2) for s in (slice(0, 1), slice(1, 4)))
    torch.testing.assert_close(first.merge(second).mass_GC, whole.mass_GC)
    torch.testing.assert_close(whole.own_C(), of(PROBABILITIES, LABELS).own_C())


def test_a_class_without_rows_has_no_effective_frequency() -> None:
    assert of(PROBABILITIES[:2], LABELS[:2]).effective_frequency_C().isnan().tolist() == [False, True]


@pytest.mark.parametrize("wrong", [[[2.0, -1.0]], [[0.5, 0.6]], [[3.0, 1.0]], [[torch.nan, 0.5]]])
def test_logits_are_refused(wrong: list[list[float]]) -> None:
    with pytest.raises(BadInput, match=r"sum to 1, got .* in row 0"):
        of(torch.tensor(wrong), torch.tensor([0]))


def test_shards_of_other_classes_are_refused() -> None:
    with pytest.raises(BadInput, match="same classes"):
        PredictionBias(2).merge(PredictionBias(3))
