"""Vision transformer ViT-B/16 of torchvision."""

from __future__ import annotations

from math import isqrt

from torch import Tensor, nn

from evenhand.encoders._shapes import image_shape
from evenhand.encoders._torchvision import torchvision_encoder
from evenhand.errors import BadInput

PATCH = 16  # pixels a side
POSITIONS = "encoder.pos_embedding"


def vit_b_16(shape: tuple[int, ...], weights: str = "none") -> tuple[nn.Module, int]:
    """ViT-B/16: 768 features of the class token, 86 million weights, for square images of whole patches of 16 pixels.

    Dosovitskiy et al. (2021), An image is worth 16x16 words, Section 3.1. Published weights are for 224 pixels; for
    other sizes their position embeddings are interpolated, bicubic, as in Section 3.2.

    Images come as (channels, height, width) floats in [-1, 1]; grey ones are taken as three equal channels. Published
    weights (`pretrained`, or a file of them) get them normalised as in ImageNet training.

    Raises:
        BadInput: rows are not square images of 1 or 3 channels, are not made of whole patches, or the weights cannot
            be had or do not fit.
    """
    _, height, width = image_shape("vit_b_16", shape, PATCH, colours=True)
    if height != width or height % PATCH:
        raise BadInput(
            f"the encoder vit_b_16 takes square images of whole {PATCH}×{PATCH} patches, got {height}×{width}"
        )

    def adapt(weights_: dict[str, Tensor]) -> dict[str, Tensor]:
        return with_positions(weights_, height)

    encoder = torchvision_encoder(
        "vit_b_16", shape, weights, head="heads", least=PATCH, adapt=adapt, image_size=height
    )  # fmt: skip
    return encoder, 768


def with_positions(weights: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    """The weights with position embeddings for images of `size` pixels, where they are those of another square."""
    from torchvision.models.vision_transformer import interpolate_embeddings

    positions = weights.get(POSITIONS)
    if positions is None or positions.ndim != 3 or len(positions) != 1:
        return weights
    n_patches = positions.shape[1] - 1
    if isqrt(max(n_patches, 0)) ** 2 != n_patches or n_patches == 0:
        return weights
    return dict(interpolate_embeddings(size, PATCH, dict(weights)))
