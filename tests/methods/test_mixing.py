"""What the mixing methods share: pairs, draws, boxes, and what the training history makes of mixtures."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor, nn

import tiny
from evenhand import methods
from evenhand.batch import Split, TensorInputs
from evenhand.errors import BadInput
from evenhand.methods._mixing import (
    Decks,
    Pairs,
    at_features,
    balanced_batches,
    beta_draws,
    box,
    drawn_by_weight,
    mixed_logits,
    partners,
    share,
    shares,
    with_box,
)
from evenhand.model import Model
from evenhand.settings import Settings
from evenhand.train import fit

MIXING = ["mixup", "remix", "fairmix", "obmix", "unimix", "lisa", "gbmix"]  # cutmix takes no tokens


# --- pairs ---


def test_mixed_cross_entropy_of_known_logits() -> None:
    logits = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    pairs = Pairs(torch.tensor([0]), torch.tensor([1]), 0.75)
    tiny.assert_values(pairs.losses(logits, torch.tensor([0, 1])), 0.801445)


@pytest.mark.parametrize("first", [None, torch.tensor([3, 0, 0, 1, 2])])
@pytest.mark.parametrize("one_share", [True, False])
def test_mixtures_and_losses_agree_with_sums_written_out(first: Tensor | None, one_share: bool) -> None:
    torch.manual_seed(0)
    x, logits, y = torch.randn(5, 2, 3, 3).double(), torch.randn(5, 4).double(), torch.tensor([0, 1, 2, 3, 1])
    second, weight = torch.tensor([4, 4, 1, 0, 2]), torch.tensor([1.0, 2.0, 0.5, 3.0]).double()
    given = 0.3 if one_share else torch.tensor([0.0, 1.0, 0.5, 0.2, 0.9])
    pairs = Pairs(first, second, given)
    mixed, plain, weighted = pairs.mix(x), pairs.losses(logits, y), pairs.losses(logits, y, weight)
    for m in range(5):
        i, j = m if first is None else int(first[m]), int(second[m])
        part = given if isinstance(given, float) else float(given[m])
        log_prob = logits[m] - logits[m].exp().sum().log()
        torch.testing.assert_close(mixed[m], part * x[i] + (1 - part) * x[j])
        torch.testing.assert_close(plain[m], -(part * log_prob[y[i]] + (1 - part) * log_prob[y[j]]))
        both = part * weight[y[i]] * log_prob[y[i]] + (1 - part) * weight[y[j]] * log_prob[y[j]]
        torch.testing.assert_close(weighted[m], -both)
    torch.testing.assert_close(pairs.mean_loss(logits, y), plain.mean())


def test_a_share_of_1_leaves_inputs_and_losses_bit_for_bit() -> None:
    x, y = torch.randn(6, 5), torch.tensor([0, 1, 1, 0, 1, 0])
    pairs = Pairs(None, torch.randperm(6), 1.0)
    assert torch.equal(pairs.mix(x), x)
    assert torch.equal(pairs.losses(x[:, :2], y), nn.functional.cross_entropy(x[:, :2], y, reduction="none"))


# --- where to mix ---


def tokens(n_rows: int = 40) -> tuple[Split, Model]:
    """Rows of token numbers, and a model that embeds and averages them."""
    rng = Generator().manual_seed(0)
    x = torch.randint(11, (n_rows, 6), generator=rng)
    group = torch.arange(n_rows) % 4
    torch.manual_seed(0)
    return Split.of(x, group // 2, group % 2), Model.linear(nn.EmbeddingBag(11, 7), 7, 2)


@pytest.mark.parametrize("name", MIXING)
def test_token_numbers_are_mixed_as_features_and_refused_as_inputs(name: str) -> None:
    data, model = tokens()
    options: dict[str, Any] = {"finetune_epochs": 0} if name == "gbmix" else {}
    method = methods.make(name, **options)
    losses = tiny.train(method, model, data, data, method.start(data, model))
    assert bool(torch.isfinite(losses).all())
    refusing = methods.make(name, level="input", **options)
    with pytest.raises(BadInput, match=r"inputs of type torch.int64 cannot be mixed; choose level=feature"):
        refusing.loss(tiny.whole(data), model, refusing.start(data, model))


def test_auto_mixes_inputs_unless_they_are_whole_numbers() -> None:
    assert not at_features(torch.zeros(1), "auto")
    assert at_features(torch.zeros(1, dtype=torch.uint8), "auto")
    assert at_features(torch.zeros(1), "feature")


def test_features_are_mixed_behind_a_nonlinear_encoder() -> None:
    model, x = tiny.network(), torch.randn(4, tiny.FEATURES)
    pairs = Pairs(None, torch.tensor([1, 0, 3, 2]), 0.4)
    features = model.encoder(x)
    wanted = model.classifier(0.4 * features + 0.6 * features[pairs.second])
    torch.testing.assert_close(mixed_logits(model, x, pairs.mix, "feature"), wanted)
    wanted = model(0.4 * x + 0.6 * x[pairs.second])
    torch.testing.assert_close(mixed_logits(model, x, pairs.mix, "input"), wanted)


# --- draws ---


@pytest.mark.parametrize(("first", "second"), [(1.0, 1.0), (2.0, 2.0), (0.2, 0.2), (0.1, 1.0)])
def test_beta_draws_have_the_moments_of_the_distribution(first: float, second: float) -> None:
    torch.manual_seed(0)
    draws = beta_draws(first, second, 40_000)
    mean, total = first / (first + second), first + second
    variance = mean * (1 - mean) / (total + 1)
    assert float(draws.mean()) == pytest.approx(mean, abs=5 * (variance / 40_000) ** 0.5)
    assert float(draws.var()) == pytest.approx(variance, rel=0.05)
    assert 0 <= float(draws.min()) <= float(draws.max()) <= 1


def test_alpha_0_mixes_nothing() -> None:
    assert share(0.0) == 1.0
    assert torch.equal(shares(0.0, 3), torch.ones(3, dtype=torch.float64))


def test_draws_follow_the_weights() -> None:
    torch.manual_seed(0)
    weight = torch.tensor([1.0, 0.0, 3.0, 6.0]).double()
    drawn = torch.bincount(torch.cat([drawn_by_weight(weight) for _ in range(2000)]), minlength=4) / 8000
    torch.testing.assert_close(drawn.double(), weight / 10, atol=0.03, rtol=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=25), st.integers(0, 99))
def test_partners_share_the_one_and_differ_in_the_other(rows: list[tuple[int, int]], seed: int) -> None:
    same, differs = torch.tensor(rows).unbind(1)
    torch.manual_seed(seed)
    partner, exists = partners(same, differs, 4, 3)
    for i, j in enumerate(partner.tolist()):
        fitting = [k for k in range(len(rows)) if rows[k][0] == rows[i][0] and rows[k][1] != rows[i][1]]
        assert bool(exists[i]) == bool(fitting)
        assert not fitting or j in fitting


def test_every_fitting_partner_is_equally_likely() -> None:
    torch.manual_seed(0)
    same, differs = torch.tensor([0, 0, 1, 0, 0]), torch.tensor([0, 1, 1, 2, 1])
    drawn = Counter(int(partners(same, differs, 2, 3)[0][0]) for _ in range(3000))
    assert set(drawn) == {1, 3, 4}
    assert all(abs(count - 1000) < 5 * math.sqrt(3000 * 2 / 9) for count in drawn.values())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(0, 99))
def test_decks_deal_every_row_of_a_label_before_any_comes_again(labels: list[int], seed: int) -> None:
    label = torch.tensor(labels)
    torch.manual_seed(seed)
    decks = Decks.shuffled(label, 5, 2)
    for value in range(5):
        own = [i for i, other in enumerate(labels) if other == value]
        turns = torch.arange(2 * len(own))
        for deck in (0, 1):
            dealt = decks.rows(deck, torch.full_like(turns, value), turns).tolist()
            assert sorted(dealt[: len(own)]) == own
            assert dealt[len(own) :] == dealt[: len(own)]
        assert int(decks.count[value]) == len(own)


def test_decks_are_dealt_in_random_order() -> None:
    torch.manual_seed(0)
    label = torch.tensor([1, 0, 1, 1])
    first = Counter(int(Decks.shuffled(label, 2, 1).rows(0, torch.tensor([1]), torch.tensor([0]))) for _ in range(3000))
    assert set(first) == {0, 2, 3}
    assert all(abs(count - 1000) < 5 * math.sqrt(3000 * 2 / 9) for count in first.values())


# --- balanced batches ---


def test_batches_have_equally_many_rows_of_every_label_present() -> None:
    label = torch.tensor([7] * 50 + [2] * 3 + [4])
    batches = list(balanced_batches(label, 16, 9, Generator().manual_seed(0)))
    assert len(batches) == 9
    assert all(Counter(label[rows].tolist()) == {7: 5, 2: 5, 4: 5} for rows in batches)
    assert {int(row) for rows in batches for row in rows} >= {50, 51, 52, 53}


def test_batches_of_some_labels_at_once() -> None:
    label = torch.arange(60) % 12
    batches = list(balanced_batches(label, 9, 50, Generator().manual_seed(0), labels_at_once=4))
    assert all(set(Counter(label[rows].tolist()).values()) == {2} for rows in batches)
    assert all(len(label[rows].unique()) == 4 for rows in batches)
    assert len(torch.cat([label[rows] for rows in batches]).unique()) == 12


def test_a_batch_too_small_for_every_label_is_refused() -> None:
    with pytest.raises(BadInput, match=r"needs a row of each of 4 labels or groups, got batch_size=3"):
        next(balanced_batches(torch.arange(4), 3, 1, Generator()))


# --- boxes ---


@pytest.mark.parametrize(
    ("side", "wanted", "centre", "ends", "left"),
    [(32, 0.75, 16, (8, 24), 0.75), (32, 0.75, 0, (0, 8), 0.9375), (10, 0.5, 5, (2, 8), 0.64)],
)
def test_boxes_and_the_share_that_is_left(
    side: int, wanted: float, centre: int, ends: tuple[int, int], left: float
) -> None:
    assert box(side, side, wanted, centre, centre) == (ends, ends)
    assert 1 - (ends[1] - ends[0]) ** 2 / side**2 == left


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.integers(0, 99))
def test_a_box_of_the_partner_is_pasted_and_its_area_counted(height: int, width: int, wanted: float, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 2, height, width).clone()
    before, second = x.clone(), torch.tensor([1, 2, 0])
    mixed, left = with_box(x, second, wanted)
    assert torch.equal(x, before)
    pasted = mixed != x
    for i in range(3):
        assert bool((mixed[i][pasted[i]] == second[i]).all())
        assert float(pasted[i].float().mean()) == pytest.approx(1 - left)
    assert torch.equal(pasted[0], pasted[1])
    assert left >= wanted - 1e-9  # cut off at the edge and to whole pixels, the box can only be smaller
    rows, columns = pasted[0, 0].any(1).sum(), pasted[0, 0].any(0).sum()
    assert int(rows) * int(columns) == int(pasted[0, 0].sum())


def test_inputs_that_are_no_images_are_refused() -> None:
    with pytest.raises(BadInput, match=r"CutMix takes images \(B, channels, height, width\), got .* \(4, 5\)"):
        with_box(torch.zeros(4, 5), torch.arange(4), 0.5)


# --- in training ---


def run(name: str, data: Split | None = None, **options: Any) -> Any:
    data = data or tiny.split()
    checkpoint = options.pop("checkpoint", None)
    return fit(
        tiny.network(), methods.make(name, **options), data, tiny.split(seed=1),
        Settings(epochs=2, batch_size=16, device="cpu"), checkpoint=checkpoint, checkpoint_every=0,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["mixup", "remix", "obmix", "unimix", "lisa"])
@pytest.mark.parametrize("level", ["input", "feature"])
def test_mixtures_are_not_recorded_as_predictions_of_rows(name: str, level: str) -> None:
    assert [record["train"] for record in run(name, level=level).history] == [None, None]


@pytest.mark.parametrize("level", ["input", "feature"])
@pytest.mark.parametrize(("name", "options"), [("fairmix", {}), ("gbmix", {"finetune_epochs": 0})])
def test_an_unmixed_pass_is_recorded(name: str, options: dict[str, int], level: str) -> None:
    history = run(name, level=level, **options).history
    assert all(record["train"]["count"] == [16] * 4 for record in history)  # 4 batches of 16, balanced


class Stopping(TensorInputs):
    """Inputs that cannot be read for the `left`-th time."""

    left = 6

    def take(self, rows: Tensor, rng: Generator | None = None) -> Tensor:
        self.__dict__["left"] = self.left - 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().take(rows)

    def to(self, device: torch.device) -> Stopping:
        return self


@pytest.mark.parametrize("name", ["mixup", "fairmix", "lisa", "gbmix"])
def test_what_is_drawn_in_the_loss_goes_on_where_a_stopped_training_was(name: str, tmp_path: Path) -> None:
    data, file = tiny.split(), tmp_path / "checkpoint.pt"
    stopping = Split(Stopping(data.inputs.x), data.y, 2, data.attributes, (2,))
    with pytest.raises(KeyboardInterrupt):
        run(name, stopping, checkpoint=file)
    assert file.exists()
    continued, at_once = run(name, data, checkpoint=file), run(name, data)
    for key, weight in at_once.model.state_dict().items():
        assert torch.equal(weight, continued.model.state_dict()[key])
