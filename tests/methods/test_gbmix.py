from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor, nn
from torch.distributions import Beta

import tiny
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.methods._base import State
from evenhand.methods.erm import ERM
from evenhand.methods.gbmix import GBMix, super_groups, worst_group
from evenhand.model import Model

EQUATION_10 = ((0, 1), (0, 2), (1, 3), (2, 3))


def mixing(**options: Any) -> GBMix:
    """The first stage alone."""
    return GBMix(finetune_epochs=0, **options)


# --- target and super-groups ---


def test_worst_group_and_super_groups_of_known_losses() -> None:
    """Losses .2, 1.5, .9, .3 of (y, s) = (0, 0), (0, 1), (1, 0), (1, 1)."""
    group = torch.tensor([3, 0, 1, 2, 1])
    target = worst_group(torch.tensor([0.3, 0.2, 1.0, 0.9, 2.0]), group, 4)
    assert target == 1
    assert super_groups(torch.arange(4), target, 2).tolist() == [1, 0, 3, 2]


def test_super_groups_of_three_classes() -> None:
    """Target (2, 1): g1 is (2, 0); g2 is (0, 1) and (1, 1); g3 is (0, 0) and (1, 0)."""
    assert super_groups(torch.arange(6), torch.tensor(5), 2).tolist() == [3, 2, 3, 2, 1, 0]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(2, 5), st.integers(0, 99))
def test_super_groups_say_what_differs_from_the_target(classes: int, attributes: int, seed: int) -> None:
    target = seed % (classes * attributes)
    found = super_groups(torch.arange(classes * attributes), torch.tensor(target), attributes).tolist()
    for g, number in enumerate(found):
        same_y, same_s = g // attributes == target // attributes, g % attributes == target % attributes
        assert number == {(True, True): 0, (True, False): 1, (False, True): 2, (False, False): 3}[same_y, same_s]


def test_of_equal_losses_the_first_group_is_the_target_and_never_a_missing_one() -> None:
    assert worst_group(torch.zeros(3), torch.tensor([3, 1, 2]), 4) == 1
    assert worst_group(torch.tensor([2.0, 2.0]), torch.tensor([3, 2]), 4) == 2


# --- which rows are mixed ---


class Watching(nn.Module):
    """An encoder that keeps everything it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(x)
        return x


def watched(method: GBMix, data: Split, target: int) -> Tensor:
    """(M, G) how much of each group the mixtures of one batch have; the target group has the largest loss."""
    group = torch.eye(data.n_groups).double()[data.group]
    encoder = Watching()
    model = Model.linear(encoder, data.n_groups, data.n_classes, bias=False).double()
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.weight[(target // data.n_attributes + 1) % data.n_classes, target] = 5.0
    batch = Batch(group, data.y, data.group, torch.arange(len(data)))
    method.loss(batch, model, method.start(data, model))
    mixed = encoder.given[-1]
    torch.testing.assert_close(mixed.sum(1), torch.ones(len(mixed)).double(), atol=1e-6, rtol=0)
    return mixed


def balanced(classes: int = 2, attributes: int = 2, each: int = 4) -> Split:
    group = torch.arange(classes * attributes).repeat(each)
    y, s = group // attributes, group % attributes
    return Split.of(torch.zeros(len(group), 1), y, s, n_classes=classes, attribute_sizes=[attributes])


@pytest.mark.parametrize("target", range(4))
def test_only_groups_that_share_class_or_attribute_are_mixed_k_of_each(target: int) -> None:
    torch.manual_seed(0)
    mixed = watched(mixing(), balanced(), target)
    pairs = Counter(tuple(torch.nonzero(row).flatten().tolist()) for row in mixed)
    super_of = super_groups(torch.arange(4), torch.tensor(target), 2).tolist()
    allowed = {tuple(sorted((super_of.index(i), super_of.index(j)))) for i, j in EQUATION_10}
    assert pairs == dict.fromkeys(allowed, 4)  # 16 rows, 4 super-groups: k = 4
    # Of two binary labels, these are the pairs of groups that differ in one.
    assert all(bin(g ^ h).count("1") == 1 for g, h in pairs)


@pytest.mark.parametrize(("classes", "attributes"), [(3, 2), (2, 3), (3, 3)])
def test_with_more_classes_or_attributes_pairings_are_of_unions(classes: int, attributes: int) -> None:
    torch.manual_seed(0)
    data, target = balanced(classes, attributes), 1
    super_of = super_groups(torch.arange(data.n_groups), torch.tensor(target), attributes)
    found: Counter[tuple[int, ...]] = Counter()
    for _ in range(5):
        mixed = watched(mixing(), data, target)
        assert len(mixed) == len(data) // 4 * 4
        for row in mixed:
            groups = torch.nonzero(row).flatten()
            found[tuple(sorted(super_of[groups].tolist()))] += 1
    assert set(found) == set(EQUATION_10)
    assert len(set(found.values())) == 1


def test_mixtures_per_pairing_beyond_what_there_is_go_round() -> None:
    torch.manual_seed(0)
    mixed = watched(mixing(per_pairing=11), balanced(), 0)
    assert len(mixed) == 44


@pytest.mark.parametrize(("share_per", "different"), [("pairing", 4), ("sample", 16)])
def test_shares_are_drawn_for_a_pairing_or_a_mixture(share_per: Any, different: int) -> None:
    torch.manual_seed(0)
    mixed = watched(mixing(share_per=share_per), balanced(), 0)
    assert len({round(float(row[row > 0].max()), 6) for row in mixed}) == different


def test_other_pairings() -> None:
    torch.manual_seed(0)
    mixed = watched(mixing(pairings=("03", "00")), balanced(), 0)
    pairs = [tuple(torch.nonzero(row).flatten().tolist()) for row in mixed]
    assert pairs == [(0, 3)] * 4 + [(0,)] * 4


# --- the loss ---


def draws(seed: int, n_rows: int, n_shares: int, alpha: float = 1.0) -> tuple[Tensor, Tensor]:
    """The shares and the keys of both decks, in the order in which the method draws them."""
    torch.manual_seed(seed)
    shares = Beta(*torch.tensor([alpha, alpha], dtype=torch.float64)).sample((n_shares,))
    return shares, torch.rand(2, n_rows)


@pytest.mark.parametrize("level", ["input", "feature"])
@pytest.mark.parametrize(("classes", "attributes"), [(2, (2,)), (3, (2,)), (3, (3,)), (2, (2, 3))])
def test_agrees_with_every_mixture_written_out(classes: int, attributes: tuple[int, ...], level: Any) -> None:
    data = tiny.split(60, classes=classes, attributes=attributes, dtype=torch.float64)
    model, batch = tiny.network(classes, dtype=torch.float64), tiny.whole(data)
    method, n_attributes = mixing(level=level), data.n_attributes
    state = method.start(data, model)
    shares, keys = draws(7, 60, 4)
    losses: dict[int, list[float]] = {}
    for i, g in enumerate(data.group.tolist()):
        losses.setdefault(g, []).append(-float(model(batch.x[i]).log_softmax(0)[batch.y[i]].detach()))
    target = max(sorted(losses), key=lambda g: sum(losses[g]) / len(losses[g]))

    def deck(which: int, number: int) -> list[int]:
        """The rows of a super-group in the order of their keys."""
        y, s = target // n_attributes, target % n_attributes
        own = [
            i
            for i, g in enumerate(data.group.tolist())
            if (g // n_attributes != y, g % n_attributes != s) == (number >= 2, number % 2 == 1)
        ]
        return sorted(own, key=lambda i: float(keys[which, i]))

    total = 0.0
    for p, (i, j) in enumerate(EQUATION_10):
        firsts, seconds, part = deck(0, i), deck(1, j), float(shares[p])
        for turn in range(15):
            a, b = firsts[turn % len(firsts)], seconds[turn % len(seconds)]
            if level == "input":
                logits = model(part * batch.x[a] + (1 - part) * batch.x[b])
            else:
                logits = model.classifier(part * model.encoder(batch.x[a]) + (1 - part) * model.encoder(batch.x[b]))
            log_prob = logits.log_softmax(0).detach()
            total -= float(part * log_prob[batch.y[a]] + (1 - part) * log_prob[batch.y[b]]) / 15
    torch.manual_seed(7)
    assert method.loss(batch, model, state).item() == pytest.approx(total, abs=1e-6)  # shares in single precision


def test_two_groups_of_one_class_are_mixed_with_each_other_only() -> None:
    """Cross-group mixup: of four pairings, (0,1) remains."""
    data, model = tiny.split(40, dtype=torch.float64), tiny.network(dtype=torch.float64)
    rows = torch.nonzero(data.group < 2).flatten()
    batch, method = data.batch(rows), mixing(per_pairing=30)
    shares, keys = draws(1, len(rows), 4)
    torch.manual_seed(1)
    loss = method.loss(batch, model, method.start(data, model))
    means = [float(ERM().loss(data.batch(rows[batch.group == g]), model, State()).detach()) for g in (0, 1)]
    target = int(means[1] > means[0])
    firsts, seconds = (
        sorted(torch.nonzero(batch.group == g).flatten().tolist(), key=lambda i, k=k: float(keys[k, i]))
        for k, g in enumerate((target, 1 - target))
    )
    total = 0.0
    for turn in range(30):
        a, b = firsts[turn % len(firsts)], seconds[turn % len(seconds)]
        mixed = shares[0] * batch.x[a] + (1 - shares[0]) * batch.x[b]
        total -= float(model(mixed).log_softmax(0)[0].detach()) / 30
    assert loss.item() == pytest.approx(total, abs=1e-6)


@pytest.mark.parametrize("level", ["input", "feature"])
def test_alpha_0_is_the_sum_of_the_first_rows_losses(level: Any) -> None:
    """Unmixed, pairings (0,1), (0,2), (1,3), (2,3) are g0 twice, g1 and g2; with k a multiple of each group's rows."""
    data, model = balanced_rows(), tiny.network(dtype=torch.float64)
    method, batch = mixing(alpha=0, level=level), tiny.whole(data)
    means = group_losses(data, model)
    target = worst_group(torch.stack(means), torch.arange(4), 4)
    of = [means[super_groups(torch.arange(4), target, 2).tolist().index(k)] for k in range(4)]
    loss = method.loss(batch, model, method.start(data, model))
    torch.testing.assert_close(loss, 2 * of[0] + of[1] + of[2])


def balanced_rows(each: int = 5) -> Split:
    """As many random rows of each of four groups."""
    group = torch.arange(4).repeat(each)
    x = torch.randn(len(group), tiny.FEATURES, generator=Generator().manual_seed(0), dtype=torch.float64)
    return Split.of(x, group // 2, group % 2)


def group_losses(data: Split, model: Model) -> list[Tensor]:
    return [ERM().loss(data.batch(torch.nonzero(data.group == g).flatten()), model, State()) for g in range(4)]


# --- parts that can be left out ---


def test_without_mixing_the_loss_is_the_sum_over_the_super_groups() -> None:
    data, model = balanced_rows(), tiny.network(dtype=torch.float64)
    method = mixing(mix=False)
    loss = method.loss(tiny.whole(data), model, method.start(data, model))
    torch.testing.assert_close(loss, sum(group_losses(data, model)))


@pytest.mark.parametrize("share_per", ["pairing", "sample"])
def test_without_categories_every_row_is_mixed_with_a_random_one(share_per: Any) -> None:
    data, model = tiny.split(20, dtype=torch.float64), tiny.network(dtype=torch.float64)
    batch, method = tiny.whole(data), mixing(categorize=False, share_per=share_per)
    torch.manual_seed(2)
    loss = method.loss(batch, model, method.start(data, model))
    torch.manual_seed(2)
    shares = Beta(*torch.ones(2, dtype=torch.float64)).sample((1 if share_per == "pairing" else 20,)).expand(20)
    total = 0.0
    for i, j in enumerate(torch.randperm(20).tolist()):
        log_prob = model(shares[i] * batch.x[i] + (1 - shares[i]) * batch.x[j]).log_softmax(0).detach()
        total -= float(shares[i] * log_prob[batch.y[i]] + (1 - shares[i]) * log_prob[batch.y[j]])
    assert loss.item() == pytest.approx(total / 20, abs=1e-6)


def test_a_random_target_is_each_group_of_the_batch_in_turn_and_costs_no_pass() -> None:
    data, encoder = balanced(), Watching()
    model = Model.linear(encoder, 4, 2).double()
    method = mixing(target="random", pairings=("00",))
    state = method.start(data, model)
    batch = Batch(torch.eye(4).double()[data.group], data.y, data.group, torch.arange(16))
    torch.manual_seed(0)
    for _ in range(400):
        method.loss(batch, model, state)
    assert len(encoder.given) == 400
    targets = Counter(int(given[0].argmax()) for given in encoder.given)
    assert all(abs(targets[g] - 100) < 45 for g in range(4))


def test_forward_passes_cost_two_batches_at_inputs_and_one_at_features() -> None:
    data, encoder = balanced(), Watching()
    model = Model.linear(encoder, 4, 2).double()
    batch = Batch(torch.eye(4).double()[data.group], data.y, data.group, torch.arange(16))
    for level, rows in (("input", [16, 16]), ("feature", [16])):
        method = mixing(level=level)
        encoder.given.clear()
        method.loss(batch, model, method.start(data, model))
        assert [len(given) for given in encoder.given] == rows


# --- batches ---


def batches(method: GBMix, data: Split, size: int = 16) -> list[Tensor]:
    return list(method.batches(data, method.start(data, tiny.network()), size, Generator().manual_seed(0)))


def test_batches_have_equally_many_rows_of_every_group() -> None:
    data = tiny.split(100)
    made = batches(mixing(), data)
    assert len(made) == 7
    assert all(torch.bincount(data.group[rows]).tolist() == [4] * 4 for rows in made)


def test_without_balance_every_row_that_is_not_held_out_comes_once() -> None:
    data = tiny.split(100)
    rows = torch.cat(batches(mixing(balance=False), data))
    assert sorted(rows.tolist()) == mixing().parts(data)[0].tolist()


def test_a_batch_smaller_than_the_number_of_groups_is_refused() -> None:
    with pytest.raises(BadInput, match="needs a row of each of 4 labels or groups, got batch_size=3"):
        batches(mixing(), tiny.split(), size=3)


# --- fine-tuning ---


def test_stages_mix_with_the_whole_model_then_tune_the_classifier_on_what_was_held_out() -> None:
    method = GBMix(alpha=0.5, finetune_epochs=3)
    first, last = method.stages()
    assert (first.method, first.trains, first.keep) == (mixing(alpha=0.5), "all", "best")
    assert (last.method, last.trains, last.epochs) == (method, "classifier", 3)
    assert mixing().stages()[0].method == mixing()


@pytest.mark.parametrize(("holdout_of", "wanted"), [("smallest_group", [4, 4, 4, 4]), ("each_group", [24, 8, 4, 4])])
def test_held_out_rows_are_a_share_of_the_smallest_or_of_each_group(holdout_of: Any, wanted: list[int]) -> None:
    group = torch.repeat_interleave(torch.arange(4), torch.tensor([120, 40, 20, 22]))
    data = Split.of(torch.zeros(202, 1), group // 2, group % 2)
    method = GBMix(holdout=0.2, holdout_of=holdout_of)
    mixed, tuned = method.parts(data)
    assert torch.bincount(group[tuned]).tolist() == wanted
    assert sorted([*mixed.tolist(), *tuned.tolist()]) == list(range(202))
    assert set(torch.cat(batches(method, data)).tolist()) <= set(tuned.tolist())
    assert set(torch.cat(batches(replace(method, finetune_epochs=0), data)).tolist()) <= set(mixed.tolist())
    torch.manual_seed(99)
    assert all(torch.equal(*both) for both in zip(method.parts(data), (mixed, tuned), strict=True))


def test_a_group_of_one_row_is_in_both_parts_and_without_holdout_every_row_is() -> None:
    group = torch.tensor([0] * 9 + [1] * 9 + [2] + [3] * 9)
    data = Split.of(torch.zeros(28, 1), group // 2, group % 2)
    mixed, tuned = GBMix().parts(data)
    assert 18 in mixed.tolist()
    assert 18 in tuned.tolist()
    assert len(mixed) + len(tuned) == 29
    assert all(len(part) == 28 for part in GBMix(holdout=0).parts(data))


def test_fine_tuning_takes_the_features_of_eval_mode_as_they_are() -> None:
    data = tiny.split(dtype=torch.float64)
    encoder = nn.Sequential(nn.Linear(tiny.FEATURES, 7), nn.BatchNorm1d(7), nn.Dropout(0.5))
    model, method = Model.linear(encoder, 7, 2).double(), GBMix()
    batch = tiny.whole(data)
    loss = method.loss(batch, model, method.start(data, model))
    loss.backward()
    assert model.training
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert int(encoder[1].num_batches_tracked) == 0
    with model.evaluating():
        torch.testing.assert_close(loss, ERM().loss(batch, model, State()))


# --- what it is for ---


def test_it_serves_a_group_that_the_spurious_attribute_betrays() -> None:
    """The attribute is easier to see than the class and agrees with it in 95 % of the rows."""
    rng = Generator().manual_seed(0)
    y = torch.randint(2, (1200,), generator=rng)
    a = torch.where(torch.rand(1200, generator=rng) < 0.95, y, 1 - y)
    signal = torch.stack([y, a], 1).float() * torch.tensor([2.0, 6.0])
    x = torch.cat([signal + torch.randn(1200, 2, generator=rng), torch.randn(1200, 3, generator=rng)], 1)
    data = Split.of(x, y, a)

    def worst(method: Any) -> float:
        model = tiny.network()
        tiny.train(method, model, data, data, method.start(data, model), epochs=5)
        right = (model(x).argmax(1) == y).float()
        return min(float(right[data.group == g].mean()) for g in range(4))

    assert worst(mixing()) > worst(ERM()) + 0.15


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "alpha of GBMix must be at least 0, got -1"),
        ({"per_pairing": 0}, "per_pairing of GBMix must be at least 1, got 0"),
        ({"holdout": 2.0}, r"holdout of GBMix must be in \[0, 1\], got 2"),
        ({"finetune_epochs": -1}, "finetune_epochs of GBMix must be at least 0, got -1"),
        ({"pairings": ("04",)}, "pairings of GBMix must be two digits of 0..3 each"),
        ({"pairings": ()}, "pairings of GBMix must be two digits of 0..3 each"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        GBMix(**options)
