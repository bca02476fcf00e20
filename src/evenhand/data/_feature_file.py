"""A file of features: safetensors, read through a memory map, whose header says what the features are of.

For each part (train, val, test) it holds `PART.features` (N, D), `PART.y` (N), `PART.attributes` (N, K) and `PART.rows`
(N), their rows in the data set that they are of. The header's metadata has one entry, a JSON object:

    format      1
    data        name, fingerprint and options of the data set
    encoder     what made the features, and `sha256`, the hash of its weights
    precision   float32 or float16
    labels      what classes and attribute values are called
    content     SHA-256 of everything after the header
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from evenhand.data._base import digest
from evenhand.data._table import PARTS
from evenhand.errors import BadInput

FORMAT = 1
KEY = "evenhand"
LARGEST_HEADER = 100 * 2**20  # as the safetensors library has it
NO_CONTENT = "0" * 64  # in the header of a file whose content is not yet written

_TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I64": np.dtype("<i8")}
_CODES = {dtype: code for code, dtype in _TYPES.items()}


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in the file: `offset` is counted in bytes from the beginning."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """In bytes."""
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """A file of features that can be read.

    Attributes:
        header: its bytes from the beginning up to the first tensor.
        facts: the metadata.
        places: of all tensors, by name.
    """

    path: Path
    header: bytes
    facts: Mapping[str, Any]
    places: Mapping[str, Place]

    @property
    def n_features(self) -> int:
        """D."""
        return self.places["train.features"].shape[1]

    @property
    def rows(self) -> dict[str, int]:
        """How many each part has."""
        return {part: self.places[f"{part}.features"].shape[0] for part in PARTS}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the header, which holds the hash of the content."""
        return digest(self.header)

    def array(self, name: str) -> NDArray[Any]:
        """A tensor, mapped into memory; what is written to it stays there and never reaches the file."""
        place = self.places[name]
        if not place.size:
            return np.zeros(place.shape, place.dtype)
        return np.memmap(self.path, place.dtype, "c", place.offset, place.shape)

    def damage(self) -> str | None:
        """What is wrong with the content, in one sentence; None if it is as it was written. Reads the whole file."""
        with self.path.open("rb") as file:
            file.seek(len(self.header))
            found = hash_of_rest(file)
        wanted = self.facts["content"]
        return None if found == wanted else f"{self.path} has content with SHA-256 {found}, its header says {wanted}"


def arrange(
    facts: Mapping[str, Any], tensors: Mapping[str, tuple[Any, tuple[int, ...]]]
) -> tuple[bytes, dict[str, Place]]:
    """The header of a file with these tensors (dtype and shape by name), and where each of them belongs."""
    listed: dict[str, Any] = {"__metadata__": {KEY: json.dumps(facts, allow_nan=False)}}
    places, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        places[name] = Place(np.dtype(dtype), shape, end)
        begin, end = end, end + places[name].size
        listed[name] = {"dtype": _CODES[np.dtype(dtype)], "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(listed).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return header, {name: Place(p.dtype, p.shape, p.offset + len(header)) for name, p in places.items()}


def hash_of_rest(file: BinaryIO) -> str:
    """SHA-256, in hexadecimal, of everything from where the file is now to its end."""
    total = hashlib.sha256()
    while piece := file.read(2**20):
        total.update(piece)
    return total.hexdigest()


def read(path: Path) -> FeatureFile:
    """The header of a file of features.

    Raises:
        BadInput: there is no such file, it is cut off, or it is something else.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
            size = int.from_bytes(start, "little")
            header = start + file.read(size if size <= LARGEST_HEADER else 0)
            total = file.seek(0, 2)
    except FileNotFoundError as error:
        raise BadInput(f"there is no file {path}") from error
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error
    try:
        listed = json.loads(header[8:])
        facts = json.loads(listed.pop("__metadata__")[KEY])
        version = facts["format"]
        places = {} if version != FORMAT else {name: _place(entry, len(header)) for name, entry in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} is not a file of features written by `evenhand features`") from error
    if version != FORMAT:
        raise BadInput(f"{path} is a file of features of format {version}, wanted {FORMAT}; write it anew")
    missing = {f"{part}.{name}" for part in PARTS for name in ("features", "y", "attributes", "rows")} - places.keys()
    if missing:
        raise BadInput(f"{path} lacks {', '.join(sorted(missing))}; write it anew")
    end = max(place.offset + place.size for place in places.values())
    if total != end:
        raise BadInput(f"{path} is damaged: it has {total} bytes where its header says {end}")
    return FeatureFile(path, header, facts, places)


def _place(entry: Mapping[str, Any], start: int) -> Place:
    """Of a tensor as the header lists it, in a file whose tensors begin at `start`."""
    return Place(_TYPES[entry["dtype"]], tuple(entry["shape"]), start + entry["data_offsets"][0])
