"""What holds for every command: help, exit codes, and how errors are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evenhand import __version__, cli
from evenhand.cli import _output

COMMANDS = sorted(path.stem for path in Path(cli.__file__).parent.glob("[!_]*.py"))


def test_help_lists_every_command(evenhand: Any) -> None:
    done = evenhand("--help")
    assert done.code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in done.out


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from evenhand.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    heavy = {"torch", "polars", "numpy", "scipy", "sklearn", "lightning_fabric"}
    assert not heavy & set(done.stderr.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(evenhand: Any, command: str) -> None:
    done = evenhand(command, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: evenhand {command}")


@pytest.mark.parametrize("command", ["compare", "demo", "methods", "reproduce", "train"])
def test_help_shows_an_example(evenhand: Any, command: str) -> None:
    assert f"\n    evenhand {command}" in evenhand(command, "--help").out


def test_version(evenhand: Any) -> None:
    assert evenhand("--version").out == f"evenhand {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["comprae"], "compare"),
        (["train", "adult"], "--method"),
        (["compare", "adult", "--methods", "erm"], "--out"),
        (["compare", "adult", "--methods", "erm", "--out", "o", "--seeds", "two"], "--seeds"),
        (["compare", "adult", "--metods", "erm"], "--metods"),
    ],
)
def test_bad_usage_is_exit_code_2(evenhand: Any, arguments: list[str], message: str) -> None:
    done = evenhand(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("evenhand: ")
    assert done.err.count("\n") == 1
    assert message in done.err
    assert "--help`" in done.err


def test_without_a_command_there_is_help(evenhand: Any) -> None:
    for command in ((), ("data",)):
        done = evenhand(*command)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(" ".join(["Usage: evenhand", *command]))


def fail(error: BaseException) -> Any:
    def names() -> Any:
        raise error

    return names


def test_an_unexpected_error_says_how_to_see_more(evenhand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenhand.methods.names", fail(ZeroDivisionError("oops")))
    done = evenhand("methods")
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "ZeroDivisionError: oops; set EVENHAND_DEBUG=1 to see where" in done.err
    monkeypatch.setenv("EVENHAND_DEBUG", "1")
    assert "Traceback" in evenhand("methods").err


def test_an_interrupt_is_exit_code_130(evenhand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenhand.methods.names", fail(KeyboardInterrupt()))
    monkeypatch.setattr("evenhand.data.names", fail(KeyboardInterrupt()))
    for command in (["methods"], ["data", "list"]):
        done = evenhand(*command)
        assert done.code == 130
        assert done.err == "evenhand: interrupted; the same command continues where this one stopped\n"


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_may_be_closed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, name, None)
    assert cli.main(["methods", "erm"]) == 0


def test_errors_are_wrapped_for_a_reader_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "a word " * 40
    _output.paragraph(text)
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _output.paragraph(text)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize("where", ["no/folder/result.json", ".", "file/result.json"])
def test_a_result_that_cannot_be_written_is_refused_first(evenhand: Any, tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    done = evenhand("methods", "erm", "--json", tmp_path / where)
    assert (done.code, done.out) == (2, "")
    assert "cannot write" in done.err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_result_can_go_into_a_pipe(evenhand: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert evenhand("methods", "erm", "--json", tmp_path / "pipe").code == 0
    assert b'"name": "erm"' in os.read(reader, 100_000)
    assert (tmp_path / "pipe").is_fifo(), "it was written to, not replaced"
    os.close(reader)


@pytest.mark.parametrize("path", ["-", "/dev/stdout"])
@pytest.mark.parametrize("command", [("methods", "erm"), ("methods",), ("data", "list")])
def test_a_result_can_have_standard_output_for_itself(evenhand: Any, path: str, command: tuple[str, ...]) -> None:
    done = evenhand(*command, "--json", path)
    assert done.code == 0
    assert "erm" in json.dumps(json.loads(done.out)) or command[0] == "data"
    assert done.err
    assert not Path("-").exists()
    assert evenhand(*command).err == "", "it holds for one command line"


def test_a_result_goes_through_a_link(evenhand: Any, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert evenhand("methods", "erm", "--json", tmp_path / "link").code == 0
    assert (tmp_path / "link").is_symlink()
    assert '"name": "erm"' in (tmp_path / "target").read_text()


def test_what_is_in_dev_is_never_replaced() -> None:
    assert _output.is_device(Path("/dev/stdout"))
