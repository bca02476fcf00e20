"""Pickled arrays of bytes, read without running anything that the pickle names."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenhand.errors import BadInput


class _Bytes:
    """Stands in for a NumPy array while it is read: of its state only shape, order and bytes are used."""

    def __init__(self, *_: object) -> None:
        self.array: NDArray[np.uint8] = np.zeros(0, dtype=np.uint8)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, raw = state
        if not isinstance(kind, _Kind) or kind.name not in ("u1", "uint8", "|u1"):
            raise pickle.UnpicklingError("holds an array of something else than bytes")
        content = raw.encode("latin1") if isinstance(raw, str) else raw
        self.array = np.frombuffer(content, dtype=np.uint8).reshape(shape, order="F" if fortran else "C")


class _Kind:
    """Stands in for a NumPy dtype: only its name is used."""

    def __init__(self, name: object = "", *_: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        pass


def _encoded(text: str, coding: str = "utf-8") -> bytes:
    if coding != "latin1":
        raise pickle.UnpicklingError(f"asks for the coding {coding!r}")
    return text.encode("latin1")


STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Bytes,
    ("numpy._core.multiarray", "_reconstruct"): _Bytes,
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _encoded,  # how newer Pythons write bytes for older ones
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STAND_INS:
            raise pickle.UnpicklingError(f"wants {module}.{name}, and only arrays of bytes, lists and texts are read")
        return STAND_INS[module, name]


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle of plain values, with its arrays of bytes.

    Nothing that the file names is imported or called: functions of NumPy are replaced by stand-ins, and anything else
    is refused.

    Raises:
        BadInput: the file cannot be read, is cut off, or holds anything but a dictionary of such values.
    """
    try:
        with path.open("rb") as file:
            found = _Restricted(file, encoding="latin1").load()
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise BadInput(f"{path} is not a pickle that can be read: {error}") from error
    except (OverflowError, MemoryError, RecursionError) as error:
        raise BadInput(f"{path} is a damaged pickle ({type(error).__name__})") from error
    if not isinstance(found, dict):
        raise BadInput(f"{path} must hold a dictionary, got {type(found).__name__}")
    return {str(key): value.array if isinstance(value, _Bytes) else value for key, value in found.items()}


def labels(found: dict[str, Any], key: str, n_rows: int, n_classes: int, path: Path) -> NDArray[np.int64]:
    """The list of classes under `key`, one whole number in 0..C-1 for every row.

    Raises:
        BadInput: there is none, it has another length, or a value is no such number; the message names the row.
    """
    values = found.get(key)
    if not isinstance(values, list) or len(values) != n_rows:
        got = f"{len(values)} of them" if isinstance(values, list) else "none"
        raise BadInput(f"{path} must hold a list {key!r} with one label for each of its {n_rows} images, got {got}")
    for row, value in enumerate(values):
        if type(value) is not int or not 0 <= value < n_classes:
            raise BadInput(f"{path}, row {row + 1}: {key} must be a whole number in 0..{n_classes - 1}, got {value!r}")
    return np.array(values, dtype=np.int64)


def names(found: dict[str, Any], key: str, path: Path) -> tuple[str, ...]:
    """The list of class names under `key`.

    Raises:
        BadInput: there is none, a name is no text, or two are the same.
    """
    values = found.get(key)
    if not isinstance(values, list) or len(values) < 2 or not all(isinstance(value, str) for value in values):
        raise BadInput(f"{path} must hold a list {key!r} of the names of the classes")
    if len(set(values)) < len(values):
        raise BadInput(f"{path}: {key} names a class twice")
    return tuple(values)
