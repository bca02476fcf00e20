"""The errors that people see: one paragraph that names what was wanted, what was got and where."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class EvenhandError(Exception):
    """Anything that the command line reports without a traceback."""

    exit_code = 1


class BadInput(EvenhandError, ValueError):
    """What was asked for or handed in cannot be used; nothing was started (exit code 2)."""

    exit_code = 2


class RunFailed(EvenhandError, RuntimeError):
    """Work had begun and could not be completed (exit code 1)."""


def unknown(kind: str, name: str, known: Iterable[str]) -> BadInput:
    """The error for a name that is not there, with the nearest one that is."""
    known = sorted(known)
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return BadInput(f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})")
