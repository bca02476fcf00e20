"""Weights from files: every usual form is taken, everything else is refused in words, and no code is executed."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn

from evenhand import encoders
from evenhand.encoders._matching import common_prefix, fill
from evenhand.encoders._normalise import IMAGENET, Published
from evenhand.encoders._weights import load, read
from evenhand.encoders.mobilenet_v2 import mobilenet_v2
from evenhand.encoders.resnet10_small import resnet10_small
from evenhand.errors import BadInput

SHAPE = (3, 32, 32)
Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def published() -> Weights:
    """A state dict of torchvision's own network, with its classifier."""
    torch.manual_seed(5)
    return dict(torchvision.models.mobilenet_v2().state_dict())


def small(widths: tuple[int, ...] = (4, 6), *, seed: int = 5) -> Weights:
    torch.manual_seed(seed)
    return dict(resnet10_small(SHAPE, widths)[0].state_dict())


def store(tensors: Any, path: Path) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


def assert_holds(module: nn.Module, weights: Weights) -> None:
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, weights[name], atol=0, rtol=0)


def behind(prefix: str, weights: Weights) -> Weights:
    return {prefix + name: value for name, value in weights.items()}


# --- what is taken ---


@pytest.mark.parametrize(
    ("file", "wrap"),
    [
        ("w.safetensors", lambda w: w),
        ("w.pth", lambda w: w),
        ("w.pt", lambda w: behind("module.", w)),
        ("w.pth", lambda w: {"state_dict": behind("backbone.", w), "epoch": 3}),
        ("w.pth.tar", lambda w: {"model": {"net": behind("module.encoder.", w)}}),
        ("w.bin", lambda w: behind("model.", w) | {"queue": torch.zeros(3), "projector.0.weight": torch.zeros(3)}),
        ("w.pt", lambda w: {name: value for name, value in w.items() if not name.startswith("classifier")}),
        ("w.pt", lambda w: {name: value for name, value in w.items() if not name.endswith("num_batches_tracked")}),
    ],
)
def test_published_networks_are_read_in_every_usual_form(
    tmp_path: Path, published: Weights, file: str, wrap: Callable[[Weights], Any]
) -> None:
    path = store(wrap(published), tmp_path / file)
    encoder, _ = mobilenet_v2(SHAPE, weights=str(path))
    assert isinstance(encoder, Published)
    assert_holds(encoder.body, published)
    torch.testing.assert_close(encoder.normalise.mean, torch.tensor(IMAGENET[0]))
    torch.testing.assert_close(encoder.normalise.std, torch.tensor(IMAGENET[1]))


def test_a_finished_runs_folder_brings_its_normalisation(tmp_path: Path) -> None:
    model = encoders.build("mobilenet_v2", SHAPE, 2)
    encoder = model.encoder
    assert isinstance(encoder, Published)
    encoder.normalise.set_to((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    store(model.state_dict(), tmp_path / "model.safetensors")
    found, _ = mobilenet_v2(SHAPE, weights=str(tmp_path))
    assert_holds(found, encoder.state_dict())


def test_encoders_without_published_weights_take_files_too(tmp_path: Path) -> None:
    model = encoders.build("resnet10_small", SHAPE, 3, widths=(4, 6))
    store(model.state_dict(), tmp_path / "model.safetensors")
    found = encoders.build("resnet10_small", SHAPE, 5, widths=(4, 6), weights=str(tmp_path))
    assert_holds(found.encoder, dict(model.encoder.state_dict()))
    assert found.classifier.weight.shape == (5, 6)


def test_the_prefix_is_the_shortest_with_most_of_the_names() -> None:
    wanted = {"encoder.ln": torch.zeros(1), "conv": torch.zeros(1)}
    names = ["encoder.ln", "conv", "module.encoder.ln", "backbone.module.conv"]
    assert common_prefix(wanted, dict.fromkeys(names, torch.zeros(1))) == ""
    assert common_prefix(wanted, dict.fromkeys(names[2:], torch.zeros(1))) == "module."
    assert common_prefix(wanted, {"unknown.conv": torch.zeros(1)}) == ""


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    weights = small()
    path = store({name: v.half() if v.is_floating_point() else v for name, v in weights.items()}, tmp_path / "w.pt")
    module, _ = resnet10_small(SHAPE, (4, 6))
    load(module, str(path), "resnet10_small")
    for name, value in module.state_dict().items():
        assert value.dtype == weights[name].dtype
        torch.testing.assert_close(value, weights[name], atol=1e-3, rtol=1e-3)


# --- what is refused ---


def refused(tmp_path: Path, tensors: Any, message: str) -> None:
    """Loading raises, names the file, and leaves the network as it was."""
    path = store(tensors, tmp_path / "w.pth")
    module, _ = resnet10_small(SHAPE, (4, 6))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(BadInput, match=message) as raised:
        load(module, str(path), "resnet10_small")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert_holds(module, before)


def test_a_missing_weight_is_named(tmp_path: Path) -> None:
    weights = small()
    del weights["3.conv2.weight"], weights["4.norm1.bias"]
    refused(tmp_path, weights, r"lacks 2 weights of the encoder resnet10_small, the first of them 3.conv2.weight of sh")


def test_another_shape_is_named_with_both_shapes(tmp_path: Path) -> None:
    refused(
        tmp_path, behind("module.", small((4, 8))),
        r"holds module.4.conv1.weight of shape \(8, 4, 3, 3\); the encoder resnet10_small wants \(6, 4, 3, 3\)",
    )  # fmt: skip


def test_a_larger_network_is_not_loaded_in_part(tmp_path: Path) -> None:
    refused(tmp_path, small((4, 6)) | {"9.conv1.weight": torch.zeros(3)}, "of another network .* no 9.conv1.weight")


def test_further_layers_of_a_published_network_are_refused(published: Weights) -> None:
    encoder, _ = mobilenet_v2(SHAPE)
    assert isinstance(encoder, Published)
    with pytest.raises(BadInput, match=r"FILE is of another network than the encoder mobilenet_v2, .* features.99.w"):
        fill(encoder.body, published | {"features.99.w": torch.zeros(1)}, "FILE", "mobilenet_v2")


def test_names_of_nothing_known_are_quoted(tmp_path: Path) -> None:
    weights = dict.fromkeys(["a.b", "c", "d", "e"], torch.zeros(1))
    refused(tmp_path, weights, "no weights of the encoder resnet10_small: it names a.b, c, d, …; wanted are 0.weight, ")


@pytest.mark.parametrize("found", [torch.zeros(3), [torch.zeros(3)], {}, {"epoch": 3}])
def test_files_without_names_are_refused(tmp_path: Path, found: Any) -> None:
    refused(tmp_path, found, f"holds no weights by name but a {type(found).__name__}")


class _Code:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_file_is_not_executed(tmp_path: Path) -> None:
    refused(tmp_path, {"0.weight": _Code(tmp_path / "touched")}, r"without executing code from it \(UnpicklingError")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(_Code(tmp_path / "touched")))
    with pytest.raises(BadInput, match="without executing code from it"):
        read(tmp_path / "plain.pt")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("file", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"version https://git-lfs.github.com/spec/v1\noid", b"\x80\x02", b"PK\x03\x04cut"])
def test_damaged_files_are_refused(tmp_path: Path, file: str, content: bytes) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(BadInput, match=f"{file} is not a file of weights that can be read"):
        read(tmp_path / file)


@pytest.mark.parametrize("file", ["w.pth", "w.safetensors"])
def test_a_file_cut_short_is_refused(tmp_path: Path, file: str) -> None:
    path = store(small(), tmp_path / file)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadInput, match="is not a file of weights that can be read"):
        read(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.pt").touch()
    with pytest.raises(BadInput, match=r"the file of weights .*w.pt is empty"):
        read(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["resnet10_small", "mobilenet_v2"])
def test_what_is_not_there_is_refused_also_on_meta(tmp_path: Path, name: str) -> None:
    (tmp_path / "w.csv").touch()
    for weights, message in [
        (tmp_path / "absent.pt", r"there is no file .*absent.pt"),
        (tmp_path, r"the folder .* holds no model.safetensors"),
        (tmp_path / "w.csv", r"files of weights end in .safetensors, .pth, .*, got .*w.csv"),
    ]:
        for device in ("cpu", "meta"):
            with torch.device(device), pytest.raises(BadInput, match=message):
                encoders.build(name, SHAPE, 2, weights=str(weights))


@pytest.mark.parametrize("name", ["resnet10_small", "mobilenet_v2"])
def test_on_meta_files_are_looked_for_but_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "w.pt").write_text("no weights")
    with torch.device("meta"):
        model = encoders.build(name, SHAPE, 2, weights=str(tmp_path / "w.pt"))
    assert all(parameter.is_meta for parameter in model.parameters())
    with pytest.raises(BadInput, match="is not a file of weights"):
        encoders.build(name, SHAPE, 2, weights=str(tmp_path / "w.pt"))


# --- by name ---


def test_options_that_an_encoder_lacks_are_refused() -> None:
    with pytest.raises(BadInput, match="no published weights of the encoder resnet10_small; weights takes none or a p"):
        encoders.build("resnet10_small", SHAPE, 2, weights="pretrained")
    with pytest.raises(BadInput, match=r"unknown option of the encoder resnet18 'widths'"):
        encoders.build("resnet18", SHAPE, 2, widths=(3,))
    with pytest.raises(BadInput, match=r"the encoder resnet18 takes nothing after a colon, got 'resnet18:x'"):
        encoders.build("resnet18:x", SHAPE, 2)
    with pytest.raises(BadInput, match=r"the encoder timm needs a name after a colon, timm:NAME, got 'timm'"):
        encoders.build("timm", SHAPE, 2)


# --- identity of files ---


def test_digests_are_of_the_content(tmp_path: Path) -> None:
    file = tmp_path / "a.pt"
    file.write_bytes(b"one")
    assert encoders.digest(str(file)) == hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"another")
    assert encoders.digest(str(file)) == hashlib.sha256(b"another").hexdigest()
    assert encoders.digest("none") is encoders.digest("pretrained") is encoders.digest("no/such/file") is None


def test_a_folders_digest_is_of_its_model_or_else_of_all_its_parts(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"model-{number}.safetensors").write_bytes(bytes(number))
    parts = encoders.digest(str(tmp_path))
    (tmp_path / "model-2.safetensors").write_bytes(b"2")
    assert encoders.digest(str(tmp_path)) != parts
    (tmp_path / "model.safetensors").write_bytes(b"model")
    assert encoders.digest(str(tmp_path)) == hashlib.sha256(b"model").hexdigest()
