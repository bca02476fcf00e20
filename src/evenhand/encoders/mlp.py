"""A multilayer perceptron for tabular inputs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from evenhand.errors import BadInput


def mlp(shape: tuple[int, ...], widths: Sequence[int] = (32, 64)) -> tuple[nn.Module, int]:
    """Linear layers of the given widths with a ReLU after each; features have the last width.

    The default is the network of the NC-debias paper for Adult (Lu, Chai and Wang 2024, Section 5.1).

    Raises:
        BadInput: rows are not vectors, or no width is given.
    """
    if len(shape) != 1:
        raise BadInput(f"the encoder mlp takes rows that are vectors, got rows of shape {shape}")
    if not widths:
        raise BadInput("the encoder mlp needs at least one width, got none")
    layers: list[nn.Module] = []
    for fan_in, width in zip([shape[0], *widths[:-1]], widths, strict=True):
        layers += [nn.Linear(fan_in, width), nn.ReLU()]
    return nn.Sequential(*layers), widths[-1]
