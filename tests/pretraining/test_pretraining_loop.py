"""Pretraining as a training: it learns, follows from its seed, and continues where it was killed."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Generator, Tensor
from unlabelled import SIDE, pictures, transformer

from evenhand import encoders
from evenhand.batch import TensorInputs
from evenhand.data.digits import Digits
from evenhand.errors import BadInput, RunFailed
from evenhand.model import Model
from evenhand.pretraining import pretrain
from evenhand.randomness import seed_everything
from evenhand.settings import Settings

OPTIONS = {
    "barlowtwins": ("batch_size=8", "dimension=16"),
    "moco": ("batch_size=8", "dimension=8", "momentum=0.9"),
    "mae": ("batch_size=8", "decoder_width=16", "decoder_depth=1", "decoder_heads=2", "lr=0.03"),
}
SETTINGS = [
    Settings(pretrain=name, pretrain_epochs=2, pretrain_options=options, device="cpu")
    for name, options in OPTIONS.items()
]
each = pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.pretrain)


def model(settings: Settings) -> Model:
    seed_everything(settings.seed)
    if settings.pretrain == "mae":
        return Model.linear(transformer(), 16, 2)
    return encoders.build("small_cnn", (3, SIDE, SIDE), 2, widths=(4, 8))


def trained(settings: Settings, inputs: Any = None, **options: Any) -> dict[str, Tensor]:
    made = model(settings)
    pretrain(made, inputs or pictures(40).inputs, settings, **options)
    return made.encoder.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


class Killed(BaseException):
    """The process is asked to stop."""


class Mortal(TensorInputs):
    """Inputs that end the process when they are asked for a batch once too often."""

    left = 0

    def take(self, rows: Tensor, rng: Generator | None = None) -> Tensor:
        if len(rows) > 1:
            type(self).left -= 1
            if self.left < 0:
                raise Killed
        return super().take(rows)

    def to(self, device: torch.device) -> Mortal:
        return self


@each
def test_the_same_seed_gives_the_same_encoder_and_another_seed_another(settings: Settings) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    start = model(settings)
    torch.set_rng_state(before)
    first, again = deepcopy(start), deepcopy(start)
    records = pretrain(first, pictures(40).inputs, settings)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert pretrain(again, pictures(40).inputs, settings)[1]["loss"] == records[1]["loss"]
    assert same(first.encoder.state_dict(), again.encoder.state_dict())
    other = deepcopy(start)
    pretrain(other, pictures(40).inputs, replace(settings, seed=1))
    assert not same(first.encoder.state_dict(), other.encoder.state_dict())
    assert same(first.classifier.state_dict(), start.classifier.state_dict())


@each
@pytest.mark.parametrize("every", [0.0, 1e9])
@pytest.mark.parametrize("batches", [2, 7])
def test_a_killed_pretraining_continues_bit_for_bit(
    settings: Settings, every: float, batches: int, tmp_path: Path
) -> None:
    inputs, file = pictures(40).inputs, tmp_path / "snapshot.pt"
    assert isinstance(inputs, TensorInputs)
    Mortal.left = batches
    with pytest.raises(Killed):
        trained(settings, Mortal(inputs.x), checkpoint=file, checkpoint_every=every)
    assert file.exists() == (every == 0 or batches > 5)
    taken: list[int] = []
    Mortal.left = 10
    torch.manual_seed(99)
    made = model(settings)
    inputs_again = Mortal(inputs.x)
    records = pretrain(made, inputs_again, settings, checkpoint=file, on_epoch=lambda all_: taken.append(len(all_)))
    done = batches if every == 0 else batches // 5 * 5
    assert 10 - Mortal.left == 10 - done
    assert taken == [1, 2][done // 5 :]
    assert [record["epoch"] for record in records] == [0, 1]
    assert same(made.encoder.state_dict(), trained(settings))


def test_a_snapshot_of_another_pretraining_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "snapshot.pt"
    trained(SETTINGS[0], checkpoint=file, checkpoint_every=0.0)
    with pytest.raises(BadInput, match=r"is of another pretraining \(BarlowTwins.*seed 0.*not of this one.*seed 1"):
        trained(replace(SETTINGS[0], seed=1), checkpoint=file)


@each
def test_the_loss_falls_where_images_differ(settings: Settings) -> None:
    """Of images of one colour each: the views of one agree, those of two do not."""
    rng = Generator().manual_seed(0)
    x = (torch.rand(64, 3, 1, 1, generator=rng) * 2 - 1).expand(-1, -1, SIDE, SIDE).contiguous()
    options = (*settings.pretrain_options, *(("normalise=false",) if settings.pretrain == "mae" else ()))
    longer = replace(settings, pretrain_epochs=12, pretrain_options=options)
    losses = [record["loss"] for record in pretrain(model(longer), TensorInputs(x), longer)]
    # MoCo's queue is random at first, which is easier than keys of other images; eight keys leave little to gain.
    assert losses[-1] < {"barlowtwins": 0.8, "moco": 0.95, "mae": 0.8}[settings.pretrain] * max(losses[:3])


def test_labels_and_groups_have_no_way_in() -> None:
    one, other = pictures(40), pictures(40)
    other.y.fill_(1)
    assert other.attributes is not None
    other.attributes.zero_()
    assert same(trained(SETTINGS[0], one.inputs), trained(SETTINGS[0], other.inputs))


def test_rows_that_fill_no_batch_are_left_out_and_few_rows_are_one_batch() -> None:
    Mortal.left = 100
    for n_rows, batches in ((39, 8), (40, 10), (5, 2)):
        inputs = pictures(n_rows).inputs
        assert isinstance(inputs, TensorInputs)
        before = Mortal.left
        trained(SETTINGS[0], Mortal(inputs.x))
        assert before - Mortal.left == batches


def test_a_loss_that_is_not_finite_fails_and_says_where() -> None:
    settings = replace(SETTINGS[0], pretrain_options=("batch_size=8", "dimension=16", "lr=1e30"))
    with pytest.raises(RunFailed, match=r"pretraining by barlowtwins became .* in epoch 1 of 2, batch \d of 5; try a"):
        trained(settings)


@pytest.mark.parametrize("settings", SETTINGS[:2], ids=lambda settings: settings.pretrain)
def test_lower_precision_trains_too(settings: Settings) -> None:
    weights = trained(replace(settings, precision="bf16-mixed"))
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    assert not same(weights, trained(settings))


def knn_accuracy(encoder: torch.nn.Module, digits: Digits) -> float:
    """Share of the validation images whose digit (0-9) most of the ten nearest training images show."""
    data = digits.load(None)
    encoder.eval()
    features = []
    with torch.no_grad():
        for split in (data.train, data.val):
            x = split.inputs.take(torch.arange(len(split)))
            features.append(torch.nn.functional.normalize(encoder(x)).numpy())
    neighbours = KNeighborsClassifier(10).fit(features[0], digits.composites("train").digit)
    return float(neighbours.score(features[1], digits.composites("val").digit))


@pytest.mark.parametrize(("name", "margin"), [("barlowtwins", 0.04), ("moco", 0.08)])
def test_features_of_digits_become_better_without_labels(name: str, margin: float) -> None:
    """Without labels the digits are told apart better than by a random encoder.

    In these images the colour tells one from all others, so views are drawn in all colours, or in none.
    """
    digits = Digits(copies=2)
    train = digits.load(None).train
    sizes = {"barlowtwins": ("batch_size=128", "dimension=256"), "moco": ("batch_size=128", "momentum=0.99")}[name]
    options = (*sizes, "window=0.6", "hue=0.5", "grey=0.5")
    settings = Settings(pretrain=name, pretrain_epochs=8, pretrain_options=options, device="cpu")
    seed_everything(0)
    made = encoders.build("small_cnn", (3, 32, 32), 2)
    before = knn_accuracy(made.encoder, digits)
    records = pretrain(made, train.inputs, settings)
    after = knn_accuracy(made.encoder, digits)
    assert records[-1]["loss"] < max(record["loss"] for record in records)
    assert after > before + margin
