"""Any network of the library timm."""

from __future__ import annotations

from difflib import get_close_matches
from types import ModuleType
from typing import Any

import torch
from torch import nn

from evenhand.encoders._normalise import Published
from evenhand.encoders._shapes import image_shape
from evenhand.encoders._weights import is_path, load_published, on_meta, place
from evenhand.errors import BadInput
from evenhand.inputs import hub


def timm(shape: tuple[int, ...], item: str, weights: str = "none") -> tuple[nn.Module, int]:
    """The network `item` of timm without its classifier, such as `timm:convnext_atto`.

    Wightman (2019), PyTorch image models. Networks for images of one size are built for the size that is there.

    Images come as (channels, height, width) floats in [-1, 1]; grey ones are taken as three equal channels. Published
    weights (`pretrained`, or a file of them) get them normalised as timm says they were trained.

    Raises:
        BadInput: timm is not installed or has no such network, rows are not images of 1 or 3 channels that it takes,
            or the weights cannot be had or do not fit.
    """
    name = f"timm:{item}"
    library = _library()
    _, height, width = image_shape(name, shape, 1, colours=True)
    if item.partition(".")[0] not in library.list_models():
        near = get_close_matches(item, library.list_models(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise BadInput(f"timm {library.__version__} has no network {item!r}{hint}")
    options: dict[str, Any] = {"num_classes": 0}
    with torch.device("meta"):
        try:
            probe = library.create_model(item, **options)
        except Exception as error:  # such as a tag that the network does not have
            raise BadInput(f"timm cannot build the network {item!r} ({type(error).__name__}: {error})") from error
    config = probe.pretrained_cfg
    if config.get("fixed_input_size"):
        options["img_size"] = (height, width)
    n_features = _width(library, item, options, (3, height, width))
    if is_path(weights):
        path = place(weights)
    if weights != "pretrained" or on_meta():
        encoder = Published(library.create_model(item, **options))
        if is_path(weights) and not on_meta():
            load_published(encoder, path, name, (config["mean"], config["std"]))
        return encoder, n_features
    encoder = Published(_pretrained(library, item, options, config))
    encoder.normalise.set_to(config["mean"], config["std"])
    return encoder, n_features


def _library() -> ModuleType:
    try:
        import timm as library
    except ImportError as error:
        raise BadInput("encoders timm:NAME need the library timm: install the extra evenhand[timm]") from error
    found: ModuleType = library
    return found


def _width(library: ModuleType, item: str, options: dict[str, Any], shape: tuple[int, int, int]) -> int:
    """D, found by a pass without values.

    Raises:
        BadInput: the network does not take such images.
    """
    with torch.device("meta"):
        try:
            features: torch.Tensor = library.create_model(item, **options).eval()(torch.zeros(2, *shape))
        except Exception as error:  # each network has its own way to refuse
            first = str(error).strip().partition("\n")[0]
            raise BadInput(
                f"the encoder timm:{item} does not take images of {shape[1]}×{shape[2]} pixels "
                f"({type(error).__name__}: {first})"
            ) from error
    if features.ndim != 2:
        raise BadInput(
            f"timm:{item} maps an image to {tuple(features.shape[1:])} features; an encoder gives one vector"
        )
    return features.shape[1]


def _pretrained(library: ModuleType, item: str, options: dict[str, Any], config: dict[str, Any]) -> nn.Module:
    """The network with its published weights, from timm's cache if they are there.

    Raises:
        BadInput: there are none, or they cannot be downloaded.
    """
    repository = config.get("hf_hub_id")
    address = f"https://huggingface.co/{repository}" if repository else config.get("url")
    if not address:
        raise BadInput(f"timm has no published weights of the network {item!r}; weights takes none or a path")
    overlay = {}
    try:
        if repository and (file := _cached(repository)):
            overlay = {"pretrained_cfg_overlay": {"file": file}}
        elif repository and not hub.reachable():  # asked first, as timm tries again and again for a minute
            raise ConnectionError("the Hugging Face hub cannot be reached")
        body: nn.Module = library.create_model(item, pretrained=True, **options, **overlay)
    except Exception as error:  # of sockets, HTTP, the disk, or the file
        first = str(error).strip().partition("\n")[0]
        raise BadInput(
            f"the pretrained weights {config.get('architecture')}.{config.get('tag')} of the encoder timm:{item} could "
            f"not be downloaded from {address} ({type(error).__name__}: {first}); download model.safetensors from "
            "there elsewhere, put it anywhere, and name its path as weights"
        ) from error
    return body


def _cached(repository: str) -> str | None:
    """The file of weights of a repository of the Hugging Face hub that is on this machine already."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, name) for name in ("model.safetensors", "pytorch_model.bin"))
    return next((file for file in found if isinstance(file, str)), None)
