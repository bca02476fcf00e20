"""Training on images: augmented where it should be and nowhere else, and exact when continued."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Generator, Tensor, nn

from evenhand.batch import Batch, Split
from evenhand.encoders import build
from evenhand.evaluation import predict
from evenhand.inputs.augmentation import augmentation
from evenhand.inputs.images import ImageInputs, MemoryPixels
from evenhand.methods._base import Method, Stage, State
from evenhand.methods.erm import ERM
from evenhand.model import Model, in_chunks
from evenhand.settings import Settings
from evenhand.train import fit

SIZE = 16


def images(n_rows: int, seed: int, augment: str = "crop+flip") -> Split:
    rng = Generator().manual_seed(seed)
    pixels = torch.randint(256, (n_rows, 3, SIZE, SIZE), generator=rng, dtype=torch.uint8)
    y, attribute = torch.arange(n_rows) % 2, torch.arange(n_rows) // 2 % 2
    inputs = ImageInputs(MemoryPixels(pixels), size=SIZE, augmentation=augmentation(augment, SIZE))
    return Split(inputs, y, 2, attribute[:, None], (2,))


TRAIN, VAL = images(50, 0), images(20, 1, "none")
SETTINGS = Settings(epochs=2, batch_size=16, lr=0.01, schedule="onecycle", optimizer="sgd")


class Stop:
    """After how many losses a training ends."""

    after = 10**9


@dataclass(frozen=True)
class Stopping(Method):
    """Plain training that keeps its inputs."""

    seen: ClassVar[list[Tensor]] = []
    needs_groups = True

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        if len(self.seen) == Stop.after:
            raise KeyboardInterrupt
        self.seen.append(batch.x)
        return nn.functional.cross_entropy(model(batch.x), batch.y)


def train(**options: Any) -> tuple[Tensor, list[Tensor]]:
    """The weights that a training ends with, and the inputs of its steps."""
    Stopping.seen.clear()
    fitted = fit(fresh(), Stopping(), TRAIN, VAL, SETTINGS, **options)
    return weights(fitted.model), list(Stopping.seen)


def fresh() -> Model:
    torch.manual_seed(0)
    return build("resnet10_small", (3, SIZE, SIZE), 2, widths=(4, 8))


def weights(model: Model) -> Tensor:
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


@pytest.mark.parametrize("after", [1, 2, 5, 7])
def test_continued_within_an_epoch_it_is_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    wanted, inputs = train()
    monkeypatch.setattr(Stop, "after", after)
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=tmp_path / "c.pt", checkpoint_every=0)
    before = list(Stopping.seen)
    monkeypatch.undo()
    found, rest = train(checkpoint=tmp_path / "c.pt")
    assert torch.equal(found, wanted)
    assert len(before) + len(rest) == len(inputs)
    assert all(torch.equal(a, b) for a, b in zip(before + rest, inputs, strict=True))


def test_training_batches_are_augmented_afresh_in_every_epoch_and_statistics_are_not() -> None:
    _, inputs = train()
    first, second = (torch.cat(inputs[part]) for part in (slice(0, 4), slice(4, None)))
    plain = TRAIN.inputs.take(torch.arange(50))

    def rows_found(seen: Tensor) -> int:
        return sum(bool((seen == row).flatten(1).all(1).any()) for row in plain)

    assert rows_found(first) < 25  # some crops are the image itself
    assert not torch.equal(first.sort(0).values, second.sort(0).values)
    assert torch.equal(torch.cat([batch.x for batch in in_chunks(TRAIN)]), plain)
    assert torch.equal(predict(fresh(), TRAIN), predict(fresh(), images(50, 0, "none")))


def test_another_seed_augments_otherwise() -> None:
    one, same, other = (TRAIN.batch(torch.arange(8), Generator().manual_seed(seed)).x for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@dataclass(frozen=True)
class Solved(Method):
    """A classifier that is set, not trained."""

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        with torch.no_grad():
            model.classifier.weight.fill_(7.0)
        return State()

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        raise AssertionError("a stage of no epochs makes no step")

    def stages(self) -> tuple[Stage, ...]:
        return Stage(ERM(), epochs=1), Stage(self, epochs=0, trains="classifier", split="val")


def test_a_stage_of_no_epochs_is_its_start_evaluated_once() -> None:
    fitted = fit(fresh(), Solved(), TRAIN, VAL, SETTINGS)
    assert [(record["stage"], record["epoch"]) for record in fitted.history] == [(0, 0), (1, 0)]
    assert bool((fitted.model.classifier.weight == 7).all())
    assert fitted.history[1]["train"] is None


@dataclass(frozen=True)
class Scaled(ERM):
    """Plain training of a network with one more layer."""

    def prepare(self, model: Model) -> Model:
        return Model(nn.Sequential(model.encoder, nn.BatchNorm1d(8)), model.classifier)


def test_a_method_prepares_the_network_once() -> None:
    fitted = fit(fresh(), Scaled(), TRAIN, VAL, SETTINGS)
    assert isinstance(fitted.model.encoder[1], nn.BatchNorm1d)
    assert sum(isinstance(module, nn.BatchNorm1d) for module in fitted.model.modules()) == 1


def test_settings_choose_another_augmentation() -> None:
    from dataclasses import replace

    from evenhand.errors import BadInput
    from evenhand.inputs.augmented import augmented

    flipped = augmented(TRAIN.subset(torch.arange(10)), "flip")
    seen = flipped.batch(torch.arange(10), Generator().manual_seed(0)).x
    plain = TRAIN.batch(torch.arange(10)).x
    assert all(torch.equal(a, b) or torch.equal(a, b.flip(-1)) for a, b in zip(seen, plain, strict=True))
    assert not torch.equal(seen, plain)
    chosen = fit(fresh(), ERM(), TRAIN, VAL, replace(SETTINGS, augment="flip"))
    same = fit(fresh(), ERM(), augmented(TRAIN, "flip"), VAL, SETTINGS)
    assert torch.equal(weights(chosen.model), weights(same.model))
    assert not torch.equal(weights(chosen.model), weights(fit(fresh(), ERM(), TRAIN, VAL, SETTINGS).model))
    with pytest.raises(BadInput, match="augment=flip is for images"):
        augmented(Split.of(torch.randn(4, 3), torch.tensor([0, 1, 0, 1])), "flip")
