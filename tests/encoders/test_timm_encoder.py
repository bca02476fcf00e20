"""Networks of timm as encoders."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from evenhand import encoders
from evenhand.encoders._normalise import Published
from evenhand.errors import BadInput

timm = pytest.importorskip("timm")


def body(model: torch.nn.Module) -> torch.nn.Module:
    return model.get_submodule("encoder.body")


@pytest.mark.parametrize(
    ("item", "n_features"),
    [
        ("test_resnet", 96),
        ("test_vit", 64),
        ("mobilenetv3_small_050", 1024),
        ("vgg11", 4096),
        ("test_efficientnet", 256),
    ],
)
def test_features_have_the_width_that_the_network_gives(item: str, n_features: int) -> None:
    with torch.device("meta"):
        model = encoders.build(f"timm:{item}", (3, 64, 64), 3).eval()
        assert model.encoder(torch.zeros(2, 3, 64, 64)).shape == (2, n_features)
    assert model.classifier.weight.shape == (3, n_features)


def test_features_gradients_and_rows() -> None:
    model = encoders.build("timm:test_resnet", (1, 40, 40), 2)
    x = torch.rand(4, 1, 40, 40) * 2 - 1
    model(x).square().sum().backward()
    assert all(p.grad is not None for p in model.encoder.parameters())
    first = next(model.encoder.parameters()).grad
    assert first is not None
    assert first.abs().sum() > 0
    model.eval()
    assert torch.equal(model(x), model(x))
    torch.testing.assert_close(model.encoder(x)[1:3], model.encoder(x[1:3]))
    last = model.encoder.to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(x.contiguous(memory_format=torch.channels_last)), model.encoder(x))


@pytest.mark.parametrize("item", ["test_resnet", "resnet10t"])
@pytest.mark.parametrize("file", ["w.safetensors", "w.pth"])
def test_timms_own_files_are_read_with_timms_normalisation(tmp_path: Path, item: str, file: str) -> None:
    theirs = timm.create_model(item, num_classes=7)
    if file.endswith("pth"):
        torch.save({"state_dict": theirs.state_dict()}, tmp_path / file)
    else:
        safetensors.torch.save_file(theirs.state_dict(), tmp_path / file)
    model = encoders.build(f"timm:{item}", (3, 64, 64), 2, weights=str(tmp_path / file)).eval()
    for name, value in body(model).state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name])
    config = theirs.pretrained_cfg
    bytes_01 = torch.rand(2, 3, 64, 64)
    normalised = (bytes_01 - torch.tensor(config["mean"])[:, None, None]) / torch.tensor(config["std"])[:, None, None]
    torch.testing.assert_close(
        theirs.eval().get_classifier()(model.encoder(bytes_01 * 2 - 1)), theirs(normalised), atol=1e-4, rtol=1e-4
    )


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "w.pth")
    with pytest.raises(BadInput, match=r"w.pth .* the encoder timm:resnet10t"):
        encoders.build("timm:resnet10t", (3, 64, 64), 2, weights=str(tmp_path / "w.pth"))


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("timm:resnet181", (3, 64, 64), r"timm .* has no network 'resnet181'; did you mean resnet18 or"),
        ("timm:resnet18.nobody", (3, 64, 64), r"timm cannot build the network 'resnet18.nobody'"),
        ("timm:test_vit", (3, 30, 30), r"timm:test_vit does not take images of 30×30 pixels"),
        ("timm:test_resnet", (2, 64, 64), "images of 3 channels, or of 1"),
        ("timm:test_resnet", (9,), r"takes images .* got rows of shape \(9,\)"),
    ],
)
def test_errors_say_what_was_wanted(name: str, shape: tuple[int, ...], message: str) -> None:
    for device in ("cpu", "meta"):
        with torch.device(device), pytest.raises(BadInput, match=message):
            encoders.build(name, shape, 2)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no way to the hub itself."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_without_a_network_the_error_says_what_to_fetch(offline: Path) -> None:
    with pytest.raises(
        BadInput, match=r"weights test_resnet.r160_in1k .* https://huggingface.co/timm/test_resnet.r160"
    ):
        encoders.build("timm:test_resnet", (3, 64, 64), 2, weights="pretrained")


def test_networks_without_published_weights_say_so(offline: Path) -> None:
    item = next(name for name in timm.list_models("resnet*") if not timm.models.get_pretrained_cfg(name).has_weights)
    with pytest.raises(BadInput, match=f"timm has no published weights of the network '{item}'; weights takes none or"):
        encoders.build(f"timm:{item}", (3, 64, 64), 2, weights="pretrained")


def test_published_weights_are_found_in_the_hubs_cache(offline: Path) -> None:
    theirs = timm.create_model("test_resnet")
    folder = offline / "models--timm--test_resnet.r160_in1k"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    safetensors.torch.save_file(theirs.state_dict(), folder / "snapshots" / "abc" / "model.safetensors")
    model = encoders.build("timm:test_resnet", (3, 64, 64), 2, weights="pretrained")
    assert isinstance(model.encoder, Published)
    for name, value in body(model).state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name])
    torch.testing.assert_close(model.encoder.normalise.mean, torch.tensor(theirs.pretrained_cfg["mean"]))
