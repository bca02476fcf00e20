"""What the documentation site takes from the code itself: the help of every command, every method, every metric."""

from __future__ import annotations

import inspect
import re
from typing import Any

from typer.testing import CliRunner

from evenhand import cli, methods, metrics
from evenhand.cli.methods import described
from evenhand.methods._base import Method

WIDTH = 76


def on_page_markdown(markdown: str, **about: Any) -> str:
    """Fill the places `{{ commands }}`, `{{ methods }}` and `{{ metrics }}` of a page."""
    for name, text in (("commands", commands), ("methods", all_methods), ("metrics", all_metrics)):
        place = f"{{{{ {name} }}}}"
        if place in markdown:
            markdown = markdown.replace(place, text())
    return markdown


def commands() -> str:
    """A heading and the help for each command, those of groups included."""
    parts = [f"```text\n{helped()}```"]
    for name in names(helped()):
        text = helped(name)
        parts.append(f"## evenhand {name}\n\n```text\n{text}```")
        if "COMMAND [ARGS]" in text:
            parts += [f"### evenhand {name} {each}\n\n```text\n{helped(name, each)}```" for each in names(text)]
    return "\n\n".join(parts)


def helped(*words: str) -> str:
    """What a command prints about itself."""
    result = CliRunner().invoke(cli.app, [*words, "--help"], terminal_width=WIDTH, prog_name="evenhand")
    if result.exit_code:
        raise RuntimeError(f"evenhand {' '.join(words)} --help failed: {result.output}")
    return "\n".join(line.rstrip() for line in result.output.splitlines()).strip("\n") + "\n"


def names(text: str) -> list[str]:
    """The commands that a help text lists."""
    listed = text.partition("Commands:\n")[2]
    return re.findall(r"^  ([a-z][a-z-]*)  ", listed, flags=re.MULTILINE)


def all_methods() -> str:
    """A table of all methods, then each in full."""
    found = [(name, methods.find(name)) for name in methods.names()]
    lines = ["| method | groups | what it does |", "| --- | --- | --- |"]
    for name, method in found:
        about = described(name, method)
        lines.append(f"| [`{name}`](#{name}) | {'yes' if about['needs_groups'] else 'no'} | {about['summary']} |")
    return "\n".join([*lines, "", *(one_method(name, method) for name, method in found)])


def one_method(name: str, method: type[Method]) -> str:
    """Its docstring, and its options as a table."""
    about = described(name, method)
    text = inspect.getdoc(method) or ""
    options = [f"| `{each['name']}` | {each['type']} | `{each['default']}` |" for each in about["options"]]
    table = ["| option | type | default |", "| --- | --- | --- |", *options] if options else []
    return "\n".join([f"## {name}", "", f"```text\n{text}\n```", "", *table, "", f"Source: {about['source']}", ""])


def all_metrics() -> str:
    """A table of all metrics."""
    lines = ["| metric | what it is | better | source |", "| --- | --- | --- | --- |"]
    for name, metric in metrics.METRICS.items():
        better = "higher" if metric.higher_is_better else "lower"
        lines.append(f"| `{name}` | {metric.description} | {better} | {metric.source} |")
    return "\n".join(lines)
