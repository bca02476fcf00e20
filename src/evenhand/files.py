"""Files that are complete or not there at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from evenhand.errors import RunFailed

TEMPORARY = ".tmp"  # what a killed process may leave behind ends so


def write_atomically(path: Path, content: bytes) -> None:
    """`content` at `path`, complete or not at all: written beside it, flushed to the disk, then renamed.

    Raises:
        RunFailed: the disk is full or the folder cannot be written; what was there before is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise cannot_write(path, error) from error
    except BaseException:  # interrupted
        temporary.unlink(missing_ok=True)
        raise


def write_once(path: Path, content: bytes) -> None:
    """`content` at `path` unless there is a file already; of two processes at once, one writes and both find it.

    Raises:
        RunFailed: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    write_atomically(temporary, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """`value` as indented JSON at `path`, atomically; NaN is written as null, as the standard demands."""
    write_atomically(path, json_text(value).encode())


def json_text(value: Any) -> str:
    """`value` as indented JSON; NaN is null."""
    return json.dumps(without_nan(value), indent=2, allow_nan=False) + "\n"


def without_nan(value: Any) -> Any:
    """`value` with every NaN or infinite number replaced by None."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value


def cannot_write(path: Path, error: OSError) -> RunFailed:
    """The error for a file that could not be written."""
    return RunFailed(f"cannot write {path}: {error.strerror or error}")
