from __future__ import annotations

import pytest
import torch
from torch.distributions import Beta

import tiny
from evenhand.errors import BadInput
from evenhand.methods._base import State
from evenhand.methods.cutmix import CutMix
from evenhand.methods.erm import ERM

SHAPE = (2, 6, 8)


def test_agrees_with_every_row_written_out() -> None:
    data = tiny.split(20, shape=SHAPE, classes=3, dtype=torch.float64)
    model, batch = tiny.network(3, shape=SHAPE, dtype=torch.float64), tiny.whole(data)
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        loss = CutMix(probability=1.0).loss(batch, model, State())
        torch.manual_seed(seed)
        torch.rand(())
        wanted = float(Beta(*torch.ones(2).double()).sample((1,)))
        order = torch.randperm(20)
        row, column = int(torch.randint(6, ())), int(torch.randint(8, ()))
        side = (1 - wanted) ** 0.5
        high, wide = int(6 * side) // 2, int(8 * side) // 2
        mask = torch.zeros(6, 8, dtype=torch.bool)
        for r in range(6):
            for c in range(8):
                mask[r, c] = row - high <= r < row + high and column - wide <= c < column + wide
        share, total = 1 - float(mask.double().mean()), 0.0
        for i, j in enumerate(order.tolist()):
            log_prob = model(torch.where(mask, batch.x[j], batch.x[i])[None])[0].log_softmax(0).detach()
            total -= float(share * log_prob[batch.y[i]] + (1 - share) * log_prob[batch.y[j]])
        assert loss.item() == pytest.approx(total / 20, abs=1e-12)
        seen.add(share)
    assert len(seen) > 5


@pytest.mark.parametrize("options", [{"alpha": 0.0, "probability": 1.0}, {"probability": 0.0}])
def test_nothing_pasted_is_plain_training(options: dict[str, float]) -> None:
    batch, model = tiny.whole(tiny.split(shape=SHAPE)), tiny.network(shape=SHAPE)
    for seed in range(5):
        torch.manual_seed(seed)
        loss = CutMix(**options).loss(batch, model, State())
        torch.testing.assert_close(loss, ERM().loss(batch, model, State()), rtol=0, atol=1e-7)


def test_as_many_batches_are_mixed_as_the_probability_says() -> None:
    batch, model = tiny.whole(tiny.split(shape=SHAPE)), tiny.network(shape=SHAPE)
    plain = ERM().loss(batch, model, State()).item()
    torch.manual_seed(0)
    mixed = [abs(CutMix(probability=0.3).loss(batch, model, State()).item() - plain) > 1e-6 for _ in range(400)]
    # Some boxes are empty: a mixed batch then is plain.
    torch.manual_seed(0)
    always = [abs(CutMix(probability=1.0).loss(batch, model, State()).item() - plain) > 1e-6 for _ in range(400)]
    assert sum(mixed) / sum(always) == pytest.approx(0.3, abs=0.08)


def test_the_batch_itself_is_left_as_it_was() -> None:
    batch, model = tiny.whole(tiny.split(shape=SHAPE)), tiny.network(shape=SHAPE)
    before = batch.x.clone()
    CutMix(probability=1.0).loss(batch, model, State())
    assert torch.equal(batch.x, before)


@pytest.mark.parametrize("shape", [(5,), (3, 5)])
@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_inputs_that_are_no_images_are_refused(shape: tuple[int, ...], probability: float) -> None:
    batch, model = tiny.whole(tiny.split(shape=shape)), tiny.network(shape=shape)
    with pytest.raises(BadInput, match=r"CutMix takes images \(B, channels, height, width\), got inputs of shape"):
        CutMix(probability=probability).loss(batch, model, State())


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="alpha of CutMix must be at least 0, got -1"):
        CutMix(alpha=-1)
    with pytest.raises(BadInput, match=r"probability of CutMix must be in \[0, 1\], got 2"):
        CutMix(probability=2)
