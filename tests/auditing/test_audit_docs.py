"""The page on the audit is run: its Python, its commands with all their options, and what it says they print."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from evenhand.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
COMMANDS = [
    pytest.param(text.strip(), following[1] if following[0] == "text" else "", id=text.split()[-1])
    for (language, text), following in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True)
    if language == "sh"
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the page's invented predictions are."""
    path = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        exec(compile(PYTHON[0], "audit.md", "exec"), {})
    return path


@pytest.mark.parametrize(("command", "wanted"), COMMANDS)
def test_commands_print_what_the_page_says(folder, monkeypatch, capsys, command, wanted):
    monkeypatch.chdir(folder)
    words = shlex.split(command)
    assert words[:2] == ["evenhand", "audit"]
    code = main(words[1:])
    out, err = capsys.readouterr()
    printed = "\n".join(line.rstrip() for line in out.splitlines()).strip()
    assert err == ""
    assert code == int("✗ failed" in printed)
    assert printed.endswith(wanted.removeprefix("…\n").strip())
    if not wanted.startswith("…"):
        assert not wanted or printed == wanted.strip()
    for option, path in pairwise(words):
        if option in ("--json", "--csv", "--markdown", "--html", "--junit"):
            assert (folder / path).stat().st_size


def test_every_option_is_on_the_page_or_explained_by_help(folder, monkeypatch, capsys):
    assert main(["audit", "--help"]) == 0
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert named <= known


def test_the_python_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    space: dict[str, object] = {}
    exec(compile(PYTHON[1], "audit.md", "exec"), space)
    assert "dark" in capsys.readouterr().out
    assert str(space["page"]).startswith("<section")
