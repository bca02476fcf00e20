"""Torchvision's networks as encoders."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.transforms._presets import ImageClassification

from evenhand import encoders
from evenhand.encoders._normalise import IMAGENET, Normalise, Published
from evenhand.encoders.mobilenet_v2 import mobilenet_v2
from evenhand.encoders.resnet18 import resnet18
from evenhand.encoders.vit_b_16 import POSITIONS, vit_b_16, with_positions
from evenhand.errors import BadInput
from evenhand.inputs.augmentation import as_floats
from evenhand.model import Model

WIDTHS = {"resnet18": 512, "resnet50": 2048, "mobilenet_v2": 1280, "vit_b_16": 768}
SHAPE = (3, 32, 32)


def pictures(n: int, *, channels: int = 3, side: int = 32) -> Tensor:
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(("name", "n_features"), WIDTHS.items())
@pytest.mark.parametrize("channels", [1, 3])
def test_found_by_name_with_the_published_number_of_features(name: str, n_features: int, channels: int) -> None:
    assert name in encoders.names()
    with torch.device("meta"):
        model = encoders.build(name, (channels, 64, 64), 3)
        assert model.encoder(torch.zeros(2, channels, 64, 64)).shape == (2, n_features)
    assert model.classifier.weight.shape == (3, n_features)


@pytest.mark.parametrize(("name", "n_weights"), [("resnet18", 11_689_512), ("resnet50", 25_557_032)])
def test_with_their_classifier_they_have_the_published_number_of_weights(name: str, n_weights: int) -> None:
    with torch.device("meta"):
        model = encoders.build(name, (3, 224, 224), 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == n_weights


@pytest.mark.parametrize("encode", [resnet18, mobilenet_v2])
def test_features_gradients_and_rows(encode: object) -> None:
    encoder, n_features = encode(SHAPE)  # type: ignore[operator]
    x = pictures(4)
    features = encoder(x)
    assert features.shape == (4, n_features)
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    encoder.eval()
    with torch.no_grad():
        assert torch.equal(encoder(x), encoder(x))
        torch.testing.assert_close(encoder(x)[1:3], encoder(x[1:3]), atol=1e-5, rtol=1e-4)
        last = encoder.to(memory_format=torch.channels_last)
        torch.testing.assert_close(last(x.contiguous(memory_format=torch.channels_last)), encoder(x))


def test_state_survives_saving() -> None:
    one, _ = mobilenet_v2(SHAPE)
    other, _ = mobilenet_v2(SHAPE)
    assert isinstance(one, Published)
    one.normalise.set_to(*IMAGENET)
    one(pictures(4))  # moves the running statistics
    other.load_state_dict(one.state_dict())
    one.eval()
    other.eval()
    assert torch.equal(one(pictures(2)), other(pictures(2)))


def test_features_are_those_before_torchvisions_classifier() -> None:
    encoder, _ = mobilenet_v2(SHAPE)
    theirs = torchvision.models.mobilenet_v2()
    encoder.get_submodule("body").load_state_dict(theirs.state_dict(), strict=False)
    encoder.eval()
    theirs.eval()
    x = pictures(2)
    torch.testing.assert_close(theirs.classifier(encoder(x)), theirs(x))


@pytest.mark.parametrize("encode", [resnet18, mobilenet_v2, vit_b_16])
def test_other_rows_are_refused(encode: object) -> None:
    for shape, message in [
        ((12,), r"takes images \(channels, height, width\), got rows of shape \(12,\)"),
        ((4, 32, 32), "takes images of 3 channels, or of 1 that stands for all, got 4"),
        ((3, 32, 12), r"needs at least (32|16) pixels a side, got 32×12"),
    ]:
        with torch.device("meta"), pytest.raises(BadInput, match=message):
            encode(shape)  # type: ignore[operator]


# --- normalisation ---


def test_normalisation_is_that_of_torchvisions_preset() -> None:
    bytes_ = torch.randint(256, (5, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    preset = ImageClassification(crop_size=20, resize_size=20)
    torch.testing.assert_close(Normalise(*IMAGENET)(as_floats(bytes_)), preset(bytes_), atol=1e-5, rtol=1e-5)


def test_without_weights_nothing_is_changed() -> None:
    x = pictures(3)
    assert torch.equal(Normalise()(x), x)


def test_grey_images_become_three_channels() -> None:
    x = pictures(3, channels=1)
    assert torch.equal(Normalise(*IMAGENET)(x), Normalise(*IMAGENET)(x.expand(-1, 3, -1, -1)))


def test_normalisation_keeps_the_layout_in_memory() -> None:
    x = pictures(3).contiguous(memory_format=torch.channels_last)
    assert Normalise(*IMAGENET)(x).is_contiguous(memory_format=torch.channels_last)


# --- vision transformer ---


@pytest.mark.parametrize("shape", [(3, 40, 40), (3, 32, 48)])
def test_vit_takes_squares_of_whole_patches(shape: tuple[int, ...]) -> None:
    with torch.device("meta"), pytest.raises(BadInput, match="square images of whole 16×16 patches, got"):
        vit_b_16(shape)


def test_positions_are_interpolated_for_another_size() -> None:
    flat = {POSITIONS: torch.full((1, 197, 8), 3.0), "other": torch.zeros(2)}
    found = with_positions(flat, 64)
    assert found[POSITIONS].shape == (1, 17, 8)
    torch.testing.assert_close(found[POSITIONS], torch.full((1, 17, 8), 3.0))
    assert torch.equal(found["other"], flat["other"])
    rising = torch.arange(14.0).repeat_interleave(14)[None, :, None]
    found = with_positions({POSITIONS: torch.cat([torch.zeros(1, 1, 1), rising], dim=1)}, 64)
    rows = found[POSITIONS][0, 1:, 0].view(4, 4)
    torch.testing.assert_close(rows, rows[:, :1].expand(4, 4))
    assert (rows[1:, 0] > rows[:-1, 0]).all()


@pytest.mark.parametrize("positions", [torch.zeros(1, 198, 8), torch.zeros(197, 8), torch.zeros(1, 1, 8)])
def test_positions_of_no_square_are_left_for_the_comparison_of_shapes(positions: Tensor) -> None:
    assert with_positions({POSITIONS: positions}, 64)[POSITIONS] is positions
    assert with_positions({}, 64) == {}


# --- published weights ---


def test_published_weights_are_found_in_torchs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = torchvision.models.MobileNet_V2_Weights.DEFAULT.url.rpartition("/")[2]
    theirs = torchvision.models.mobilenet_v2()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(theirs.state_dict(), folder / file)
    model = encoders.build("mobilenet_v2", SHAPE, 2, weights="pretrained")
    assert isinstance(model, Model)
    for name, value in model.encoder.get_submodule("body").state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name])
    torch.testing.assert_close(model.encoder.get_buffer("normalise.mean"), torch.tensor(IMAGENET[0]))


def test_without_a_network_the_error_says_what_to_fetch_and_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(BadInput) as raised:
        resnet18(SHAPE, weights="pretrained")
    for part in (
        "ResNet18_Weights.IMAGENET1K_V1", "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        str(tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"), "Name or service not known",
    ):  # fmt: skip
        assert part in str(raised.value)
    assert "\n" not in str(raised.value)


def test_nothing_is_downloaded_on_meta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with torch.device("meta"):
        resnet18(SHAPE, weights="pretrained")
    assert not list(tmp_path.iterdir())
