"""Command lines run in this process, and a small table of one's own to run them on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from evenhand.cli import main
from table import write_table


class Done(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def evenhand(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `evenhand …`; what it prints must be fit for a pipe."""
    for name in ("FORCE_COLOR", "EVENHAND_DATA", "EVENHAND_DEBUG"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Done:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        strange = {sign for sign in out + err if ord(sign) < 32 and sign != "\n"}
        assert not strange, f"control characters in a pipe: {strange}"
        return Done(code, out, err)

    return run


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="session")
def adult_root() -> Path:
    """The folder of the real data sets: EVENHAND_DATA, or shared/data beside the repository."""
    root = Path(os.environ.get("EVENHAND_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not (root / "adult" / "adult.data").is_file():
        pytest.skip(f"the real Adult files are not in {root}/adult (set EVENHAND_DATA)")
    return root
