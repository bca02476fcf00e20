"""What a refusal looks like."""

from __future__ import annotations

from typing import Any


def assert_refused(done: Any, *messages: str, code: int = 2) -> None:
    """One paragraph on standard error, nothing on standard output, no traceback."""
    assert done.code == code, done
    assert done.out == ""
    assert done.err.startswith("evenhand: ")
    assert done.err.count("\n") == 1
    for message in messages:
        assert message in done.err
