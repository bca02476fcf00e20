"""What goes to the screen and to JSON files."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from evenhand.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 1000  # nothing is wrapped or cut where a program reads
WIDEST = 100
STDOUT = ("-", "/dev/stdout")


class CommandLine:
    """What holds for the command line at work."""

    result_on_stdout = False  # then readers are served on standard error


at_work = CommandLine()


def result_path(path: Path | None) -> Path | None:
    """The file of `--json`; noted if it is standard output, which the result then has for itself."""
    at_work.result_on_stdout = str(path) in STDOUT
    return path


def stream() -> TextIO:
    """Where tables and texts for readers go."""
    return sys.stderr if at_work.result_on_stdout else sys.stdout


def console() -> Console:
    """`stream()` as it is now: colours and the terminal's width, or neither where it is piped."""
    from rich.console import Console

    width = min(WIDEST, shutil.get_terminal_size().columns) if stream().isatty() else PIPED_WIDTH
    return Console(file=stream(), width=width, highlight=False, markup=False, emoji=False)


def say(text: str, style: str = "") -> None:
    """A line or paragraph for a reader."""
    console().print(text, style=style or None)


def item(text: str) -> None:
    """A line of a list, indented where it is wrapped."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 1))
    grid.add_row("-", text)
    console().print(grid)


def paragraph(text: str) -> None:
    """An error or a warning on standard error: one paragraph, wrapped for a reader and in one line for a program."""
    text = f"evenhand: {text}"
    if sys.stderr.isatty():
        width = min(WIDEST, shutil.get_terminal_size().columns)
        text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
    print(text, file=sys.stderr)


def check_writable(path: Path | None) -> None:
    """Raise BadInput now if the result could not be written to this file in the end."""
    if path is None or str(path) in STDOUT:
        return
    folder = path.parent
    if not folder.is_dir():
        raise BadInput(f"cannot write {path}: there is no folder {folder}")
    if path.is_dir():
        raise BadInput(f"cannot write {path}: it is a folder")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise BadInput(f"cannot write {path}: permission denied")


def write_result(path: Path | None, value: Any) -> None:
    """The result as JSON, if a file is wanted; whole or not at all, except into a device or pipe."""
    if path is None:
        return
    from evenhand.files import json_text, write_json

    if str(path) in STDOUT:
        sys.stdout.write(json_text(value))
    elif is_device(path):
        with path.open("a") as stream:
            stream.write(json_text(value))
    else:
        write_json(path.resolve(), value)  # through a symbolic link, not in its place


def is_device(path: Path) -> bool:
    """Whether a path such as /dev/stdout takes what is written to it and must not be replaced by a file."""
    return path.absolute().is_relative_to("/dev") or (path.exists() and not path.is_file())
