from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor
from torchvision.transforms import v2

from evenhand.inputs._policies import POLICIES, RANDAUGMENT, SAME, AutoAugment, Change, Changes, RandAugment, changed
from evenhand.inputs._policies import magnitude as magnitude_of

SIZE = 24
THEIRS = {
    "identity": "Identity", "shear-x": "ShearX", "shear-y": "ShearY", "translate-x": "TranslateX",
    "translate-y": "TranslateY", "rotate": "Rotate", "brightness": "Brightness", "color": "Color",
    "contrast": "Contrast", "sharpness": "Sharpness", "posterize": "Posterize", "solarize": "Solarize",
    "autocontrast": "AutoContrast", "equalize": "Equalize", "invert": "Invert",
}  # fmt: skip


def pictures(batch: int, *, seed: int = 0) -> Tensor:
    """Smooth pictures with some noise, of all brightnesses."""
    rng = Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 4, 4, generator=rng) * torch.rand(batch, 1, 1, 1, generator=rng) * 240
    smooth = torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")
    return (smooth + torch.randint(15, smooth.shape, generator=rng)).to(torch.uint8)


def theirs(image: Tensor, operation: str, magnitude: float) -> Tensor:
    """One image after torchvision's own operation of this name and magnitude."""
    apply = v2.RandAugment()._apply_image_or_video_transform
    return apply(image, THEIRS[operation], magnitude, interpolation=v2.InterpolationMode.NEAREST, fill={})


def their_magnitude(space: dict, operation: str, level: int, levels: int) -> float:
    values = space[THEIRS[operation]][0](levels, SIZE, SIZE)
    return 0.0 if values is None else float(values[level])


@pytest.mark.parametrize("operation", THEIRS)
@pytest.mark.parametrize("level", [3, 9, 30])
def test_operations_are_those_of_torchvision(operation: str, level: int) -> None:
    strength = their_magnitude(
        v2.RandAugment._AUGMENTATION_SPACE | v2.AutoAugment._AUGMENTATION_SPACE, operation, level, 31
    )
    assert magnitude_of(operation, level, 31, SIZE) == strength
    x = pictures(6)
    signed = v2.AutoAugment._AUGMENTATION_SPACE.get(THEIRS[operation], (None, False))[1]
    for sign in (1, -1) if signed else (1,):
        one_by_one = torch.stack([theirs(image, operation, sign * strength) for image in x])
        assert torch.equal(changed(x, Change(operation, sign * strength)), one_by_one)
        if operation not in ("identity", "solarize"):  # some pictures are darker than the threshold
            assert not torch.equal(one_by_one, x) or strength == 0 or abs(strength) == 8


def test_the_operations_of_randaugment_are_torchvisions() -> None:
    assert {THEIRS[name] for name in RANDAUGMENT} == set(v2.RandAugment._AUGMENTATION_SPACE)


@pytest.mark.parametrize(("policy", "their"), [("cifar", "CIFAR10"), ("imagenet", "IMAGENET")])
def test_policies_are_torchvisions(policy: str, their: str) -> None:
    mine, published = AutoAugment(SIZE, policy), v2.AutoAugment(v2.AutoAugmentPolicy[their])._policies
    assert len(published) == len(mine.probability_P2) == 25
    for pair, entries in enumerate(published):
        for step, (operation, probability, level) in enumerate(entries):
            change = mine.changes.all[mine.changes.of[0, 2 * pair + step]]
            reversed_ = mine.changes.all[mine.changes.of[1, 2 * pair + step]]
            name = change.operation
            signed = v2.AutoAugment._AUGMENTATION_SPACE[operation][1]
            assert THEIRS[name] == operation
            assert float(mine.probability_P2[pair, step]) == pytest.approx(probability)
            strength = their_magnitude(v2.AutoAugment._AUGMENTATION_SPACE, name, level or 0, 10)
            assert change.magnitude == strength
            assert reversed_ == Change(name, -strength if signed else strength)


def test_every_image_goes_through_its_own_change() -> None:
    changes = Changes.among([Change("rotate", 9.0), Change("invert", 0.0), Change("posterize", 4.0)])
    assert len(changes.all) == 5  # the same, rotations to both sides, and the two without a sign
    x = pictures(40)
    change_B = torch.randint(5, (40,), generator=Generator().manual_seed(0))
    one_by_one = [changed(x[i : i + 1], changes.all[k]) for i, k in enumerate(change_B.tolist())]
    assert torch.equal(changes.applied(x, change_B), torch.cat(one_by_one))


def test_choices_and_signs_are_uniform() -> None:
    randaugment = RandAugment(SIZE)
    choice_B = torch.arange(len(RANDAUGMENT)).repeat_interleave(1000)
    drawn_B = randaugment.changes.drawn(choice_B, Generator().manual_seed(0))
    for choice, name in enumerate(RANDAUGMENT):
        found = [randaugment.changes.all[k] for k in drawn_B[choice_B == choice].tolist()]
        assert {change.operation for change in found} == {name}
        positive = sum(change.magnitude >= 0 for change in found)
        assert abs(positive - 500) < 75 or positive == 1000  # 4.7 standard deviations; or without a sign


def test_randaugment_leaves_as_many_images_alone_as_it_should() -> None:
    """Of 14 operations one does nothing; at magnitude 0 only autocontrast, equalize and solarize (of white) do."""
    x = pictures(1)
    x[:, :, 0, 0] = 255  # which no threshold spares
    x = x.expand(4000, -1, -1, -1)
    same = (RandAugment(SIZE, 1, 9)(x, Generator().manual_seed(0)) == x).flatten(1).all(1)
    assert abs(float(same.float().mean()) - 1 / 14) < 0.02
    same = (RandAugment(SIZE, 1, 0)(x, Generator().manual_seed(0)) == x).flatten(1).all(1)
    assert abs(float(same.float().mean()) - 11 / 14) < 0.03


@pytest.mark.parametrize("policy", POLICIES)
def test_autoaugment_applies_each_pair_with_its_probabilities(policy: str) -> None:
    """How often nothing is done, and how often each change, follows from the table."""
    augment, n_images = AutoAugment(SIZE, policy), 20_000
    counted = torch.zeros(2, len(augment.changes.all))

    class Counting(Changes):
        def applied(self, x_BCHW: Tensor, change_B: Tensor) -> Tensor:
            counted[step[0]] += torch.bincount(change_B, minlength=len(self.all))
            step[0] += 1
            return x_BCHW

    step = [0]
    augment.changes = Counting(augment.changes.all, augment.changes.of)
    augment(torch.zeros(n_images, 1), Generator().manual_seed(0))
    expected = torch.zeros_like(counted)
    for pair, probabilities in enumerate(augment.probability_P2.tolist()):
        for k, probability in enumerate(probabilities):
            for sign in range(2):
                expected[k, augment.changes.of[sign, 2 * pair + k]] += n_images / 25 * probability / 2
            expected[k, augment.changes.all.index(SAME)] += n_images / 25 * (1 - probability)
    assert ((counted - expected).abs() <= 5 * expected.sqrt()).all()
