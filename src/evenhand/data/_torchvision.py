"""What torchvision's readers of data sets have in common: parts, labels, files or arrays, found by looking at them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenhand.data._arrays import Bytes, as_rgb, resized
from evenhand.data._table import PARTS, Codes
from evenhand.errors import BadInput, unknown

# Names that readers have for their parts. Where there is `trainval` beside `train`, the latter leaves val to us.
PART_NAMES = {
    "train": ("train", "trainval", "train-standard"),
    "val": ("val", "valid", "validation"),
    "test": ("test",),
}
GENERAL = ("VisionDataset", "DatasetFolder", "ImageFolder")  # read by `images`
OTHER_TASKS = ("_optical_flow", "_stereo_matching")  # modules of data sets without classes
LABELS = ("targets", "_labels", "labels", "y")
PAIRS = ("_samples", "samples")
FILES = ("_image_files", "_images", "data")


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a data set: its reader, and (N,) the class of each of its images."""

    reader: Any
    labels: NDArray[np.int64]


def readers() -> dict[str, Any]:
    """The readers of torchvision by name, without those of flow and stereo; others without classes say so when read."""
    from torchvision import datasets

    return {
        name: value
        for name, value in vars(datasets).items()
        if inspect.isclass(value) and issubclass(value, datasets.VisionDataset)
        if name not in GENERAL and not value.__module__.endswith(OTHER_TASKS)
    }


def find(item: str) -> Any:
    """The reader of this name.

    Raises:
        BadInput: there is none; the message suggests the nearest.
    """
    if not item:
        raise BadInput("torchvision holds many data sets: name one, such as torchvision:Food101")
    if item not in readers():
        raise unknown("data set of torchvision", item, readers())
    return readers()[item]


def parameters(reader: Any) -> Mapping[str, inspect.Parameter]:
    """What a reader takes, with that of its bases where it passes everything on."""
    found: dict[str, inspect.Parameter] = {}
    for cls in reader.__mro__:
        own = inspect.signature(cls.__init__).parameters
        found = {**own, **found}
        if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in own.values()):
            break
    return found


def parts_of(item: str, root: Path | None, arguments: Mapping[str, Any]) -> dict[str, Part]:
    """The parts that torchvision's data set `item` offers, by our names, or `all` where it has no parts.

    Raises:
        BadInput: files are missing (the message says how to get them), arguments do not fit, or the data set does not
            give one class for each image.
    """
    reader, known = find(item), parameters(find(item))
    for key in arguments:
        if key not in known or key in ("self", "root", "download"):
            raise unknown(f"argument of torchvision's {item}", key, set(known) - {"self", "root", "download"})
    made: dict[str, Any] = {}
    if "train" in known:
        made = {part: _make(reader, root, {**arguments, "train": part == "train"}) for part in ("train", "test")}
    elif "split" in known and "split" not in arguments:
        for part, names in PART_NAMES.items():
            for name in names:
                with suppress(_NoSuchPartError):
                    made[part] = _make(reader, root, {**arguments, "split": name})
                    break
    else:
        made = {"all": _make(reader, root, dict(arguments))}
    if not made.keys() & {"train", "all"}:
        raise BadInput(f"torchvision's {item} has no training part that is known here")
    return {part: Part(each, labels_of(each, item)) for part, each in made.items()}


class _NoSuchPartError(Exception):
    pass


def _make(reader: Any, root: Path | None, arguments: dict[str, Any]) -> Any:
    """The reader at work, which must find its files."""
    known, name = parameters(reader), reader.__name__
    if "root" in known:
        if root is None or not root.is_dir():
            raise BadInput(
                f"torchvision:{name} needs the folder that holds the data sets: pass --root DIR (root=… in Python) or "
                f"set EVENHAND_DATA{'' if root is None else f'; {root} is not a folder'}"
            )
        arguments = {"root": str(root), **arguments}
    try:
        return reader(**arguments)
    except ModuleNotFoundError as error:
        raise BadInput(f"torchvision's {name} needs the package {error.name}, which is not installed") from error
    except TypeError as error:
        raise BadInput(
            f"torchvision's {name} wants other arguments ({error}); --set arguments=KEY=VALUE gives it some"
        ) from error
    except Exception as error:  # each reader has its own ways to say that files are missing
        if isinstance(error, ValueError) and "split" in str(error) and "Unknown value" in str(error):
            raise _NoSuchPartError from error
        text = " ".join(str(error).split()).replace(" You can use download=True to download it", "")
        how = f"; torchvision.datasets.{name}(ROOT, download=True) gets them" if "download" in known else ""
        raise BadInput(f"torchvision's {name} cannot read its files in {root}: {text.rstrip('.')}{how}") from error


def labels_of(reader: Any, item: str) -> NDArray[np.int64]:
    """(N,) the class of each image, without decoding any if the reader knows them.

    Raises:
        BadInput: there is not one class for each image.
    """
    found = [getattr(reader, name) for name in LABELS if hasattr(reader, name)]
    found += [[label for _, label in pairs] for pairs in _pairs(reader)]
    for values in found:
        with suppress(TypeError, ValueError):
            labels = np.asarray(values)
            fits = labels.shape == (len(reader),) and np.issubdtype(labels.dtype, np.integer)
            if fits and len(labels) and int(labels[0]) == _label(reader, 0, item):
                return labels.astype(np.int64)
    return np.array([_label(reader, row, item) for row in range(len(reader))], dtype=np.int64)


def _entry(reader: Any, row: int) -> Any:
    try:
        return reader[row]
    except Exception as error:  # whatever decoding or wrong arguments lead to
        name, text = type(reader).__name__, " ".join(str(error).split())[:200]
        raise BadInput(f"torchvision's {name} cannot give its image {row + 1}: {text}") from error


def _label(reader: Any, row: int, item: str) -> int:
    entry = _entry(reader, row)
    label: Any = entry[1] if isinstance(entry, tuple) and len(entry) == 2 else None
    if hasattr(label, "item") and getattr(label, "ndim", 1) == 0:  # a number of NumPy or a tensor
        label = label.item()
    if not isinstance(label, int):
        raise BadInput(f"torchvision's {item} does not give one class for each image (the first one's is {label!r})")
    return label


def _pairs(reader: Any) -> list[Sequence[tuple[Any, Any]]]:
    """The lists of (file, class) that the reader has."""
    lists = [getattr(reader, name) for name in PAIRS if isinstance(getattr(reader, name, None), list | tuple)]
    return [
        pairs
        for pairs in lists
        if len(pairs) == len(reader) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs)
    ]


def paths_of(reader: Any, root: Path) -> tuple[str, ...] | None:
    """The file of each image relative to `root`, or None where images are not files there."""
    lists = [[file for file, _ in pairs] for pairs in _pairs(reader)]
    lists += [getattr(reader, name) for name in FILES if isinstance(getattr(reader, name, None), list)]
    for files in lists:
        if len(files) == len(reader) and files and all(isinstance(file, str | Path) for file in files):
            paths = [Path(file) for file in files]
            if all(path.is_relative_to(root) and path.is_file() for path in paths):
                return tuple(path.relative_to(root).as_posix() for path in paths)
    return None


def pixels_of(reader: Any, side: int, fit: str) -> Bytes:
    """(N, 3, side, side): the reader's array of images, or else every image decoded in turn."""
    data = getattr(reader, "data", None)
    with suppress(BadInput):
        values: NDArray[Any] = np.asarray(data)
        if values.ndim and len(values) == len(reader):
            return resized(as_rgb(values), side, fit)
    images = np.empty((len(reader), 3, side, side), dtype=np.uint8)
    for row in range(len(reader)):
        image = np.asarray(_entry(reader, row)[0].convert("RGB"))
        images[row] = resized(image.transpose(2, 0, 1)[None], side, fit)[0]
    return images


def classes_of(parts: Mapping[str, Part]) -> tuple[tuple[str, ...], Codes]:
    """The name of each class that occurs, and (N,) the class of every image of all parts."""
    values, y_N = np.unique(np.concatenate([part.labels for part in parts.values()]), return_inverse=True)
    known = getattr(next(iter(parts.values())).reader, "classes", None) or ()
    texts = [each if isinstance(each, str) else "/".join(map(str, each)) for each in known if not isinstance(each, int)]
    fits = len(texts) > values[-1] and values[0] >= 0 and len(set(texts)) == len(texts)
    return tuple(texts[v] if fits else str(v) for v in values), y_N.reshape(-1).astype(np.int64)


def official(parts: Mapping[str, Part]) -> Codes:
    """(N,) part of each image as published: without a test part, val is test."""
    names = {"all": "train", **({"val": "test"} if "test" not in parts else {})}
    return np.concatenate(
        [np.full(len(part.labels), PARTS.index(names.get(name, name))) for name, part in parts.items()]
    )
