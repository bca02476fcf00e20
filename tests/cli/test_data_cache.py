"""`evenhand data cache`: what is listed and what is removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from evenhand.cli import main
from evenhand.inputs import cache
from evenhand.inputs.decoding import Preparation


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "caches"))
    return tmp_path / "caches"


def decoded(folder: Path, side: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(3):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(folder / f"{number}.png")
    cache.cached(folder, [f"{number}.png" for number in range(3)], Preparation(side))


def test_without_caches_it_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "cache"]) == 0
    assert capsys.readouterr().out == f"There are no caches of decoded images in {home}.\n"
    assert main(["data", "cache", "--remove", "all"]) == 0
    assert capsys.readouterr().out == "There was no cache to remove.\n"


def test_every_cache_is_listed_with_size_and_source(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decoded(tmp_path / "birds", 4)
    decoded(tmp_path / "dogs", 8)
    assert main(["data", "cache", "--json", str(tmp_path / "list.json")]) == 0
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "list.json").read_text())
    assert [each["folder"] for each in written["caches"]] == [str(tmp_path / "birds"), str(tmp_path / "dogs")]
    assert written["caches"][0]["bytes"] == (home / f"{written['caches'][0]['name']}.npy").stat().st_size
    lines = {line.split()[-1]: line.split() for line in printed.splitlines() if str(tmp_path) in line}
    assert lines[str(tmp_path / "dogs")][3:6] == ["3", "8×8", lines[str(tmp_path / "dogs")][5]]
    assert lines[str(tmp_path / "birds")][0] == written["caches"][0]["name"]


def test_one_is_removed_by_its_name_and_then_all(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in (4, 8, 16):
        decoded(tmp_path / "birds", side)
    first = cache.caches()[0]
    assert main(["data", "cache", "--remove", first.name, "--json", str(tmp_path / "one.json")]) == 0
    written = json.loads((tmp_path / "one.json").read_text())
    assert (written["removed"], len(written["caches"])) == ([first.name], 2)
    assert written["freed"] > first.bytes
    assert not (home / f"{first.name}.npy").exists()
    capsys.readouterr()
    assert main(["data", "cache", "--remove", "all"]) == 0
    assert capsys.readouterr().out.startswith("Removed 2 caches: ")
    assert cache.caches() == []


def test_an_unknown_name_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "cache", "--remove", "../x"]) == 2
    assert "there is no cache '../x'" in capsys.readouterr().err
