"""Class activation maps: which places of an image speak for a class, by pytorch-grad-cam."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evenhand.errors import BadInput, unknown
from evenhand.explanations.halves import After, cut, frozen, replaced
from evenhand.explanations.layers import Layer, find_layer

if TYPE_CHECKING:
    from pytorch_grad_cam.base_cam import BaseCAM

Maps = NDArray[np.float32]
KINDS = ("gradcam", "gradcam++", "ablation", "hires", "layer")
ROWS = 64  # images at a time
NUMBERS = 2**20  # activations of an ablation at a time


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise BadInput unless all are names of `KINDS`, and there is one."""
    if not kinds:
        raise BadInput(f"kinds must name at least one of {', '.join(KINDS)}")
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("kind of map", kind, KINDS)


def check_installed() -> None:
    """Raise BadInput without pytorch-grad-cam."""
    try:
        import pytorch_grad_cam  # noqa: F401
    except ImportError as error:
        raise BadInput(
            "maps of where a model looks need the library pytorch-grad-cam: install the extra evenhand[explain]"
        ) from error


def maps(
    model: nn.Module,
    x: Tensor,
    targets: Tensor,
    kinds: Sequence[str] = KINDS,
    *,
    layer: Layer | None = None,
    split: bool = True,
) -> dict[str, Maps]:
    """Maps (B, height, width) in [0, 1] of every kind: how much each pixel's place speaks for the target class.

    With activations A and the gradient G of the target's logit at the layer, (B, channels, places), before negative
    values become 0, each map is stretched to [0, 1], and enlarged to the image (bilinear):

        gradcam      sum over channels of mean(G) * A                         Selvaraju et al. (2017)
        gradcam++    sum of w * A, w = sum(relu(G) * G² / (2 G² + sum(A) G³))   Chattopadhay et al. (2018)
        ablation     sum of w * A, w = (s - s_off) / s                        Desai and Ramaswamy (2020)
        hires        sum of G * A                                             Draelos and Carin (2020)
        layer        sum of relu(G) * A                                       Jiang et al. (2021)

    s is the target's logit, s_off that without the channel. A map without positive values is 0 everywhere, and that of
    an ablation with s = 0 too; where s is negative its weights change their sign.

    Differs from the library: an ablated channel is always set to 0, and not to a very negative number wherever the
    layer gives out negative values; one of transformers loses its value at the patches and keeps that of the class
    token. What comes before the layer is computed once for all kinds and channels.

    Args:
        x: images (B, channels, height, width), on the device of the model.
        targets: (B,) int64, the classes whose logits are explained.
        layer: by default what `find_layer` finds.
        split: False sends every ablated channel through the whole network: the same, only slower.

    Raises:
        BadInput: no such kind, the library is not installed, or the network has no layer with places.
    """
    check_kinds(kinds)
    check_installed()
    layer = layer or find_layer(model, x[:1])
    found: dict[str, list[Maps]] = {kind: [] for kind in kinds}
    with frozen(model):
        halves = cut(model, layer.name, x[:2].repeat(1 if len(x) > 1 else 2, 1, 1, 1)) if split else None
        for x_B, targets_B in zip(torch.split(x, ROWS), torch.split(targets, ROWS), strict=True):
            if halves is None:
                network, at, given = model, model.get_submodule(layer.name), x_B
            else:
                with torch.no_grad():
                    given, *others = halves.before(x_B)
                network = After(halves.after, tuple(others))
                at = network.layer
            for kind in kinds:
                made = _make(kind, network, at, layer)
                found[kind].append(_called(made, given, targets_B, (x.shape[-1], x.shape[-2])))
    return {kind: np.concatenate(parts) for kind, parts in found.items()}


def _make(kind: str, network: nn.Module, at: nn.Module, layer: Layer) -> BaseCAM:
    import pytorch_grad_cam as library

    if kind == "ablation":
        return _ablation()(network, [at], layer)
    kinds = {
        "gradcam": library.GradCAM,
        "gradcam++": library.GradCAMPlusPlus,
        "hires": library.HiResCAM,
        "layer": library.LayerCAM,
    }
    return kinds[kind](network, [at], reshape_transform=layer.places)


def _called(made: BaseCAM, given: Tensor, targets_B: Tensor, size: tuple[int, int]) -> Maps:
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    made.get_target_width_height = lambda input_tensor: size  # of the image, also where activations are given
    with torch.enable_grad(), made, np.errstate(divide="ignore", invalid="ignore"):
        found: Maps = made(
            given.detach().clone().requires_grad_(), [ClassifierOutputTarget(c) for c in targets_B.tolist()]
        )
    return found


def _ablation() -> type[BaseCAM]:
    """The class of Ablation-CAM; made here, as the library is imported only where it is used."""
    from pytorch_grad_cam.base_cam import BaseCAM

    class Ablation(BaseCAM):  # type: ignore[misc]
        """Channels set to 0, one after the other."""

        def __init__(self, network: nn.Module, layers: list[nn.Module], layer: Layer) -> None:
            super().__init__(network, layers, layer.places, uses_gradients=False)
            self.layer = layer

        def get_cam_weights(
            self, input_tensor: Tensor, target_layers: Any, targets: Any, activations: Any, grads: Any
        ) -> NDArray[np.float32]:
            categories = torch.tensor([target.category for target in targets], device=input_tensor.device)
            return ablation_weights(self.model, target_layers, self.layer, input_tensor, categories)

    return Ablation


@torch.no_grad()
def ablation_weights(
    network: nn.Module, at: nn.Module, layer: Layer, given: Tensor, targets_B: Tensor
) -> NDArray[np.float32]:
    """(B, channels) share of the target's logit that is lost without a channel: `(s - s_off) / s`, 0 where s is 0.

    Args:
        network: takes `given` (B, …).
        at: its module that `layer` describes.
    """
    kept: list[Tensor] = []
    with replaced(at, lambda output: kept.append(output) or output):  # type: ignore[func-returns-value]
        score_B = network(given).gather(1, targets_B[:, None])[:, 0]
    output = kept[-1]
    n_channels = output.shape[layer.channels]
    at_once = max(1, NUMBERS // max(output[0].numel(), 1))
    off_BC = score_B.new_zeros(len(given), n_channels)
    for row, target in enumerate(targets_B.tolist()):
        for channels in torch.split(torch.arange(n_channels, device=given.device), at_once):
            ablated = _without(output[row], channels, layer)
            with _only(network, row), replaced(at, lambda _, ablated=ablated: ablated):  # type: ignore[misc]
                logits = network(given[row : row + 1].expand(len(channels), *given.shape[1:]))
            off_BC[row, channels] = logits[:, target]
    weight_BC = torch.where(score_B[:, None] == 0, 0, (score_B[:, None] - off_BC) / score_B[:, None])
    weights: NDArray[np.float32] = weight_BC.float().cpu().numpy()
    return weights


def _without(output: Tensor, channels: Tensor, layer: Layer) -> Tensor:
    """(K, …) the activations of one row, each time without one of the K channels."""
    ablated = output.repeat(len(channels), *[1] * output.ndim)
    turn = torch.arange(len(channels), device=output.device)
    if layer.channels == 1:
        ablated[turn, channels] = 0
    else:
        ablated[turn, layer.skipped or 0 :, ..., channels] = 0
    return ablated


@contextmanager
def _only(network: nn.Module, row: int) -> Iterator[None]:
    """Inside, what passes the layer by is that of one row."""
    if not isinstance(network, After):
        yield
        return
    before = network.others
    network.others = tuple(each[row : row + 1] for each in before)
    try:
        yield
    finally:
        network.others = before
