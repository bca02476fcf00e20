"""Small images and a small vision transformer, for the tests of pretraining."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, nn
from torchvision.models import VisionTransformer

from evenhand.batch import Split
from evenhand.encoders._normalise import Published

SIDE = 8


def pictures(n: int, *, shape: Sequence[int] = (3, SIDE, SIDE), seed: int = 0) -> Split:
    """Random inputs in [-1, 1] of two classes and two groups each."""
    rng = Generator().manual_seed(seed)
    x = torch.rand(n, *shape, generator=rng) * 2 - 1
    return Split.of(x, torch.arange(n) % 2, torch.arange(n) // 2 % 2, n_classes=2, attribute_sizes=[2])


def transformer(*, patch: int = 2) -> Published:
    """Torchvision's vision transformer with one block of 16 features."""
    body = VisionTransformer(SIDE, patch, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=16)
    body.heads = nn.Identity()
    return Published(body)
