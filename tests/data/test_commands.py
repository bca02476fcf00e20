"""`evenhand data …`: what is printed, what is written, and the exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evenhand import data
from evenhand.cli import data as commands
from evenhand.errors import BadInput

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_default_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "80")


def test_list_names_every_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.list_(tmp_path / "list.json") == 0
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "list.json").read_text())["data"]
    assert [entry["name"] for entry in written] == list(data.names())
    assert all(entry["title"] in printed for entry in written)
    assert max(map(len, printed.splitlines())) <= 80


def test_list_imports_nothing_heavy() -> None:
    code = (
        "import sys; from evenhand.cli import data; data.list_(); "
        "print([m for m in ('torch', 'polars', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_info_without_files_says_how_to_get_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.info("adult", None, tmp_path / "info.json") == 0
    printed = capsys.readouterr().out
    for text in ("CC BY 4.0", "ROOT/adult/adult.test", "evenhand data fetch adult --root ROOT", "EVENHAND_DATA"):
        assert text in printed
    assert json.loads((tmp_path / "info.json").read_text())["present"] is False


def test_info_shows_the_groups(real_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.info("adult", real_root, tmp_path / "info.json") == 0
    printed = capsys.readouterr().out
    assert "7004" in printed
    assert max(map(len, printed.splitlines())) <= 80
    written = json.loads((tmp_path / "info.json").read_text())
    assert written["rows"] == {"train": 22621, "val": 7541, "test": 15060}
    assert written["groups"][2] == {
        "group": 2,
        "values": {"income": ">50K", "sex": "Female"},
        "count": {"train": 824, "val": 288, "test": 557},
    }


def test_info_of_ones_own_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{i},{'ab'[i % 2]},{i // 2 % 2},[bold]\n" for i in range(40))
    (tmp_path / "t.csv").write_text("x,a,y,z\n" + rows)
    (tmp_path / "t.toml").write_text('path = "t.csv"\nlabel = "y"\nattributes = ["a"]\n[training]\nepochs = 7\n')
    assert commands.info(str(tmp_path / "t.toml"), json=tmp_path / "info.json") == 0
    assert "epochs 7" in capsys.readouterr().out
    assert json.loads((tmp_path / "info.json").read_text())["rows"] == {"train": 24, "val": 8, "test": 8}


def test_info_of_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no file"):
        commands.info(str(tmp_path / "t.toml"))


def test_check_passes_the_real_files(real_root: Path, tmp_path: Path) -> None:
    assert commands.check("adult", real_root, tmp_path / "check.json") == 0
    written = json.loads((tmp_path / "check.json").read_text())
    assert written == {"name": "adult", "ok": True, "differences": []}


def test_check_fails_other_files(write_adult: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.check("adult", write_adult(), tmp_path / "check.json") == 1
    assert "adult.data has 25 rows, published are 32561" in capsys.readouterr().out
    assert json.loads((tmp_path / "check.json").read_text())["ok"] is False


def test_check_without_root_is_bad_usage() -> None:
    with pytest.raises(BadInput, match="--root DIR"):
        commands.check("adult")


def test_fetch_of_what_is_there(write_adult: Write, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not the official file"):
        commands.fetch("adult", write_adult())


def test_fetch_without_root() -> None:
    with pytest.raises(BadInput, match="say where adult should be kept: pass --root DIR or set EVENHAND_DATA"):
        commands.fetch("adult")


def test_fetch_of_built_in_data(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="digits cannot be fetched: it needs no download"):
        commands.fetch("digits", tmp_path)


def test_result_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot write .*none/list\.json: there is no folder"):
        commands.list_(tmp_path / "none" / "list.json")


def test_typer_app_has_the_four_commands(tmp_path: Path) -> None:
    runner = CliRunner()
    for command in ("list", "info", "check", "fetch"):
        assert command in runner.invoke(commands.app, ["--help"]).output
        assert "--json" in runner.invoke(commands.app, [command, "--help"]).output
    assert runner.invoke(commands.app, ["list"]).exit_code == 0


def test_root_from_the_environment(write_adult: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENHAND_DATA", str(write_adult()))
    assert CliRunner().invoke(commands.app, ["check", "adult"]).exit_code == 1
