"""A cache folder of one's own, and worker processes for few images."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenhand.inputs import building, decoders


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of five images; after the first, two worker processes decode."""
    monkeypatch.setattr(building, "CHUNK_IMAGES", 5)
    monkeypatch.setattr(decoders, "WORTH_IT", 0.0)
    monkeypatch.setattr(decoders, "available_cores", lambda: 2)
