"""Data sets, one module each, found by file name: `data/adult.py` holds the data set `adult`."""

from __future__ import annotations

import inspect
import os
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.errors import unknown

if TYPE_CHECKING:
    from evenhand.data._base import Data, DataSet


@cache
def names() -> tuple[str, ...]:
    """Every data set's name, without importing any."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))


@cache
def find(name: str) -> type[DataSet]:
    """The class of the data set `name`.

    Raises:
        BadInput: there is no such data set; the message suggests the nearest.
    """
    if name not in names():
        raise unknown("data set", name, names())
    module = import_module(f"{__name__}.{name}")
    own: list[Any] = [value for value in vars(module).values() if inspect.isclass(value) and hasattr(value, "load")]
    (found,) = (value for value in own if value.__module__ == module.__name__)
    data_set: type[DataSet] = found
    return data_set


def load(name: str, root: str | Path | None = None, **options: Any) -> Data:
    """The data set `name`, or the one that a TOML file describes, in three parts; the test part is sealed.

    Args:
        name: a name from `names()`, or the path of a TOML file.
        root: the folder that holds every data set under its official folder name; default `EVENHAND_DATA`.
        options: fields of the data set's class.

    Raises:
        BadInput: no such data set or option, or files that are missing or wrong.
    """
    if root is None and "EVENHAND_DATA" in os.environ:
        root = os.environ["EVENHAND_DATA"]
    if name.endswith(".toml"):
        return find("csv")(path=name, **options).load(None)  # type: ignore[call-arg]
    return find(name)(**options).load(None if root is None else Path(root))
