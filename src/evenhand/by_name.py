"""Things found by file name: a package holds a module for each, and nothing is registered."""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any


@cache
def names(package: str) -> tuple[str, ...]:
    """The public modules of a package, in alphabetical order, without importing any of them."""
    (folder,) = import_module(package).__path__
    return tuple(sorted(path.stem for path in Path(folder).glob("*.py") if not path.stem.startswith("_")))


@cache
def find(package: str, name: str, base: str) -> Any:
    """The one class in the module `name` of a package that is a `base`, which is in the package's `_base`."""
    wanted = getattr(import_module(f"{package}._base"), base)
    module = import_module(f"{package}.{name}")
    (found,) = (
        value
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__
        if issubclass(value, wanted) and not inspect.isabstract(value)
    )
    return found
