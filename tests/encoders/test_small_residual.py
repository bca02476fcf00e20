"""Residual networks for small images."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand import encoders
from evenhand.encoders.resnet18_small import resnet18_small
from evenhand.encoders.resnet20_small import resnet20_small
from evenhand.encoders.wide_resnet_34_10 import wide_resnet_34_10
from evenhand.errors import BadInput

SMALL = {
    "resnet10_small": (4, 6, 8, 10), "resnet18_small": (4, 6, 8, 10), "resnet20_small": (4, 6, 8),
    "wide_resnet_34_10": (4, 6, 8),
}  # fmt: skip


@pytest.mark.parametrize(("name", "widths"), SMALL.items())
def test_features_gradients_and_rows(name: str, widths: tuple[int, ...]) -> None:
    encoder = encoders.build(name, (1, 28, 30), 2, widths=widths).encoder
    x = torch.rand(6, 1, 28, 30) - 0.5
    features = encoder(x)
    assert features.shape == (6, widths[-1])
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    encoder.eval()
    before = x.clone()
    assert torch.equal(encoder(x), encoder(x))
    assert torch.equal(x, before)
    torch.testing.assert_close(encoder(x)[2:4], encoder(x[2:4]))
    last = encoder.to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(x.contiguous(memory_format=torch.channels_last)), encoder(x))


@pytest.mark.parametrize(("name", "widths"), SMALL.items())
def test_state_survives_saving_and_names_are_listed(name: str, widths: tuple[int, ...]) -> None:
    assert name in encoders.names()
    one, other = (encoders.build(name, (3, 32, 32), 2, widths=widths) for _ in range(2))
    x = torch.rand(4, 3, 32, 32)
    one(x)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.eval()(x), other.eval()(x))


@pytest.mark.parametrize("name", SMALL)
def test_other_rows_and_no_width_are_refused(name: str) -> None:
    with torch.device("meta"):
        with pytest.raises(BadInput, match=rf"the encoder {name} takes images .* got rows of shape \(7,\)"):
            encoders.build(name, (7,), 2)
        with pytest.raises(BadInput, match=f"the encoder {name} needs at least 16 pixels a side, got 8×32"):
            encoders.build(name, (3, 8, 32), 2)
        with pytest.raises(BadInput, match=f"the encoder {name} needs at least one width"):
            encoders.build(name, (3, 32, 32), 2, widths=())


def n_weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_sizes_are_the_published_ones() -> None:
    with torch.device("meta"):
        # Zagoruyko and Komodakis: 36.5 million for depth 28; for 34 one more block of each of 160, 320 and 640.
        wide = encoders.build("wide_resnet_34_10", (3, 32, 32), 10)
        blocks = sum(2 * 9 * width**2 + 4 * width for width in (160, 320, 640))
        assert n_weights(wide) - blocks == 36_479_194
        # He et al.: 0.27 million, without the two convolutions of shortcuts with their normalisation.
        shortcuts = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
        assert n_weights(encoders.build("resnet20_small", (3, 32, 32), 10)) - shortcuts == 269_722
    assert wide.encoder(torch.zeros(2, 3, 32, 32, device="meta")).shape == (2, 640)


def in_order_of(theirs: nn.Module, mine: nn.Module) -> None:
    """Give `mine` the weights of `theirs`, which lie in the same order under other names."""
    pairs = zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True)
    with torch.no_grad():
        for to, of in pairs:
            to.copy_(of)


def test_resnet18_small_is_torchvisions_with_another_stem() -> None:
    theirs = torchvision.models.resnet18()
    theirs.conv1, theirs.maxpool, theirs.fc = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity(), nn.Identity()
    mine, n_features = resnet18_small((3, 32, 32))
    in_order_of(theirs, mine)
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(mine.eval()(x), theirs.eval()(x))
    assert n_features == 512


def test_larger_images_are_halved_first() -> None:
    small, large = resnet20_small((3, 32, 32))[0], resnet20_small((3, 64, 64))[0]
    assert small.get_submodule("0")(torch.zeros(1, 3, 32, 32)).shape[-1] == 32
    assert large.get_submodule("0")(torch.zeros(1, 3, 64, 64)).shape[-1] == 32


def normalised(x: Tensor, norm: nn.Module) -> Tensor:
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def test_wide_resnet_written_out() -> None:
    """The network as the paper's Table 1 and Figure 1 draw it, block by block, from the same weights."""
    encoder, _ = wide_resnet_34_10((3, 16, 16), widths=(4, 6, 8))
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
    encoder.eval()
    x = torch.rand(2, 3, 16, 16)
    parts = list(encoder)
    h = F.conv2d(x, parts[0].weight, padding=1)
    for number in range(15):
        block, stride = parts[1 + number], 2 if number in (5, 10) else 1
        active = normalised(h, block.norm1).relu()
        inner = F.conv2d(active, block.conv1.weight, stride=stride, padding=1)
        inner = F.conv2d(normalised(inner, block.norm2).relu(), block.conv2.weight, padding=1)
        h = inner + (F.conv2d(active, block.shortcut.weight, stride=stride) if number % 5 == 0 else h)
    expected = normalised(h, parts[16]).relu().mean((2, 3))
    torch.testing.assert_close(encoder(x), expected)
