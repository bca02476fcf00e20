from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.distributions import Beta

import tiny
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.methods._base import State
from evenhand.methods.mixup import Mixup
from evenhand.methods.remix import ReMix


def test_label_shares_of_known_counts() -> None:
    found = []
    for own, other, share in [(100, 10, 0.3), (100, 10, 0.6), (10, 100, 0.7), (10, 100, 0.4), (20, 10, 0.3)]:
        found.append(ReMix().label_shares(share, torch.tensor([own]).double(), torch.tensor([other]).double()))
    tiny.assert_values(torch.cat(found), 0, 0.6, 1, 0.4, 0.3)


def test_the_ratio_itself_counts_as_large_enough() -> None:
    thirty, ten = torch.tensor([30.0]), torch.tensor([10.0])
    assert ReMix().label_shares(0.3, thirty, ten).item() == 0
    assert ReMix().label_shares(0.7, ten, thirty).item() == 1


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 500), st.integers(1, 500), st.floats(0, 1), st.floats(1, 9), st.floats(0, 0.5))
def test_swapping_the_rows_swaps_the_shares(own: int, other: int, share: float, ratio: float, tau: float) -> None:
    assume(abs(share - tau) > 1e-9 and abs(1 - share - tau) > 1e-9)  # 1 - (1 - share) is not quite the share
    method = ReMix(imbalance=ratio, threshold=tau)
    counts = torch.tensor([float(own)]).double(), torch.tensor([float(other)]).double()
    there, back = method.label_shares(share, *counts), method.label_shares(1 - share, *counts[::-1])
    assert float(there + back) == pytest.approx(1) or ratio == 1  # at ratio 1 equal classes give either way


def imbalanced() -> Split:
    data = tiny.split(60, classes=3, dtype=torch.float64)
    return Split.of(data.inputs.x, torch.tensor([0] * 45 + [1] * 12 + [2] * 3))


@pytest.mark.parametrize("options", [{}, {"defer": 0, "beta": 0.9}])
def test_agrees_with_every_row_written_out(options: dict[str, Any]) -> None:
    data, model = imbalanced(), tiny.network(3, dtype=torch.float64)
    batch, method = tiny.whole(data), ReMix(**options)
    torch.manual_seed(1)
    loss = method.loss(batch, model, method.start(data, model))
    torch.manual_seed(1)
    order = torch.randperm(60)
    share = float(Beta(*torch.ones(2).double()).sample((1,)))
    count, total = [45, 12, 3], 0.0
    raw = [(1 - 0.9) / (1 - 0.9**n) for n in count]
    weight = [3 * w / sum(raw) for w in raw] if options else [1.0] * 3
    for i, j in enumerate(order.tolist()):
        a, b = int(batch.y[i]), int(batch.y[j])
        log_prob = model(share * batch.x[i] + (1 - share) * batch.x[j]).log_softmax(0).detach()
        part = share
        if count[a] / count[b] >= 3 and share < 0.5:
            part = 0.0
        elif count[a] / count[b] <= 1 / 3 and 1 - share < 0.5:
            part = 1.0
        total -= float(part * weight[a] * log_prob[a] + (1 - part) * weight[b] * log_prob[b])
    assert loss.item() == pytest.approx(total / 60, abs=1e-12)


def test_threshold_0_is_mixup() -> None:
    data, model = imbalanced(), tiny.network(3, dtype=torch.float64)
    method, batch = ReMix(threshold=0.0), tiny.whole(data)
    for seed in range(4):
        torch.manual_seed(seed)
        loss = method.loss(batch, model, method.start(data, model))
        torch.manual_seed(seed)
        torch.testing.assert_close(loss, Mixup().loss(batch, model, State()))


def test_classes_are_weighted_after_the_deferral() -> None:
    data, model = imbalanced(), tiny.network(3, dtype=torch.float64)
    method = ReMix(defer=2, beta=0.9)
    state = method.start(data, model)
    weights = []
    for _ in range(4):
        weights.append(state.weight_C.tolist())
        method.end_epoch(data, model, state)
    assert weights[0] == weights[1] == [1, 1, 1]
    assert weights[2] == weights[3] == state.balanced_C.tolist() == sorted(weights[2])


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match=r"imbalance of ReMix must be at least 1, got 0\.5"):
        ReMix(imbalance=0.5)
    with pytest.raises(BadInput, match=r"threshold of ReMix must be in \[0, 1\], got 2"):
        ReMix(threshold=2)
    with pytest.raises(BadInput, match="defer of ReMix must be at least 0, got -1"):
        ReMix(defer=-1)
