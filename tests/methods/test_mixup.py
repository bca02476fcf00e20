from __future__ import annotations

import pytest
import torch
from torch.distributions import Beta

import tiny
from evenhand.errors import BadInput
from evenhand.methods._base import State
from evenhand.methods.erm import ERM
from evenhand.methods.mixup import Mixup


@pytest.mark.parametrize("alpha", [0.2, 1.0])
@pytest.mark.parametrize("level", ["input", "feature"])
def test_agrees_with_every_row_written_out(alpha: float, level: str) -> None:
    data, model = tiny.split(20, classes=3, dtype=torch.float64), tiny.network(3, dtype=torch.float64)
    batch = tiny.whole(data)
    torch.manual_seed(5)
    loss = Mixup(alpha=alpha, level=level).loss(batch, model, State())
    torch.manual_seed(5)
    order = torch.randperm(20)
    share = float(Beta(*torch.tensor([alpha, alpha], dtype=torch.float64)).sample((1,)))
    assert 0 < share < 1
    total = 0.0
    for i, j in enumerate(order.tolist()):
        if level == "input":
            logits = model((share * batch.x[i] + (1 - share) * batch.x[j])[None])[0]
        else:
            logits = model.classifier(share * model.encoder(batch.x[i]) + (1 - share) * model.encoder(batch.x[j]))
        target = torch.zeros(3, dtype=torch.float64)
        target[batch.y[i]] += share
        target[batch.y[j]] += 1 - share
        assert float(target.sum()) == pytest.approx(1)
        total -= float((target * logits.log_softmax(0)).sum().detach())
    assert loss.item() == pytest.approx(total / 20, abs=1e-12)


def test_alpha_0_is_plain_training_bit_for_bit() -> None:
    batch, model = tiny.whole(tiny.split()), tiny.network()
    loss = Mixup(alpha=0).loss(batch, model, State())
    torch.testing.assert_close(loss, ERM().loss(batch, model, State()), rtol=0, atol=1e-7)


def test_batches_of_images_are_mixed_like_any_others() -> None:
    data, model = tiny.split(shape=(2, 3, 3)), tiny.network(shape=(2, 3, 3))
    losses = tiny.train(Mixup(), model, data, data, State(), epochs=2)
    assert bool(torch.isfinite(losses).all())


def test_every_batch_has_a_share_of_its_own() -> None:
    batch, model = tiny.whole(tiny.split()), tiny.network()
    torch.manual_seed(0)
    assert len({Mixup().loss(batch, model, State()).item() for _ in range(5)}) == 5


def test_a_mixture_of_a_row_with_its_like_is_the_row() -> None:
    """Between equal rows of one class there is nothing to mix."""
    batch, model = tiny.whole(tiny.split()), tiny.network()
    batch = batch._replace(x=batch.x[:1].expand(60, -1), y=batch.y[:1].expand(60))
    torch.testing.assert_close(Mixup().loss(batch, model, State()), ERM().loss(batch, model, State()))


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="alpha of Mixup must be at least 0, got -1"):
        Mixup(alpha=-1)
