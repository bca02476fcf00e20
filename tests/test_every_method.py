"""What every training method must do, found by discovery: a new method is covered without an edit here."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from copy import copy, deepcopy
from dataclasses import FrozenInstanceError, fields
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

import tiny
from evenhand import methods
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.methods._base import Method, State
from evenhand.model import Model

# What the gradient treats as constant must be constant for a finite difference too.
CONSTANT_WEIGHTS = {
    "etf": {"objective": "ce"},
    "george": {"step_size": 0.0},
    "groupdro": {"step_size": 0.0},
    "lff": {"power": 0.0},
    "lff, classifiers": {"power": 0.0},
}

# Options with which a method has another loss: these are checked like methods of their own.
VARIANTS: dict[str, dict[str, object]] = {
    "bpa, published": {"momentum": 1.0, "exp_step": 0.05, "refresh_every": 1},
    "cbloss, focal": {"form": "focal"},
    "clusterfix, shared": {"heads": "shared", "metric": "cosine", "normalise": False},
    "efreweight, logits": {"variant": "logitadjust"},
    "etf, cross-entropy": {"objective": "ce"},
    "fairmix, features": {"level": "feature"},
    "fairmix, parity": {"criterion": "demographic_parity"},
    "focal, sigmoid": {"form": "sigmoid", "alpha": 0.25, "prior": 0.1},
    "gbmix, mixing": {"finetune_epochs": 0},
    "gbmix, mixing features": {"finetune_epochs": 0, "level": "feature"},
    "jtt, published": {"copies": "added", "errors": "moving", "upweight": "balance"},
    "lff, classifiers": {"freeze_encoder": True, "gce": "published"},
    "lisa, cutmix": {"mix": "cutmix"},
    "mixup, features": {"level": "feature"},
    "obmix, by group": {"by": "group"},
}

# With more clusters than a batch has rows, the loss grows as weight moves to the worst cluster.
FEW_CLUSTERS = {"george": {"clusters": 2}}

# Those that need groups in validation only.
GROUPS_IN_VALIDATION = {"afr"}

# Those that take images only.
IMAGES = {"cutmix", "lisa, cutmix"}

# In these, who is mixed with whom is drawn by the rows' places in the batch: one draw depends on their order, the mean
# over draws does not.
RANDOM_PARTNERS = {"mixup", "cutmix", "remix", "obmix", "unimix", "lisa", "fairmix", "gbmix"}

pytestmark = pytest.mark.parametrize("name", [*methods.names(), *VARIANTS])


def base(name: str) -> str:
    """The method of a variant."""
    return name.partition(",")[0]


def make(name: str, **options: object) -> Method:
    return methods.make(base(name), **{**VARIANTS.get(name, {}), **options})


def shape(name: str) -> tuple[int, ...]:
    """Of the rows that the method is tried on."""
    return (1, 4, 4) if name in IMAGES else (tiny.FEATURES,)


def hidden(method: Method, data: Split) -> Split:
    """The split as the training loop hands it to this method."""
    return data if method.needs_groups else data.without_groups()


def begin(name: str, **sizes: object) -> tuple[Method, Model, Split, Split, State]:
    """A method at its start: (method, model, train, val, state)."""
    method = make(name)
    train, val = (hidden(method, tiny.split(seed=seed, shape=shape(name), **sizes)) for seed in (0, 1))
    model = tiny.network(train.n_classes, shape=shape(name))
    torch.manual_seed(0)
    return method, model, train, val, method.start(train, model, val)


def loss_with(seed: int, method: Method, batch: Batch, model: Model, state: State) -> Tensor:
    """The loss with what it draws at random drawn from this seed."""
    torch.manual_seed(seed)
    return method.loss(batch, model, state)


def gradients(loss: Tensor, model: Model) -> dict[str, Tensor | None]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def permuted(batch: Batch, order: Tensor) -> Batch:
    return Batch(*(None if part is None else part[order] for part in batch))


def without_values(data: Split) -> Split:
    """The split on the meta device; labels cannot be checked there, so it is not made anew."""
    data = copy(data)
    object.__setattr__(data, "inputs", data.inputs.to(torch.device("meta")))
    object.__setattr__(data, "y", data.y.to("meta"))
    return data


# --- the class ---


def test_is_frozen_hashable_and_equal_to_its_like(name: str) -> None:
    method = make(name)
    assert method == make(name)
    assert hash(method) == hash(make(name))
    with pytest.raises(FrozenInstanceError):
        method.anything = 1  # type: ignore[attr-defined]


def test_documentation_names_source_differences_and_every_field(name: str) -> None:
    method = methods.find(base(name))
    text = method.__doc__ or ""
    assert method.source.startswith("https://")
    if "github.com" in method.source:
        assert "Differs from the authors' code" in text
    for field in fields(method):
        assert f"\n        {field.name}: " in text
    assert text.split("\n")[0].endswith(".")


def test_imports_no_higher_layer(name: str) -> None:
    path = Path(methods.__file__).parent / f"{base(name)}.py"
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    for module in ("data", "encoders", "train", "evaluate", "runs", "study", "cli", "report"):
        assert not any(each.startswith(f"evenhand.{module}") for each in imported)


def test_stages_end_with_the_method_itself(name: str) -> None:
    method = make(name)
    assert method.stages()[-1].method == method


# --- the loss ---


def test_loss_is_a_finite_scalar(name: str) -> None:
    method, model, train, _, state = begin(name)
    loss = method.loss(tiny.whole(train), model, state)
    assert loss.shape == ()
    assert bool(torch.isfinite(loss))


def test_gradient_reaches_exactly_the_half_it_trains(name: str) -> None:
    method, model, train, _, state = begin(name)
    trained = method.stages()[-1].trains
    for key, gradient in gradients(method.loss(tiny.whole(train), model, state), model).items():
        if trained == "all" or key.startswith(trained):
            assert gradient is not None, key
            assert gradient.abs().sum() > 0, key
        else:
            assert gradient is None, key


def test_row_order_is_irrelevant(name: str) -> None:
    method, model, train, _, state = begin(name)
    batch, other = tiny.whole(train), deepcopy(state)
    order = torch.randperm(len(train), generator=Generator().manual_seed(0))
    if base(name) not in RANDOM_PARTNERS:
        loss = method.loss(batch, model, state)
        torch.testing.assert_close(method.loss(permuted(batch, order), model, other), loss)
        return
    draws = [
        torch.stack([loss_with(seed, method, rows, model, state).detach() for seed in range(300)])
        for rows in (batch, permuted(batch, order))
    ]
    error = (sum(losses.var() for losses in draws) / 300) ** 0.5
    assert abs(draws[0].mean() - draws[1].mean()) <= 4 * error + 1e-5


def test_gradient_agrees_with_finite_differences(name: str) -> None:
    method = make(name, **CONSTANT_WEIGHTS.get(name, {}))
    train, val = (hidden(method, tiny.split(seed=seed, shape=shape(name), dtype=torch.float64)) for seed in (0, 1))
    model = tiny.network(dtype=torch.float64, shape=shape(name))
    state = method.start(train, model, val)
    trained = list(model.part(method.stages()[-1].trains).parameters())
    rng = Generator().manual_seed(0)
    direction = [torch.randn(p.shape, generator=rng, dtype=p.dtype) for p in trained]

    def loss_at(step: float) -> Tensor:
        moved = deepcopy(model)
        for p, d in zip(moved.part(method.stages()[-1].trains).parameters(), direction, strict=True):
            p.data += step * d
        return loss_with(0, method, tiny.whole(train), moved, deepcopy(state))

    loss_with(0, method, tiny.whole(train), model, deepcopy(state)).backward()
    slope = sum((p.grad * d).sum().item() for p, d in zip(trained, direction, strict=True) if p.grad is not None)
    assert slope == pytest.approx((loss_at(1e-5) - loss_at(-1e-5)).item() / 2e-5, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("present", [(0,), (3,), (0, 3), (1, 2, 3)])
def test_a_missing_group_leaves_loss_and_gradient_finite(name: str, present: tuple[int, ...]) -> None:
    method, model, train, _, state = begin(name)
    group = tiny.split(seed=0).group
    rows = torch.nonzero(torch.isin(group, torch.tensor(present))).flatten()
    for _ in range(3):
        loss = method.loss(train.batch(rows), model, state)
        found = gradients(loss, model)
        assert bool(torch.isfinite(loss))
        assert all(g is None or bool(torch.isfinite(g).all()) for g in found.values())


def test_a_batch_of_one_row_works(name: str) -> None:
    method, model, train, _, state = begin(name)
    loss = method.loss(train.batch(torch.tensor([7])), model, state)
    assert all(g is None or bool(torch.isfinite(g).all()) for g in gradients(loss, model).values())
    assert bool(torch.isfinite(loss))


def test_huge_logits_leave_loss_and_gradient_finite(name: str) -> None:
    method, model, train, _, state = begin(name)
    with torch.no_grad():
        model.classifier.weight.mul_(1e4)
    for _ in range(3):
        loss = method.loss(tiny.whole(train), model, state)
        assert bool(torch.isfinite(loss))
        assert all(g is None or bool(torch.isfinite(g).all()) for g in gradients(loss, model).values())


def test_loss_never_waits_for_a_value(name: str) -> None:
    """On the meta device tensors have no values: what needs one (`item`, boolean masks, `nonzero`) cannot run."""
    method, model, train, _, state = begin(name)
    for key, value in vars(state).items():
        if isinstance(value, Split):
            setattr(state, key, without_values(value))
    batch = Batch(*(None if part is None else part.to("meta") for part in tiny.whole(train)))
    loss = method.loss(batch, model.to("meta"), state.to("meta"))
    loss.backward()
    assert loss.shape == ()


def test_half_precision_is_close_to_single(name: str) -> None:
    method, model, train, _, state = begin(name)
    exact = loss_with(0, method, tiny.whole(train), model, deepcopy(state))
    with torch.autocast("cpu", torch.bfloat16):
        rough = loss_with(0, method, tiny.whole(train), model, state)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("classes", "attributes"), [(3, (2,)), (2, (2, 3)), (3, (3,))], ids=["3 classes", "2 attributes", "3 x 3"]
)
def test_more_classes_and_attributes_work(name: str, classes: int, attributes: tuple[int, ...]) -> None:
    method, model, train, val, state = begin(name, classes=classes, attributes=attributes)
    losses = tiny.train(method, model, train, val, state, epochs=2)
    assert bool(torch.isfinite(losses).all())


# --- groups ---


def test_without_groups_it_refuses_by_name_or_works(name: str) -> None:
    method = make(name)
    train, val = (tiny.split(seed=seed, shape=shape(name)).without_groups() for seed in (0, 1))
    model = tiny.network(shape=shape(name))
    if not method.needs_groups:
        tiny.train(method, model, train, val, method.start(train, model, val))
        return
    part = "validation" if base(name) in GROUPS_IN_VALIDATION else "training"
    with pytest.raises(BadInput, match=rf"{type(method).__name__} needs group labels in {part}"):
        method.start(train, model, val)


def test_one_attribute_value_is_refused_or_works(name: str) -> None:
    method = make(name)
    x, y = torch.randn(8, tiny.FEATURES), torch.arange(8) % 2
    train, val = hidden(method, Split.of(x, y, torch.zeros(8, dtype=torch.int64), attribute_sizes=[2])), tiny.split()
    if not method.needs_groups or base(name) in GROUPS_IN_VALIDATION:
        method.start(train, tiny.network(), val)
        return
    with pytest.raises(BadInput, match="at least two attribute values in training, got one"):
        method.start(train, tiny.network(), val)


def test_training_groups_without_rows_are_no_obstacle(name: str) -> None:
    method = make(name)
    full, val = (tiny.split(seed=seed, shape=shape(name)) for seed in (0, 1))
    val = hidden(method, val)
    rows = torch.nonzero(full.group != 2).flatten()
    kept = Split.of(full.inputs.take(rows), full.y[rows], full.attributes[rows], n_classes=2, attribute_sizes=[2])
    train, model = hidden(method, kept), tiny.network(shape=shape(name))
    state = method.start(train, model, val)
    assert bool(torch.isfinite(tiny.train(method, model, train, val, state, epochs=3)).all())


# --- an epoch ---


def test_three_line_loop_reduces_its_loss(name: str) -> None:
    method = make(name, **FEW_CLUSTERS.get(name, {}))
    if method.stages()[-1].epochs == 0:
        return  # its `start` has found the minimum
    train, val = (hidden(method, tiny.split(200, seed=seed, shape=shape(name))) for seed in (0, 1))
    model = tiny.network(shape=shape(name))
    state = method.start(train, model, val)
    losses = tiny.train(method, model, train, val, state, epochs=30)
    assert losses[-20:].mean() < losses[:20].mean()


def test_batches_are_rows_of_the_split_and_no_larger_than_asked(name: str) -> None:
    method, _, train, _, state = begin(name)
    batches = list(method.batches(train, state, 16, Generator().manual_seed(0)))
    assert batches
    for rows in batches:
        assert rows.dtype == torch.int64
        assert rows.ndim == 1
        assert 1 <= len(rows) <= 16
        assert int(rows.min()) >= 0
        assert int(rows.max()) < len(train)


def test_batches_are_drawn_lazily_from_the_given_generator_only(name: str) -> None:
    method, _, train, _, state = begin(name)
    before = torch.get_rng_state()
    assert isinstance(method.batches(train, state, 16, Generator()), Iterator)
    list(method.batches(train, state, 16, Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before)


def test_same_seed_is_bitwise_the_same(name: str) -> None:
    weights = []
    for _ in range(2):
        method, model, train, val, state = begin(name)
        tiny.train(method, model, train, val, state, epochs=2)
        weights.append(model.state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_state_survives_saving_into_a_freshly_started_state(name: str) -> None:
    method, model, train, val, state = begin(name)
    tiny.train(method, model, train, val, state, epochs=2)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "state": state.state_dict()}, file)
    saved = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    torch.manual_seed(99)  # a start that is repeated later finds the generator elsewhere
    fresh_model = tiny.network(seed=5, shape=shape(name))
    fresh = method.start(train, fresh_model, val)
    fresh.load_state_dict(saved["state"])
    fresh_model.load_state_dict(saved["model"])
    losses = tiny.train(method, model, train, val, state, epochs=2, seed=3)
    again = tiny.train(method, fresh_model, train, val, fresh, epochs=2, seed=3)
    assert torch.equal(losses, again)


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_batches_continue_after_those_already_taken(name: str, taken: int) -> None:
    """A continued run skips `taken` batches, although the state is no longer the one they were drawn with."""
    method, model, train, val, state = begin(name)
    optimizer = torch.optim.SGD(model.part(method.stages()[-1].trains).parameters(), lr=1.0)

    def step(rows: Tensor, state: State) -> None:
        optimizer.zero_grad()
        method.loss(train.batch(rows), model, state).backward()
        optimizer.step()

    rng, all_rows, saved = Generator().manual_seed(0), [], None
    for number, rows in enumerate(method.batches(train, state, 4, rng)):
        if number == taken:
            # Batches come lazily, so this one was drawn with the state as it is now.
            saved = deepcopy((state.state_dict(), model.state_dict()))
        all_rows.append(rows)
        step(rows, state)
    assert saved is not None
    model.load_state_dict(saved[1])
    fresh = method.start(train, model, val)
    fresh.load_state_dict(saved[0])
    model.load_state_dict(saved[1])
    rng_again = Generator().manual_seed(0)
    for number, rows in enumerate(islice(method.batches(train, fresh, 4, rng_again), taken, None), taken):
        assert torch.equal(rows, all_rows[number])
        step(rows, fresh)
    assert number == len(all_rows) - 1
    assert torch.equal(rng.get_state(), rng_again.get_state())


def test_draws_do_not_depend_on_the_state(name: str) -> None:
    """The generator ends where it does whatever happened to the state between two batches."""
    ends = []
    for trains in (False, True):
        method, model, train, val, state = begin(name)
        rng = Generator().manual_seed(0)
        for rows in method.batches(train, state, 4, rng):
            if trains:
                method.loss(train.batch(rows), model, state)
                method.end_epoch(train, model, state, val)
        ends.append(rng.get_state())
    assert torch.equal(*ends)
