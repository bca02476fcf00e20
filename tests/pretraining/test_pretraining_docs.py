"""What the page on pretraining says is so."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from evenhand import pretraining

PAGE = (Path(__file__).parent.parent.parent / "docs" / "pretraining.md").read_text()


def test_the_python_of_the_page_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    space: dict[str, object] = {}
    exec(compile(block, "pretraining.md", "exec"), space)
    assert [record["epoch"] for record in space["records"]] == [0]  # type: ignore[attr-defined]


def test_the_page_has_every_objective_and_every_default() -> None:
    table = PAGE[PAGE.index("| option |") :].split("\n\n")[0].splitlines()
    names = re.findall(r"`(\w+)`", table[0])
    assert sorted(names) == list(pretraining.names())
    told: dict[str, dict[str, str]] = {name: {} for name in names}
    for line in table[2:]:
        option, *values = [cell.strip() for cell in line.strip("|").split("|")]
        key = re.findall(r"`(\w+)`", option)[0]
        for name, value in zip(names, values, strict=True):
            if value:
                told[name][key] = value
    for name in names:
        objective = pretraining.make(name)
        assert told[name] == {field.name: str(getattr(objective, field.name)) for field in fields(objective)}
