"""Self-supervised objectives, one module each, found by file name: `pretraining/moco.py` holds the objective `moco`.

They train an encoder on the training images alone, before any method: neither labels nor groups are visible to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evenhand import by_name
from evenhand.errors import unknown
from evenhand.options import checked, pairs

if TYPE_CHECKING:
    from evenhand.pretraining._base import Objective
    from evenhand.pretraining._loop import pretrain as pretrain
    from evenhand.settings import Settings


def names() -> tuple[str, ...]:
    """Every objective's name, in alphabetical order, without importing any."""
    return by_name.names(__name__)


def find(name: str) -> type[Objective]:
    """The class of the objective `name`.

    Raises:
        BadInput: there is no such objective; the message suggests the nearest.
    """
    if name not in names():
        raise unknown("pretrain", name, ("none", *names()))
    found: type[Objective] = by_name.find(__name__, name, "Objective")
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
