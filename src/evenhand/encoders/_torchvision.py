"""Torchvision's networks as encoders, with their published weights, weights of a file, or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evenhand.encoders._normalise import IMAGENET, Published
from evenhand.encoders._shapes import image_shape
from evenhand.encoders._weights import is_path, load_published, on_meta, place
from evenhand.errors import BadInput


def torchvision_encoder(
    name: str,
    shape: tuple[int, ...],
    weights: str,
    *,
    head: str,
    least: int = 32,
    adapt: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    **options: Any,
) -> Published:
    """The network that torchvision calls `name`, without its classifier.

    Args:
        weights: `none`, `pretrained`, or a path.
        head: the attribute that holds the classifier.
        least: pixels a side.
        adapt: what to do with weights before they are compared with the network's.
        options: of torchvision's builder.

    Raises:
        BadInput: rows are not images of 1 or 3 channels, are too small, or the weights cannot be had or do not fit.
    """
    import torchvision

    image_shape(name, shape, least, colours=True)
    body: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    setattr(body, head, nn.Identity())
    encoder = Published(body)
    if is_path(weights):
        path = place(weights)
    if weights != "none" and not on_meta():
        load_published(encoder, path if is_path(weights) else fetched(name), name, IMAGENET, adapt)
    return encoder


def fetched(name: str) -> Path:
    """The file of torchvision's default weights of the network `name`, downloaded unless it is there already.

    Raises:
        BadInput: it cannot be downloaded; the message says from where, and where to put it by hand.
    """
    import torchvision

    default = torchvision.models.get_model_weights(name).DEFAULT
    file: str = default.url.rpartition("/")[2]
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hash_prefix = path.stem.rpartition("-")[2]
        torch.hub.download_url_to_file(default.url, str(path), hash_prefix=hash_prefix, progress=False)
    except Exception as error:  # of sockets, HTTP, the disk, or a wrong checksum
        raise BadInput(
            f"the pretrained weights {default} of the encoder {name} could not be downloaded from {default.url} to "
            f"{path} ({type(error).__name__}: {error}); download that file elsewhere and put it there under the name "
            f"{file}, or anywhere and name its path as weights"
        ) from error
    return path
