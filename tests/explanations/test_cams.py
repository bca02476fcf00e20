"""Class activation maps against maps written by hand, and the cut network against the whole one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand import encoders
from evenhand.errors import BadInput
from evenhand.explanations import cams, halves
from evenhand.explanations.cams import KINDS, ablation_weights, maps
from evenhand.explanations.layers import Layer, find_layer
from evenhand.model import Model

pytest.importorskip("pytorch_grad_cam", reason="the extra explain is not installed")
A = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]]])
G = torch.tensor([[[0.5, 0.5], [0.5, 0.5]], [[-1.0, -1.0], [-1.0, 1.0]]])
TWO_BY_TWO = Layer("encoder.0", (2, 2), 1)


class Given(nn.Module):
    """A logit whose gradient at the layer is known: inputs are activations, `logit = (G * A).sum()` for class 0."""

    def __init__(self, gradient: Tensor) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Identity(), nn.Flatten())
        self.classifier = nn.Linear(gradient.numel(), 2, bias=False)
        with torch.no_grad():
            self.classifier.weight.copy_(torch.stack([gradient.flatten(), torch.zeros(gradient.numel())]))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.classifier(self.encoder(x))
        return found


def scaled(raw: Tensor, side: int) -> np.ndarray[Any, Any]:
    """Without negative values, from 0 to 1, and enlarged; places outside the middle of the outermost repeat them."""
    positive = raw.clamp(min=0)
    positive = positive - positive.min()
    positive = positive / (positive.max() + 1e-7)
    large = F.interpolate(positive[None, None], (side, side), mode="bilinear", align_corners=False)[0, 0]
    large = large - large.min()
    return (large / (large.max() + 1e-7)).numpy()


def by_hand(kind: str, a: Tensor, g: Tensor, score: float, off: Callable[[int], float]) -> Tensor:
    """The raw map (height, width) of one image, channel by channel and place by place."""
    raw = torch.zeros(a.shape[1:])
    for c in range(len(a)):
        if kind == "gradcam":
            raw += g[c].mean() * a[c]
        elif kind == "gradcam++":
            weight = 0.0
            for value in g[c].flatten().tolist():
                if value > 0:
                    weight += value * value**2 / (2 * value**2 + a[c].sum().item() * value**3 + 1e-6)
            raw += weight * a[c]
        elif kind == "ablation":
            raw += (score - off(c)) / score * a[c]
        elif kind == "hires":
            raw += g[c] * a[c]
        else:
            raw += g[c].clamp(min=0) * a[c]
    return raw


def model_of(name: str, shape: tuple[int, ...], **options: Any) -> Model:
    torch.manual_seed(0)
    model = encoders.build(name, shape, 3, **options).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):  # not the identity
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 1.5)
    return model


def images(n_rows: int, shape: tuple[int, ...]) -> Tensor:
    return torch.rand(n_rows, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("gradcam", [[0, 0], [0, 0]]),
        ("gradcam++", [[1, 0], [0, 0.4]]),
        ("hires", [[0, 0], [0, 2]]),
        ("layer", [[0.5, 0], [0, 2]]),
    ],
)
def test_the_maps_of_two_channels_computed_by_hand(kind: str, raw: list[list[float]]) -> None:
    found = maps(Given(G), A[None], torch.tensor([0]), (kind,), layer=TWO_BY_TWO)[kind][0]
    np.testing.assert_allclose(found, scaled(torch.tensor(raw), 2), atol=1e-5)


def test_plus_plus_weights_computed_by_hand() -> None:
    """w = (0.8, 0.2): the first channel counts four times as much as the second."""
    g = G[0, 0, 0].item()
    first = 4 * g * g**2 / (2 * g**2 + A[0].sum().item() * g**3)
    assert first == pytest.approx(0.8)
    assert 1.0 / (2 + A[1].sum().item() * 1.0) == pytest.approx(0.2)


@pytest.mark.parametrize(("sign", "weights"), [(1, (0.25, -0.25)), (-1, (0.25, -0.25)), (0, (0.0, 0.0))])
def test_ablation_weights_of_a_positive_a_negative_and_no_score(sign: int, weights: tuple[float, float]) -> None:
    """s = 4 with s_off = (3, 5), all of it with the other sign, and s = 0."""
    gradient = torch.zeros(2, 2, 2)
    gradient[0, 0, 0], gradient[1, 0, 0] = sign * 1.0, sign * -1.0
    model = Given(gradient)
    model.classifier.bias = nn.Parameter(torch.tensor([sign * 4.0, 0.0]))
    activations = torch.zeros(1, 2, 2, 2)
    activations[0, :, 0, 0] = 1.0
    with torch.no_grad():
        assert model(activations)[0, 0] == 4 * sign
    found = ablation_weights(model, model.encoder[0], TWO_BY_TWO, activations, torch.tensor([0]))
    np.testing.assert_allclose(found, [weights])


def test_a_negative_score_changes_the_sign_of_the_weights() -> None:
    """s = -4 and s_off = (-5, -3)."""
    gradient = torch.zeros(2, 2, 2)
    gradient[0, 0, 0], gradient[1, 0, 0] = 1.0, -1.0
    model = Given(gradient)
    model.classifier.bias = nn.Parameter(torch.tensor([-4.0, 0.0]))
    activations = torch.zeros(1, 2, 2, 2)
    activations[0, :, 0, 0] = 1.0
    found = ablation_weights(model, model.encoder[0], TWO_BY_TWO, activations, torch.tensor([0]))
    np.testing.assert_allclose(found, [[-0.25, 0.25]])


def test_a_map_of_zeros_stays_zero() -> None:
    found = maps(Given(torch.zeros(2, 2, 2)), A[None], torch.tensor([0]), layer=TWO_BY_TWO)
    assert set(found) == set(KINDS)
    for each in found.values():
        assert not each.any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_map_of_a_small_network_is_that_of_the_slow_reference(kind: str) -> None:
    shape = (3, 32, 32)
    model, x = model_of("small_cnn", shape, widths=(4, 6)), images(3, shape)
    targets = torch.tensor([0, 2, 1])
    found = maps(model, x, targets, (kind,))[kind]
    body, tail = model.encoder[:6], nn.Sequential(model.encoder[6:], model.classifier)
    for row in range(3):
        a = body(x[row : row + 1]).detach().requires_grad_()
        score = tail(a)[0, targets[row]]
        (g,) = torch.autograd.grad(score, a)

        def off(c: int, a: Tensor = a, row: int = row) -> float:
            ablated = a.detach().clone()
            ablated[0, c] = 0
            return float(tail(ablated)[0, targets[row]].detach())

        raw = by_hand(kind, a.detach()[0], g[0], score.item(), off)
        np.testing.assert_allclose(found[row], scaled(raw, 32), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_library_itself_makes_the_same_maps_where_the_least_activation_is_zero(kind: str) -> None:
    import pytorch_grad_cam as library
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    shape = (3, 32, 32)
    model, x = model_of("small_cnn", shape, widths=(4, 6)), images(2, shape)
    ours = maps(model, x, torch.tensor([1, 0]), (kind,))[kind]
    theirs = {
        "gradcam": library.GradCAM,
        "gradcam++": library.GradCAMPlusPlus,
        "ablation": library.AblationCAM,
        "hires": library.HiResCAM,
        "layer": library.LayerCAM,
    }[kind](model, [model.get_submodule("encoder.5")])
    wanted = theirs(x, [ClassifierOutputTarget(1), ClassifierOutputTarget(0)])
    np.testing.assert_allclose(ours, wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "shape", "layer", "options"),
    [
        ("small_cnn", (3, 32, 32), "encoder.8", {}),
        ("resnet10_small", (3, 32, 32), "encoder.4", {"widths": (4, 6)}),
        ("resnet18", (3, 64, 64), "encoder.body.layer4", {}),
        pytest.param(
            "timm:vit_tiny_patch16_224", (3, 64, 64), "encoder.body.blocks.11.norm1", {}, marks=pytest.mark.slow
        ),
    ],
)
def test_the_cut_network_gives_the_maps_of_the_whole(
    name: str, shape: tuple[int, ...], layer: str, options: dict[str, Any]
) -> None:
    if name.startswith("timm"):
        pytest.importorskip("timm", reason="the extra timm is not installed")
    model, x, targets = model_of(name, shape, **options), images(2, shape), torch.tensor([0, 2])
    found = find_layer(model, x[:1])
    assert found.name == layer
    assert halves.cut(model, found.name, x) is not None
    kinds = tuple(kind for kind in KINDS if kind != "ablation" or name == "small_cnn" or "small" in name)
    cut, whole = (maps(model, x, targets, kinds, layer=found, split=split) for split in (True, False))
    for kind in kinds:
        assert cut[kind].shape == (2, *shape[1:])
        np.testing.assert_allclose(cut[kind], whole[kind], atol=1e-4)


class Forked(nn.Module):
    """An encoder whose way depends on values: it cannot be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.layer(x)
        a = torch.relu(a) if bool(a.sum() > -1e9) else a
        return a.mean((2, 3))


def test_a_network_that_cannot_be_cut_is_explained_as_a_whole() -> None:
    torch.manual_seed(0)
    model, x = Model.linear(Forked(), 4, 2).eval(), images(2, (3, 8, 8))
    assert halves.cut(model, "encoder.layer", x) is None
    found = maps(model, x, torch.tensor([0, 1]))
    assert {kind: each.shape for kind, each in found.items()} == dict.fromkeys(KINDS, (2, 8, 8))


def test_channels_of_negative_activations_are_set_to_zero_in_any_batch() -> None:
    """The library would set them to about minus ten millions, one further for every place in the batch."""
    torch.manual_seed(0)
    model, x = Model.linear(Forked(), 4, 2).eval(), images(2, (3, 8, 8))
    layer = find_layer(model, x[:1])
    weights = ablation_weights(model, model.encoder.layer, layer, x, torch.tensor([0, 0]))
    a = model.encoder.layer(x).detach()
    assert a.min() < 0
    for row in range(2):
        score = model(x)[row, 0].item()
        for c in range(4):
            ablated = a[row : row + 1].clone()
            ablated[:, c] = 0
            off = model.classifier(torch.relu(ablated).mean((2, 3)))[0, 0].item()
            assert weights[row, c] == pytest.approx((score - off) / score, rel=1e-3, abs=1e-4)


def test_tokens_of_a_transformer_become_places_without_the_class_token() -> None:
    layer = Layer("x", (2, 3), 2, 1)
    tokens = torch.arange(2 * 7 * 5).view(2, 7, 5).float()
    found = layer.places(tokens)
    assert found.shape == (2, 5, 2, 3)
    assert torch.equal(found[1, :, 1, 2], tokens[1, 6])
    assert torch.equal(found[0, :, 0, 0], tokens[0, 1])


def test_the_vision_transformer_of_torchvision_is_explained_before_its_last_attention() -> None:
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    body = VisionTransformer(32, 8, 2, 2, 16, 32)
    body.heads = nn.Identity()
    model, x, targets = Model.linear(body, 16, 2).eval(), images(2, (3, 32, 32)), torch.tensor([0, 1])
    layer = find_layer(model, x[:1])
    assert layer == Layer("encoder.encoder.layers.encoder_layer_1.ln_1", (4, 4), 2, 1)
    assert halves.cut(model, layer.name, x) is not None
    cut, whole = (maps(model, x, targets, layer=layer, split=split) for split in (True, False))
    for kind in KINDS:
        np.testing.assert_allclose(cut[kind], whole[kind], atol=1e-4)
        assert cut[kind].any()


def test_a_model_is_left_as_it_was() -> None:
    model, x = model_of("small_cnn", (3, 16, 16), widths=(4,)).train(), images(2, (3, 16, 16))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    maps(model, x, torch.tensor([0, 1]))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_a_layer_can_be_named() -> None:
    model, x = model_of("small_cnn", (3, 16, 16), widths=(4, 6)), images(1, (3, 16, 16))
    assert find_layer(model, x, "encoder.2").grid == (8, 8)
    with pytest.raises(BadInput, match=r"unknown layer 'encoder.99'"):
        find_layer(model, x, "encoder.99")
    with pytest.raises(BadInput, match="which has no places"):
        find_layer(model, x, "classifier")


def test_a_network_without_places_is_refused() -> None:
    torch.manual_seed(0)
    flat = Model.linear(nn.Sequential(nn.Flatten(), nn.Linear(48, 5)), 5, 2)
    with pytest.raises(BadInput, match="no layer that tells places of the image apart"):
        maps(flat, images(1, (3, 4, 4)), torch.tensor([0]))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(BadInput, match=r"unknown kind of map 'gradcan'; did you mean 'gradcam'\?"):
        cams.check_kinds(["gradcan"])
    with pytest.raises(BadInput, match="at least one of gradcam"):
        cams.check_kinds([])


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pytorch_grad_cam", None)
    with pytest.raises(BadInput, match=r"install the extra evenhand\[explain\]"):
        cams.check_installed()
