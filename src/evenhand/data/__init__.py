"""Data sets, one module each, found by file name: `data/adult.py` holds the data set `adult`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evenhand import by_name
from evenhand.data._base import Data, DataSet, Download, Sealed, default_root, read_text
from evenhand.data._changes import CHANGES, Changes
from evenhand.errors import BadInput, unknown
from evenhand.options import checked

__all__ = ["CHANGES", "Data", "DataSet", "Download", "Sealed", "default_root", "find", "load", "names", "open_set"]


def names() -> tuple[str, ...]:
    """Every data set's name, without importing any."""
    return by_name.names(__name__)


def find(name: str) -> type[DataSet]:
    """The class of the data set `name`.

    Raises:
        BadInput: there is no such data set; the message suggests the nearest.
    """
    if name not in names():
        raise unknown("data set", name, names())
    found: type[DataSet] = by_name.find(__name__, name, "DataSet")
    return found


def open_set(name: str, **options: Any) -> DataSet:
    """The data set `name` with its options; nothing but a TOML file is read yet.

    Args:
        name: a name from `names()`, with `:item` for those that hold many; the path of a TOML file, of a file of
            features (`.safetensors`), or of a folder with folders of classes.

    Raises:
        BadInput: no such data set, an option it does not have, or a value of the wrong type.
    """
    base, colon, item = name.partition(":")
    if name.endswith(".toml"):
        name, options = _described_in(name), {**options, "path": name}
        if name == "images":
            options = {**_image_options(options["path"]), **options}
    elif name.endswith(".safetensors"):
        name, options = "features", {**options, "path": name}
    elif name not in names() and Path(name).is_dir():
        name, options = "images", {**options, "path": name}
    elif colon and base in names():
        name, options = base, {**options, "item": item}
    elif base not in names() and Path(name).is_file():
        raise BadInput(
            f"{name} is a file, but neither TOML nor features: say in a TOML file what is what in it "
            "(`evenhand data info csv`, or images, or text), and name that one"
        )
    elif base not in names() and "/" in name:
        raise BadInput(f"there is no file or folder {name}")
    data_set = find(name)
    return data_set(**checked(data_set, options, f"the data set {name}", CHANGES))


def _described_in(path: str) -> str:
    """Which data set reads what a TOML file describes: the one that one of its keys belongs to, or else `csv`."""
    import tomllib

    try:
        keys = tomllib.loads(read_text(Path(path)))
    except (BadInput, tomllib.TOMLDecodeError):
        return "csv"  # which says what is wrong
    found = (name for key, name in (("text", "text"), ("images", "images"), ("folder", "images")) if key in keys)
    return next(found, "csv")


def _image_options(path: str) -> dict[str, Any]:
    from evenhand.data._image_description import read_image_description

    return read_image_description(Path(path))[1]


def load(name: str, root: str | Path | None = None, **options: Any) -> Data:
    """The data set `name` in three parts; the test part is sealed.

    Args:
        name: what `open_set` takes: a name from `names()`, or the path of a TOML file, of features, or of a folder.
        root: the folder that holds every data set under its official folder name; default `EVENHAND_DATA`.
        options: fields of the data set's class, and of `Changes`, which every data set takes.

    Raises:
        BadInput: no such data set or option, or files that are missing or wrong.
    """
    changes = {key: value for key, value in options.items() if key in CHANGES and not _has_option(name, key)}
    chosen = open_set(name, **{key: value for key, value in options.items() if key not in changes})
    checked_changes = checked(Changes, changes, "data sets")
    return Changes(**checked_changes).applied(chosen.load(default_root(root)), checked_changes)


def _has_option(name: str, option: str) -> bool:
    base = name.partition(":")[0]
    return base in names() and option in find(base).option_names()
