"""Audit classifiers for their worst-off group, explain why it is worst off, and train models that serve it.

Everything is imported when it is first used: `import evenhand` and the audit need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from evenhand import metrics as metrics
    from evenhand.auditing import audit as audit
    from evenhand.batch import Batch as Batch
    from evenhand.batch import Split as Split
    from evenhand.data import load as load
    from evenhand.evaluation import evaluate as evaluate
    from evenhand.methods._base import Method as Method
    from evenhand.model import Model as Model
    from evenhand.train import fit as fit

_WHERE = {
    "Batch": "evenhand.batch",
    "Method": "evenhand.methods._base",
    "Model": "evenhand.model",
    "Settings": "evenhand.settings",
    "Split": "evenhand.batch",
    "audit": "evenhand.auditing",
    "evaluate": "evenhand.evaluation",
    "fit": "evenhand.train",
    "load": "evenhand.data",
}
_MODULES = ("collapse", "data", "encoders", "methods", "metrics", "plots", "sklearn")

__all__ = [*_WHERE, *_MODULES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    if name in _MODULES:
        return import_module(f"evenhand.{name}")
    raise AttributeError(f"module 'evenhand' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
