"""The tutorial is run from top to bottom, as a new user would; the figures of its audits are those that come out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evenhand import cli

PAGE = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text()
BLOCKS = re.findall(r"```(python|sh|toml)\n(.*?)```", PAGE, flags=re.DOTALL)


def commands(block: str) -> list[str]:
    return [line for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def write_file(toml: str, folder: Path) -> None:
    """A TOML block begins with the name of its file."""
    name = re.match(r"# (\S+\.toml)\n", toml)
    assert name is not None, toml
    (folder / name[1]).write_text(toml)


def called(line: str) -> str:
    """The output of a command run in this process, with `*` filled in as a shell would."""
    words = [
        str(found) for word in shlex.split(line)[1:] for found in (sorted(Path().glob(word)) if "*" in word else [word])
    ]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, (line, done.output, done.exception)
    return done.output


def assert_as_shown(output: str, block: str) -> None:
    """Every line of figures that the page shows below a command has come out of it."""
    shown = re.search(rf"```sh\n{re.escape(block)}```\n\n```text\n(.*?)```", PAGE, flags=re.DOTALL)
    assert shown is not None, block
    lines = {" ".join(line.split()) for line in output.splitlines()}
    figures = [" ".join(line.split()) for line in shown[1].splitlines() if re.search(r"\d\.\d%", line)]
    assert len(figures) >= 3
    assert set(figures) <= lines


def test_all_but_the_demo_runs_with_fewer_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    space: dict[str, object] = {}
    said: dict[str, str] = {}
    for language, code in BLOCKS:
        if language == "python":
            exec(compile(code, "tutorial.md", "exec"), space)
        elif language == "toml":
            write_file(code, tmp_path)
        else:
            for line in commands(code):
                name = line.split()[1]
                if name == "demo":
                    continue
                short = " --epochs 1 --seeds 1 --workers 1" if name == "compare" else ""
                output = called(line + short)
                said[name] = said.get(name, "") + output
                if name == "audit":
                    assert_as_shown(output, code)
    assert set(said) == {"audit", "data", "compare", "diagnose", "explain", "report"}
    assert "digit=odd, scanner=old" in said["compare"]
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", (tmp_path / "runs" / "scans" / "report.html").read_text())
    assert any("erm looks at" in title for title in titles), titles


@pytest.mark.slow
def test_the_whole_page_runs_as_written(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "EVENHAND_CACHE": str(tmp_path / "cache")}
    so_far, said = "", {}
    for language, code in BLOCKS:
        if language == "toml":
            write_file(code, tmp_path)
            continue
        so_far += code if language == "python" else ""  # names of earlier blocks are there
        words = [sys.executable, "-c", so_far] if language == "python" else ["bash", "-euc", code]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (code, done.stdout, done.stderr)
        said[code.strip()] = done.stdout
        if code.startswith("evenhand audit"):
            assert_as_shown(done.stdout, code)
    demo = said["evenhand demo --out demo-run"]
    assert "erm serves" in demo
    assert "helps most" in demo
    assert (tmp_path / "demo-run" / "report.html").is_file()
    assert (tmp_path / "runs" / "scans" / "report.html").is_file()
