"""Features computed once: models of finished runs, pretrained encoders, and files of what they make of all rows."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from evenhand import data as data_sets
from evenhand import methods, runs
from evenhand.batch import Batch, Split
from evenhand.data import _feature_file
from evenhand.data._base import Data
from evenhand.data._feature_file import NO_CONTENT, FeatureFile, Place
from evenhand.errors import BadInput, RunFailed, unknown
from evenhand.files import TEMPORARY, cannot_write
from evenhand.model import Model, in_chunks
from evenhand.options import checked
from evenhand.plan import described, new_model
from evenhand.randomness import seed_everything
from evenhand.runs import Run
from evenhand.settings import Settings

Precision = Literal["float32", "float16"]
OnRows = Callable[[int], None]

NUMBERS_AT_ONCE = 2**20  # inputs of a chunk
MOST_ROWS = 4096


# --- models ---


def data_of(run: Run, root: str | Path | None = None, path: str | None = None) -> Data:
    """The data set that a finished run was trained on.

    Args:
        root: the folder that holds every data set.
        path: of the TOML file or file of features, where the run was trained on one.

    Raises:
        BadInput: it is not there, or no longer what the run was trained on.
    """
    wanted = _data(run)
    name = wanted["name"]
    if path is None and name not in data_sets.names():
        raise BadInput(f"{run.folder} was trained on a file of one's own, {name}; name that file with --data")
    data = data_sets.load(path or name, root, **wanted.get("options", {}))
    _check_fingerprint(run, data)
    return data


def load_model(run: Run, data: Data) -> Model:
    """The model that a finished run selected, in eval mode, on the CPU.

    Raises:
        BadInput: the run is damaged, or `data` are not those that it was trained on.
    """
    _check_fingerprint(run, data)
    try:
        of_method, of_settings = run.config["method"], run.config["settings"]
        if of_method["name"] not in methods.names():
            raise BadInput(f"{run.folder} is of {of_method['name']}, which trains nothing: it has no model to load")
        method = methods.make(of_method["name"], **of_method["options"])
        settings = Settings(**checked(Settings, of_settings, "training"))
    except (KeyError, TypeError) as error:
        raise BadInput(f"{run.folder} is damaged: config.json names no method or no settings") from error
    if not hasattr(data.train.inputs, "encoder_options"):
        # Weights to begin with are not needed again. Only of texts do they decide a shape: that of the vocabulary.
        settings = replace(settings, weights="none")
    model = method.prepare(new_model(settings, data))
    file = run.folder / "model.safetensors"
    try:
        weights = safetensors.torch.load_file(file)
    except FileNotFoundError as error:
        raise BadInput(f"{run.folder} is not a finished run: it has no model.safetensors") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise BadInput(f"{file} is damaged and cannot be read ({error})") from error
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{file} holds other weights than the model that config.json describes: {reason}") from error
    return model.eval()


def encoder_of(data: Data, encoder: str, weights: str) -> Model:
    """The encoder `encoder` for these data, not trained on them, in eval mode; random weights are those of seed 0.

    Raises:
        BadInput: no such encoder or weights, or it does not take such rows.
    """
    settings = Settings(encoder=encoder, weights=weights)
    seed_everything(settings.seed)
    return new_model(settings, data).eval()


def _data(run: Run) -> dict[str, Any]:
    try:
        found: dict[str, Any] = run.config["data"]
        found["name"], found["fingerprint"]
    except (KeyError, TypeError) as error:
        raise BadInput(f"{run.folder} is damaged: config.json does not name its data") from error
    return found


def _check_fingerprint(run: Run, data: Data) -> None:
    wanted = _data(run)
    if data.fingerprint != wanted["fingerprint"]:
        raise BadInput(
            f"{run.folder} was trained on other data: {wanted['name']} [{wanted['fingerprint'][:8]}] there, "
            f"{data.name} [{data.fingerprint[:8]}] here"
        )


# --- rows in memory ---


class Encoded(NamedTuple):
    """What a model makes of M rows of a part.

    Attributes:
        features: (M, D) float32, in eval mode and without augmentation.
        logits: (M, C) float32.
        y: (M,) int64 classes.
        rows: (M,) int64, where in the part, ascending.
    """

    features: Tensor
    logits: Tensor
    y: Tensor
    rows: Tensor


def rows_of(data: Data, part: str) -> Split:
    """The rows of `train`, `val` or `test`, for the analysis of a finished run: nothing is chosen by them.

    Raises:
        BadInput: no such part.
    """
    splits = {"train": data.train, "val": data.val}
    if part not in (*splits, "test"):
        raise unknown("part of the data", part, (*splits, "test"))
    return splits[part] if part in splits else data.test.unseal()


@torch.no_grad()
def encoded(
    model: Model, data: Data, part: str = "train", *, most: int = 50_000, seed: int = 0, device: str = "auto"
) -> Encoded:
    """What a model makes of the rows of `train`, `val` or `test`, for the analysis of a finished run.

    Of more than `most` rows, so many at random, the same for every model of the same data and seed.

    Raises:
        BadInput: no such part.
    """
    split = rows_of(data, part)
    rows = torch.arange(len(split))
    if len(split) > most:
        rows = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:most].sort().values
        split = split.subset(rows)
    from lightning_fabric import Fabric  # seconds to import, and only needed here

    chosen = Fabric(accelerator=device, devices=1).device
    model = model.to(chosen)
    parts = [(torch.from_numpy(at), torch.from_numpy(x)) for at, x in _encoded(model, split.to(chosen))]
    order = torch.cat([at for at, _ in parts]).argsort()
    features = torch.cat([x for _, x in parts])[order]
    logits = torch.cat([model.classifier(x.to(chosen)).float().cpu() for x in torch.split(features, MOST_ROWS)])
    return Encoded(features, logits, split.y.cpu(), rows)


# --- files ---


def identity(model: Model, data: Data, encoder: Mapping[str, Any], precision: Precision) -> dict[str, Any]:
    """What determines a file of features, but for rounding: see `evenhand.data._feature_file`."""
    return {
        "format": _feature_file.FORMAT,
        "data": described(data),
        "encoder": {**encoder, "sha256": _hash(model.encoder)},
        "precision": precision,
        "labels": runs.labels(data.train),
    }


def find(path: Path, facts: Mapping[str, Any]) -> FeatureFile | None:
    """The file of these features, if it is there.

    Raises:
        BadInput: something else is there.
    """
    if not path.exists():
        return None
    found = _feature_file.read(path)
    if {key: value for key, value in found.facts.items() if key != "content"} != json.loads(json.dumps(facts)):
        old, new = (_said(each) for each in (found.facts, facts))
        raise BadInput(f"{path} holds other features: {old} there, {new} asked for; choose another --out or remove it")
    return found


def extract(
    model: Model,
    data: Data,
    path: Path,
    facts: Mapping[str, Any],
    *,
    device: str = "auto",
    on_rows: OnRows | None = None,
) -> FeatureFile:
    """Write what the encoder makes of every row of train, val and test, in eval mode and without augmentation.

    Memory does not grow with the number of rows. The file is complete or not there at all. What is read back from it as
    a data set has its test part sealed again.

    Args:
        facts: from `identity`.
        on_rows: called with the number of rows that were just done.

    Raises:
        RunFailed: the file cannot be written, or a feature is not finite in the precision that is wanted.
    """
    # Not for training: a file for all analyses needs the test rows too.
    splits = {"train": data.train, "val": data.val, "test": data.test.unseal()}
    x_type = np.dtype("<f2" if facts["precision"] == "float16" else "<f4")
    tensors: dict[str, tuple[Any, tuple[int, ...]]] = {}
    for part, split in splits.items():
        tensors[f"{part}.y"] = tensors[f"{part}.rows"] = "<i8", (len(split),)
        tensors[f"{part}.attributes"] = "<i8", (len(split), len(split.attribute_sizes))
    for part, split in splits.items():
        tensors[f"{part}.features"] = x_type, (len(split), model.classifier.in_features)
    header, places = _feature_file.arrange({**facts, "content": NO_CONTENT}, tensors)
    from lightning_fabric import Fabric  # seconds to import, and only needed here

    chosen = Fabric(accelerator=device, devices=1).device
    model = model.to(chosen)
    if any(isinstance(module, nn.Conv2d) for module in model.modules()):
        model = model.to(memory_format=torch.channels_last)
    with _whole(path) as file:
        file.write(header)
        for part, split in splits.items():
            _write(file, places[f"{part}.y"], 0, split.y.numpy())
            _write(file, places[f"{part}.rows"], 0, np.arange(len(split)))
            if split.attributes is not None:
                _write(file, places[f"{part}.attributes"], 0, split.attributes.numpy())
            for rows, x in _encoded(model, split.to(chosen)):
                _write_rows(file, places[f"{part}.features"], rows, x)
                if on_rows:
                    on_rows(len(rows))
        file.seek(len(header))
        content = _feature_file.hash_of_rest(file)
        file.seek(header.index(NO_CONTENT.encode()))
        file.write(content.encode())
    return _feature_file.read(path)


@torch.no_grad()
def _encoded(model: Model, split: Split) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Rows and their features (B, D), chunk by chunk; texts beside others of their length."""
    lengths = split.inputs.lengths
    order = None if lengths is None else torch.argsort(lengths, stable=True)
    batch: Batch
    with model.evaluating():
        for batch in in_chunks(split, order, elements=NUMBERS_AT_ONCE, most=MOST_ROWS):
            yield batch.rows.cpu().numpy(), model.encoder(batch.x).float().cpu().numpy()


def _write_rows(file: BinaryIO, place: Place, rows_B: np.ndarray[Any, Any], x_BD: np.ndarray[Any, Any]) -> None:
    with np.errstate(over="ignore"):
        stored_BD = x_BD.astype(place.dtype)
    if not np.isfinite(stored_BD).all():
        finite = np.isfinite(x_BD).all()
        raise RunFailed(
            "a feature is too large for float16; take --precision float32"
            if finite
            else f"a feature of row {rows_B[~np.isfinite(x_BD).all(1)][0]} is infinite or not a number"
        )
    # Pieces of consecutive rows; without order in the rows each is its own.
    for piece in np.split(np.arange(len(rows_B)), np.flatnonzero(np.diff(rows_B) != 1) + 1):
        _write(file, place, int(rows_B[piece[0]]), stored_BD[piece[0] : piece[-1] + 1])


def _write(file: BinaryIO, place: Place, row: int, values: np.ndarray[Any, Any]) -> None:
    """Values of consecutive rows, from `row` on. Not through a memory map, where a full disk would kill the process."""
    stored = np.ascontiguousarray(values, dtype=place.dtype)
    file.seek(place.offset + row * (place.size // max(place.shape[0], 1)))
    file.write(stored.data)


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A new file to write and read; it takes its place when the block ends well, and disappears otherwise."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with temporary.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _hash(encoder: nn.Module) -> str:
    """SHA-256 of all weights and buffers, with their names."""
    total = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        total.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        total.update(values.view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _said(facts: Mapping[str, Any]) -> str:
    encoder, data = facts["encoder"], facts["data"]
    name = " ".join(str(value) for key, value in encoder.items() if key != "sha256")
    return f"{name} [{encoder['sha256'][:8]}] of {data['name']} [{data['fingerprint'][:8]}], {facts['precision']}"
