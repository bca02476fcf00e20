"""Files of weights: found, identified by their content, and read without executing code."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evenhand.encoders._matching import fill
from evenhand.encoders._normalise import Published
from evenhand.errors import BadInput

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".tar")
INSIDE = ("state_dict", "model_state_dict", "model", "net")  # where checkpoints keep the weights
RUN_MODEL = "model.safetensors"

Weights = Mapping[str, Tensor]


def is_path(weights: str) -> bool:
    """Whether `weights` names a file or folder, not `none` or `pretrained`."""
    return weights not in ("none", "pretrained")


def on_meta() -> bool:
    """Whether modules are being built without values, only to see whether that can be done."""
    return torch.get_default_device().type == "meta"


def place(weights: str) -> Path:
    """The file that `weights` names: itself, or `model.safetensors` in a folder such as a finished run's.

    Raises:
        BadInput: there is none, or its name is not one of a file of weights.
    """
    path = Path(weights).expanduser()
    if path.is_dir():
        if not (path / RUN_MODEL).is_file():
            raise BadInput(f"the folder {path} holds no {RUN_MODEL}, as a finished run's does")
        return path / RUN_MODEL
    if not path.is_file():
        raise BadInput(f"weights takes none, pretrained or the path of a file; there is no file {path}")
    if path.suffix not in SUFFIXES:
        raise BadInput(f"files of weights end in {', '.join(SUFFIXES)}, got {path}")
    return path


def check_there(weights: str) -> None:
    """Raise BadInput if `weights` is a path and there is nothing, or a file that is none of weights."""
    if is_path(weights) and not Path(weights).expanduser().is_dir():
        place(weights)


def digest(weights: str) -> str | None:
    """SHA-256 of the file that `weights` names, in hexadecimal digits; None where it does not name a file.

    Of a folder without `model.safetensors` it is that of all its files of weights together.
    """
    path = Path(weights).expanduser()
    if not is_path(weights) or not path.exists():
        return None
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
        files = [file for file in files if file.name == RUN_MODEL] or files
    of_each = [_sha256(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return of_each[0] if len(of_each) == 1 else hashlib.sha256("".join(of_each).encode()).hexdigest()


@cache  # every run of a study asks again
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file of weights, by name, on the CPU.

    Raises:
        BadInput: the file is empty, damaged, of another kind, or could only be read by executing code from it.
    """
    if path.stat().st_size == 0:
        raise BadInput(f"the file of weights {path} is empty")
    try:
        if path.suffix == ".safetensors":
            import safetensors.torch

            with torch.device("cpu"):
                return safetensors.torch.load_file(path)
        with warnings.catch_warnings(action="ignore"):  # of unusual pickles; what matters raises
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each kind of damage raises an error of its own
        raise BadInput(
            f"{path} is not a file of weights that can be read without executing code from it "
            f"({type(error).__name__}: {_first_sentence(error)}); save the model's state_dict alone, or as safetensors"
        ) from error
    return _tensors(found, path)


def _first_sentence(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].partition(". ")[0][:200]


def _tensors(found: Any, path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, or of the one that a checkpoint holds."""
    if isinstance(found, Mapping):
        tensors = {name: value for name, value in found.items() if isinstance(value, Tensor) and isinstance(name, str)}
        if tensors:
            return tensors
        for key in INSIDE:
            if isinstance(found.get(key), Mapping):
                return _tensors(found[key], path)
    raise BadInput(f"{path} holds no weights by name but a {type(found).__name__}; save the model's state_dict")


def load(module: nn.Module, weights: str, name: str) -> None:
    """Fill all of the encoder `name` from the file that `weights` names; on the meta device only look for the file.

    Raises:
        BadInput: there is no such file, it cannot be read, or its weights are of another network.
    """
    path = place(weights)
    if not on_meta():
        fill(module, read(path), str(path), name)


def load_published(
    encoder: Published,
    path: Path,
    name: str,
    normalisation: tuple[tuple[float, ...], tuple[float, ...]],
    adapt: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
) -> None:
    """Fill the body of `encoder` from a file, which stores its normalisation if it is of a finished run.

    Args:
        normalisation: mean and standard deviation that all other files of weights for this network expect.
        adapt: what to do with the weights, named as in the body, before they are compared with it.

    Raises:
        BadInput: the file cannot be read, or its weights are of another network.
    """
    tensors = read(path)
    outside = fill(encoder.body, tensors, str(path), name, adapt).removesuffix("body.")
    stored = {
        key: tensors[f"{outside}normalise.{key}"] for key in ("mean", "std") if f"{outside}normalise.{key}" in tensors
    }
    if len(stored) == 2:
        fill(encoder.normalise, stored, str(path), name)
    else:
        encoder.normalise.set_to(*normalisation)
