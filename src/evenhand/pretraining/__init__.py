"""Self-supervised objectives, one module each, found by file name: `pretraining/moco.py` holds the objective `moco`.

They train an encoder on the training images alone, before any method: neither labels nor groups are visible to them.
"""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.errors import unknown
from evenhand.options import checked, pairs

if TYPE_CHECKING:
    from evenhand.pretraining._base import Objective
    from evenhand.pretraining._loop import pretrain as pretrain
    from evenhand.settings import Settings


@cache
def names() -> tuple[str, ...]:
    """Every objective's name, in alphabetical order, without importing any."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))


@cache
def find(name: str) -> type[Objective]:
    """The class of the objective `name`.

    Raises:
        BadInput: there is no such objective; the message suggests the nearest.
    """
    if name not in names():
        raise unknown("pretrain", name, ("none", *names()))
    module = import_module(f"{__name__}.{name}")
    own: list[Any] = [value for value in vars(module).values() if inspect.isclass(value) and _is_objective(value)]
    (objective,) = (value for value in own if value.__module__ == module.__name__)
    found: type[Objective] = objective
    return found


def make(name: str, /, **options: Any) -> Objective:
    """The objective `name` with these options.

    Raises:
        BadInput: no such objective, an option it does not have, or a value that does not fit.
    """
    objective = find(name)
    return objective(**checked(objective, options, f"pretraining by {name}"))


def chosen(settings: Settings) -> Objective:
    """The objective that the settings name, with their options.

    Raises:
        BadInput: no such objective, an option it does not have, or a value that does not fit.
    """
    return make(settings.pretrain, **pairs(list(settings.pretrain_options), "pretrain_options"))


def __getattr__(name: str) -> Any:
    if name == "pretrain":
        from evenhand.pretraining._loop import pretrain

        return pretrain
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _is_objective(value: type) -> bool:
    from evenhand.pretraining._base import Objective

    return issubclass(value, Objective) and not inspect.isabstract(value)
