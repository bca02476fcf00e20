"""The command line: `cli/compare.py` holds the command `compare`, one function of plain arguments to an exit code.

Commands are found by file name. Their modules import nothing heavy before they run, so that `--help` is instant. A
module with an `app` instead holds a group of commands.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from evenhand import __version__
from evenhand.cli._output import at_work, paragraph
from evenhand.errors import BadInput, EvenhandError

INTERRUPTED, TERMINATED = 130, 143
BAD_USAGE: Any = typer.BadParameter.__mro__[1]  # Typer names only this kind of it

app = typer.Typer(
    help="Audit classifiers for their worst-off group, explain why it is worst off, and train models that serve it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # plain help is there in half the time
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911
    """Run a command line and return its exit code: 0 done, 1 a failed check or run, 2 bad usage or bad input."""
    _prepare_streams()
    at_work.result_on_stdout = False
    try:
        with _stoppable(), _plain_warnings():
            return app(args=arguments, prog_name="evenhand", standalone_mode=False) or 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt as error:
        return _interrupted(error)
    except BAD_USAGE as error:
        return _refused(error)
    except EvenhandError as error:
        paragraph(str(error))
        _show_traceback(error)
        return error.exit_code
    except BrokenPipeError:  # `evenhand … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:
        hint = "" if _debugging() else "; set EVENHAND_DEBUG=1 to see where"
        paragraph(f"this should not have happened: {type(error).__name__}: {error}{hint}")
        _show_traceback(error)
        return 1


def _refused(error: Any) -> int:
    """Say in one paragraph what is wrong with the command line; a command that needs more words shows its help."""
    command = error.ctx.command_path if error.ctx else "evenhand"
    message = error.format_message()
    if message.startswith("Usage:"):
        print(message, file=sys.stderr)
    else:
        paragraph(f"{message.rstrip('.')}; see `{command} --help`")
    return BadInput.exit_code


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as batch systems send it before they kill: what is under way is stored, as at Ctrl-C."""


@contextmanager
def _stoppable() -> Iterator[None]:
    """Inside, SIGTERM interrupts; only the main thread can say so."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Our own warnings as paragraphs, without a line of code; those of other packages as they are."""
    here, usual = str(Path(__file__).parents[1]), warnings.showwarning

    def show(message: Warning | str, category: type[Warning], filename: str, *place: Any, **more: Any) -> None:
        if issubclass(category, UserWarning) and filename.startswith(here):
            paragraph(str(message))
        else:
            usual(message, category, filename, *place, **more)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _prepare_streams() -> None:
    """Make the standard streams take whatever is printed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller (`>&-`)
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an ASCII terminal shows ? for ±, and goes on


def _interrupted(error: KeyboardInterrupt) -> int:
    terminated = isinstance(error, _Terminated)
    paragraph(f"{'terminated' if terminated else 'interrupted'}; the same command continues where this one stopped")
    return TERMINATED if terminated else INTERRUPTED


def _debugging() -> bool:
    return bool(os.environ.get("EVENHAND_DEBUG"))


def _show_traceback(error: BaseException) -> None:
    if _debugging():
        traceback.print_exception(error)


def _exits(command: Callable[..., int]) -> Callable[..., None]:
    """The command with its exit code told to Typer."""

    @wraps(command)
    def run(*args: object, **options: object) -> None:
        try:
            code = command(*args, **options)
        except KeyboardInterrupt as error:  # Typer would end without a word
            code = _interrupted(error)
        raise typer.Exit(code)

    return run


def _add_commands() -> None:
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        module = import_module(f"{__name__}.{path.stem}")
        if hasattr(module, "app"):
            for command in module.app.registered_commands:
                command.callback = _exits(command.callback)
            app.add_typer(module.app, name=path.stem)
        else:
            app.command(path.stem)(_exits(getattr(module, path.stem)))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"evenhand {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


_add_commands()
