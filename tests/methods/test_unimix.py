from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Beta

import tiny
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.methods._mixing import drawn_by_weight
from evenhand.methods.erm import ERM
from evenhand.methods.unimix import UniMix, rarer_share

COUNTS = (45, 12, 3)


def imbalanced() -> Split:
    data = tiny.split(60, classes=3, dtype=torch.float64)
    return Split.of(data.inputs.x, torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS)))


def test_shares_of_known_counts() -> None:
    own, other = torch.tensor([100.0, 10.0, 100.0]).double(), torch.tensor([10.0, 100.0, 100.0]).double()
    tiny.assert_values(
        rarer_share(own, other, torch.tensor([0.3, 0.3, 0.6], dtype=torch.float64)), 0.390909, 0.209091, 0.1
    )


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1), st.integers(1, 1000))
def test_between_equal_classes_the_share_is_the_draw_moved_by_a_half(draw: float, count: int) -> None:
    counts = torch.tensor([float(count)]).double()
    found = float(rarer_share(counts, counts, torch.tensor([draw], dtype=torch.float64)))
    assert found == pytest.approx(draw + 0.5 if draw <= 0.5 else draw - 0.5)


def test_partners_are_drawn_by_a_power_of_their_classes_counts() -> None:
    count = torch.tensor([100.0, 100.0, 100.0, 10.0]).double()
    weight = count**-0.5
    tiny.assert_values(weight / weight.sum(), 0.162278, 0.162278, 0.162278, 0.513167)
    torch.manual_seed(0)
    drawn = torch.bincount(torch.cat([drawn_by_weight(weight) for _ in range(2000)])) / 8000
    torch.testing.assert_close(drawn.double(), weight / weight.sum(), atol=0.03, rtol=0)


def test_shift_for_classes_that_are_equally_frequent_when_predicted() -> None:
    data = Split.of(torch.zeros(110, tiny.FEATURES).double(), (torch.arange(110) >= 100).long())
    state = UniMix().start(data, tiny.network(dtype=torch.float64))
    tiny.assert_values(state.shift_C, 0.597837, -1.704748)


@pytest.mark.parametrize("prior_shift", [True, False])
def test_agrees_with_every_row_written_out(prior_shift: bool) -> None:
    data, model = imbalanced(), tiny.network(3, dtype=torch.float64)
    method, batch = UniMix(prior_shift=prior_shift), tiny.whole(data)
    torch.manual_seed(2)
    loss = method.loss(batch, model, method.start(data, model))
    torch.manual_seed(2)
    weight = torch.tensor([COUNTS[y] ** -0.5 for y in batch.y], dtype=torch.float64)
    uniform = torch.rand(60).double()
    draws = Beta(*torch.tensor([0.8, 0.8], dtype=torch.float64)).sample((60,))
    ends, total = weight.cumsum(0), 0.0
    for i in range(60):
        j = next(k for k in range(60) if ends[k] > uniform[i] * ends[-1])
        a, b = int(batch.y[i]), int(batch.y[j])
        share = COUNTS[b] / (COUNTS[a] + COUNTS[b]) + float(draws[i])
        share -= share > 1
        logits = model(share * batch.x[i] + (1 - share) * batch.x[j])
        if prior_shift:
            logits = logits + torch.tensor([math.log(n / 60) + math.log(3) for n in COUNTS], dtype=torch.float64)
        log_prob = logits.log_softmax(0).detach()
        total -= float(share * log_prob[a] + (1 - share) * log_prob[b])
    assert loss.item() == pytest.approx(total / 60, abs=1e-12)


def test_after_the_epochs_that_mix_it_is_plain_training() -> None:
    data, model = imbalanced(), tiny.network(3, dtype=torch.float64)
    method, batch = UniMix(mix_epochs=1, prior_shift=False), tiny.whole(data)
    state = method.start(data, model)
    plain = ERM().loss(batch, model, state)
    assert abs((method.loss(batch, model, state) - plain).item()) > 1e-6
    method.end_epoch(data, model, state)
    torch.testing.assert_close(method.loss(batch, model, state), plain)


def test_power_0_and_alpha_1_draw_partners_and_shares_uniformly_between_equal_classes() -> None:
    torch.manual_seed(0)
    shares = rarer_share(torch.ones(20_000), torch.ones(20_000), torch.rand(20_000))
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(shares.var()) == pytest.approx(1 / 12, abs=0.003)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="alpha of UniMix must be above 0, got 0"):
        UniMix(alpha=0)
    with pytest.raises(BadInput, match="mix_epochs of UniMix must be at least 0, got -1"):
        UniMix(mix_epochs=-1)
