"""What the README says is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import polars
import pytest
from typer.testing import CliRunner

from evenhand import cli, data

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    """Every `evenhand` command of the README's shell blocks and text."""
    lines = [line.partition("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("evenhand ")]


def test_the_python_of_the_readme_runs() -> None:
    space: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), space)
    assert "classifier" in space


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_readme_has_these_options(command: str) -> None:
    """The command line is parsed as it stands, up to the point where it would begin to work."""
    words = shlex.split(command)[1:]
    group = [word for word in words[:2] if not word.startswith("-")] if words[0] == "data" else words[:1]
    result = CliRunner().invoke(cli.app, [*group, "--help"], terminal_width=200)
    assert result.exit_code == 0, result.output
    for option in (word for word in words if word.startswith("--")):
        assert option in result.output, option


def test_the_table_of_the_readme_can_be_read(tmp_path: Path) -> None:
    (toml,) = blocks("toml")
    (tmp_path / "people.toml").write_text(toml)
    rng = np.random.default_rng(0)
    polars.DataFrame({
        "name": [f"n{i}" for i in range(400)],
        "age": [None, *rng.integers(18, 80, 399).tolist()],
        "job": rng.choice(["clerk", "nurse", "smith"], 400),
        "sex": rng.choice(["f", "m"], 400),
        "income": rng.choice(["low", "high"], 400),
    }).write_csv(tmp_path / "people.csv")  # fmt: skip
    found = data.load(str(tmp_path / "people.toml"))
    assert (found.train.n_classes, found.train.n_attributes) == (2, 2)
    assert len(found.train) + len(found.val) + len(found.test) == 400


def test_make_has_the_two_commands() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "test", "env"):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
    assert "make test" in (ROOT / ".ci" / "run").read_text()
