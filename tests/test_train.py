"""The training loop: what it selects, records, hides and refuses."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from evenhand import encoders
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput, RunFailed
from evenhand.evaluation import evaluate, predict
from evenhand.losses import cross_entropy
from evenhand.methods import make
from evenhand.methods._base import Method, Stage, State
from evenhand.methods.erm import ERM
from evenhand.model import Model
from evenhand.settings import Settings
from evenhand.train import fit


def make_split(n: int, seed: int) -> Split:
    rng = torch.Generator().manual_seed(seed)
    x, a = torch.randn(n, 5, generator=rng), torch.randint(0, 2, (n,), generator=rng)
    y = (x[:, 0] + (a - 0.5) * x[:, 1] + 0.3 * torch.randn(n, generator=rng) > 0).long()
    return Split.of(x, y, a)


TRAIN, VAL = make_split(300, 0), make_split(200, 1)


def new_model() -> Model:
    torch.manual_seed(0)
    return encoders.build("mlp", (5,), 2, widths=(8,))


def settings(**changes: Any) -> Settings:
    return Settings(**{"epochs": 4, "batch_size": 32, "lr": 0.01, **changes})


def test_same_as_a_bare_loop() -> None:
    """The loop adds nothing to the maths: SGD written out by hand, over the same order, gives the same bits."""
    model, orders = new_model(), []

    @dataclass(frozen=True)
    class Watched(Method):
        def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
            for rows in super().batches(split, state, size, rng):
                orders.append(rows)
                yield rows

        def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
            return cross_entropy(model(batch.x), batch.y).mean()

    fitted = fit(model, Watched(), TRAIN, VAL, settings(epochs=1, optimizer="sgd", momentum=0.5, weight_decay=0.01))
    reference = new_model()
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.01, momentum=0.5, weight_decay=0.01, fused=True)
    batch = TRAIN.batch(torch.arange(len(TRAIN)))
    for rows in orders:
        optimizer.zero_grad()
        F.cross_entropy(reference(batch.x[rows]), batch.y[rows], reduction="none").mean().backward()
        optimizer.step()
    assert sorted(torch.cat(orders).tolist()) == list(range(300))
    for name, tensor in reference.state_dict().items():
        assert torch.equal(tensor, fitted.model.state_dict()[name]), name


def test_same_seed_same_bits_other_seed_other_bits() -> None:
    first, again, other = (fit(new_model(), ERM(), TRAIN, VAL, settings(seed=s)) for s in (3, 3, 4))
    weights = [predict(fitted.model, VAL) for fitted in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_callers_generators_and_threads_are_left_alone() -> None:
    torch.manual_seed(9), np.random.seed(9), random.seed(9)  # noqa: NPY002
    wanted = (torch.rand(1).item(), np.random.rand(), random.random())  # noqa: NPY002
    torch.manual_seed(9), np.random.seed(9), random.seed(9)  # noqa: NPY002
    model, threads = encoders.build("mlp", (5,), 2), torch.get_num_threads()
    torch.manual_seed(9)
    fit(model, make("rwg"), TRAIN, VAL, settings(threads=2))
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == wanted  # noqa: NPY002
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("rule", "metric"),
    [
        ("worst_group", "worst_group_accuracy"),
        ("worst_class", "worst_class_accuracy"),
        ("average", "accuracy"),
        ("group_mean", "group_mean_accuracy"),
    ],
)
def test_the_selected_epoch_is_the_best_on_validation(rule: Any, metric: str) -> None:
    scores: list[float] = []
    fitted = fit(
        new_model(), ERM(), TRAIN, VAL, settings(select=rule, epochs=8, lr=0.1),
        on_epoch=lambda record, model: scores.append(evaluate(model, VAL)[metric]),
    )  # fmt: skip
    assert fitted.score == max(scores)
    assert fitted.epoch == scores.index(max(scores)), "of equal epochs the first is kept"
    assert evaluate(fitted.model, VAL)[metric] == fitted.score
    assert [record["score"] for record in fitted.history] == scores


def test_the_last_epoch_is_kept_whatever_validation_says() -> None:
    weights: list[torch.Tensor] = []
    fitted = fit(
        new_model(), ERM(), TRAIN, VAL, settings(select="last", epochs=8, lr=0.1),
        on_epoch=lambda record, model: weights.append(model.classifier.weight.detach().clone()),
    )  # fmt: skip
    scores = [record["score"] for record in fitted.history]
    assert scores.index(max(scores)) < 7, "the last epoch is not the best, so that the rule is seen to matter"
    assert fitted.epoch == 7
    assert torch.equal(fitted.model.classifier.weight, weights[-1])
    assert fitted.score == evaluate(fitted.model, VAL)["accuracy"] == scores[-1]
    with pytest.raises(BadInput, match="patience must be none"):
        settings(select="last", patience=3)


def test_history_tells_loss_and_accuracy_of_each_group() -> None:
    fitted = fit(new_model(), ERM(), TRAIN, VAL, settings(epochs=2))
    assert [(record["stage"], record["epoch"]) for record in fitted.history] == [(0, 0), (0, 1)]
    figures = fitted.history[fitted.epoch]["val"]
    logits = predict(fitted.model, VAL)
    for g in range(4):
        mine = VAL.group == g
        assert figures["count"][g] == int(mine.sum())
        assert figures["loss"][g] == pytest.approx(float(F.cross_entropy(logits[mine], VAL.y[mine])), abs=1e-5)
        right = (logits[mine].argmax(1) == VAL.y[mine]).float().mean()
        assert figures["accuracy"][g] == pytest.approx(float(right), abs=1e-6)
    assert fitted.history[0]["train"]["count"] == TRAIN.count_G.tolist()


def test_training_figures_are_those_of_the_batches_as_they_went_by() -> None:
    """With a learning rate near nothing the model does not move, so they equal an evaluation of the training split."""
    fitted = fit(new_model(), ERM(), TRAIN, VAL, settings(epochs=1, lr=1e-12))
    logits = predict(fitted.model, TRAIN)
    for g in range(4):
        mine = TRAIN.group == g
        loss = float(F.cross_entropy(logits[mine], TRAIN.y[mine]))
        assert fitted.history[0]["train"]["loss"][g] == pytest.approx(loss, abs=1e-5)


@dataclass(frozen=True)
class Curious(Method):
    """Notes every group it is shown."""

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        assert val is not None
        assert not split.has_attributes
        assert not val.has_attributes
        assert split.n_groups == split.n_classes
        return State()

    def end_epoch(self, split: Split, model: Model, state: State, val: Split | None = None) -> None:
        assert val is not None
        assert not split.has_attributes
        assert not val.has_attributes

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert batch.group is None
        return cross_entropy(model(batch.x), batch.y).mean()


def test_a_method_that_does_not_need_groups_cannot_see_them() -> None:
    fit(new_model(), Curious(), TRAIN, VAL, settings(epochs=2))


def test_groups_poisoned_in_training_change_nothing_for_erm() -> None:
    poisoned = Split.of(TRAIN.inputs.take(torch.arange(300)), TRAIN.y, 1 - TRAIN.attribute)
    clean, other = (fit(new_model(), ERM(), split, VAL, settings()) for split in (TRAIN, poisoned))
    assert torch.equal(predict(clean.model, VAL), predict(other.model, VAL))


@dataclass(frozen=True)
class InStages(Method):
    """ERM, then the last layer on validation rows, noting what each stage begins with."""

    restart: bool = False
    keep: Any = "last"

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        STARTED.append((len(split), {k: v.clone() for k, v in model.state_dict().items()}))
        return State()

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        STEPPED.append({k: v.clone() for k, v in model.state_dict().items()})
        return cross_entropy(model(batch.x), batch.y).mean()

    def stages(self) -> tuple[Stage, ...]:
        last = Stage(self, epochs=1, trains="classifier", split="val", restart=self.restart)
        return Stage(ERM(), epochs=5, keep=self.keep), last


STARTED: list[Any] = []
STEPPED: list[Any] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    STARTED.clear()
    STEPPED.clear()


def equal(first: dict[str, Tensor], second: dict[str, Tensor], half: str = "") -> bool:
    return all(torch.equal(first[name], second[name]) for name in first if name.startswith(half))


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_stage_begins_with_what_the_one_before_keeps(keep: str) -> None:
    after: list[dict[str, Tensor]] = []
    method = InStages(keep=keep)
    fitted = fit(
        new_model(), method, TRAIN, VAL, settings(lr=0.2),
        on_epoch=lambda _, model: after.append({k: v.clone() for k, v in model.state_dict().items()}),
    )  # fmt: skip
    scores = [record["score"] for record in fitted.history if record["stage"] == 0]
    wanted = after[4] if keep == "last" else after[scores.index(max(scores))]
    (n_rows, given), *_ = STARTED
    assert n_rows == len(VAL)
    assert equal(given, wanted)
    assert scores.index(max(scores)) != 4, "or the two cases would be the same"


def test_a_stage_trains_only_its_half() -> None:
    fitted = fit(new_model(), InStages(), TRAIN, VAL, settings())
    assert equal(fitted.model.state_dict(), STARTED[0][1], "encoder")
    assert not equal(fitted.model.state_dict(), STARTED[0][1], "classifier")


def test_what_a_stage_froze_is_thawed_afterwards_and_what_the_caller_froze_stays_frozen() -> None:
    model = new_model()
    model.encoder[0].bias.requires_grad_(False)
    fit(model, InStages(), TRAIN, VAL, settings())
    assert torch.equal(model.encoder[0].bias, new_model().encoder[0].bias)
    assert not torch.equal(model.encoder[0].weight, new_model().encoder[0].weight)
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["encoder.0.bias"]


def test_a_stage_that_restarts_begins_with_the_initial_weights_but_sees_the_trained_model() -> None:
    fit(new_model(), InStages(restart=True), TRAIN, VAL, settings())
    assert not equal(STARTED[0][1], new_model().state_dict())
    assert equal(STEPPED[0], new_model().state_dict())


@dataclass(frozen=True)
class Exploding(Method):
    """NaN for the rows of one group from a certain epoch on."""

    needs_groups = True
    group: int = 3
    epoch: int = 2

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        state = State()
        state.register_buffer("epoch", torch.zeros(()))
        return state

    def loss(self, batch: Batch, model: Model, state: Any) -> Tensor:
        assert batch.group is not None
        bad = (batch.group == self.group) & (state.epoch >= self.epoch)
        x = batch.x + torch.where(bad, torch.nan, 0.0)[:, None]
        return cross_entropy(model(x), batch.y).mean()

    def end_epoch(self, split: Split, model: Model, state: Any, val: Split | None = None) -> None:
        state.epoch += 1


def test_a_loss_that_is_not_finite_names_epoch_batch_and_group_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    message = r"loss became nan in stage 1 of 1, epoch 3 of 4, batch 1 of 10, with rows of group y=1, a0=1\."
    with pytest.raises(RunFailed, match=message):
        fit(new_model(), Exploding(), TRAIN, VAL, settings(), checkpoint=tmp_path / "c.pt", checkpoint_every=1e9)
    kept = torch.load(tmp_path / "c.pt", weights_only=True)
    assert kept["epoch"] == 2
    assert all(bool(torch.isfinite(tensor).all()) for tensor in kept["model"].values())
    good = fit(new_model(), Exploding(epoch=9), TRAIN, VAL, settings(epochs=2))
    assert kept["best"]["score"] == good.score


def test_an_infinite_input_is_found() -> None:
    x = TRAIN.inputs.take(torch.arange(300)).clone()
    x[17, 2] = math.inf
    with pytest.raises(RunFailed, match="epoch 1 of 4"):
        fit(new_model(), ERM(), Split.of(x, TRAIN.y, TRAIN.attribute), VAL, settings())


def test_patience_stops_after_epochs_without_a_better_score() -> None:
    scores: list[float] = []
    fit(new_model(), ERM(), TRAIN, VAL, settings(epochs=60, patience=3, lr=0.05),
        on_epoch=lambda record, _: scores.append(record["score"]))  # fmt: skip
    assert len(scores) < 60
    assert len(scores) - 1 - scores.index(max(scores)) == 3


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"schedule": "constant"}, [0.1, 0.1, 0.1, 0.1]),
        ({"schedule": "cosine"}, [0.1 * (1 + math.cos(math.pi * e / 4)) / 2 for e in range(4)]),
        ({"schedule": "step", "step_epochs": 2, "step_factor": 0.5}, [0.1, 0.1, 0.05, 0.05]),
    ],
)
def test_schedules(changes: dict[str, Any], wanted: list[float]) -> None:
    fitted = fit(new_model(), ERM(), TRAIN, VAL, settings(lr=0.1, **changes))
    assert [record["lr"] for record in fitted.history] == pytest.approx(wanted)


def test_clipping_bounds_each_step() -> None:
    model = new_model()
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    fit(model, ERM(), TRAIN, VAL, settings(epochs=1, optimizer="sgd", momentum=0.0, lr=1.0, clip=1e-3))
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert float((after - before).norm()) <= 10 * 1e-3 * (1 + 1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_optimizer_learns(optimizer: Any) -> None:
    fitted = fit(new_model(), ERM(), TRAIN, VAL, settings(optimizer=optimizer, epochs=10, lr=0.02))
    assert evaluate(fitted.model, VAL)["accuracy"] > 0.8


def test_bfloat16_trains() -> None:
    fitted = fit(new_model(), make("ncdebias"), TRAIN, VAL, settings(precision="bf16-mixed", epochs=3))
    assert evaluate(fitted.model, VAL)["accuracy"] > 0.7


def without_group(split: Split, group: int) -> Split:
    rows = torch.nonzero(split.group != group).flatten()
    return Split.of(split.inputs.take(rows), split.y[rows], split.attribute[rows], n_classes=2, attribute_sizes=(2,))


def test_an_empty_group_in_validation_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"none of y=1, a0=0\. Choose select=worst_class"):
        fit(new_model(), ERM(), TRAIN, without_group(VAL, 2), settings())
    fit(new_model(), ERM(), TRAIN, without_group(VAL, 2), settings(select="worst_class", epochs=1))


def test_selection_by_group_without_groups_is_refused() -> None:
    with pytest.raises(BadInput, match="needs group labels in validation"):
        fit(new_model(), ERM(), TRAIN, VAL.without_groups(), settings())


def test_a_group_without_training_rows_does_not_stop_anything() -> None:
    for name in ("groupdro", "ncdebias", "rwg", "subg"):
        fit(new_model(), make(name), without_group(TRAIN, 1), VAL, settings(epochs=1))


def test_an_interrupt_while_storing_does_not_lose_the_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection ends the training, and the signal that comes with it falls into the storing."""
    fsync, calls = os.fsync, [0]

    def interrupted_at_first(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] == 1:
            raise KeyboardInterrupt
        fsync(descriptor)

    def fail(record: Any, model: Model) -> None:
        if record["epoch"] == 2:
            monkeypatch.setattr(os, "fsync", interrupted_at_first)
            raise BrokenPipeError

    with pytest.raises(KeyboardInterrupt):
        fit(
            new_model(),
            ERM(),
            TRAIN,
            VAL,
            settings(),
            checkpoint=tmp_path / "c.pt",
            checkpoint_every=1e9,
            on_epoch=fail,
        )
    assert torch.load(tmp_path / "c.pt", weights_only=True)["epoch"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt"]
