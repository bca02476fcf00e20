"""Who is told how far the decoding of images is, and what the command line shows of it."""

from __future__ import annotations

import io
import sys

import pytest

from evenhand.cli import _progress
from evenhand.inputs.progress import Progress, report, reporting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_only_who_asked_is_told_and_only_inside() -> None:
    outer: list[Progress] = []
    inner: list[Progress] = []
    report("a", 0, 1)
    with reporting(outer.append):
        report("b", 0, 2)
        with reporting(inner.append):
            report("c", 1, 3)
        report("d", 2, 2)
    report("e", 1, 1)
    assert outer == [Progress("b", 0, 2), Progress("d", 2, 2)]
    assert inner == [Progress("c", 1, 3)]


@pytest.mark.parametrize("shown", [_progress.decoding, _progress.runs])
def test_a_pipe_gets_one_line_on_standard_error(shown: object, capfd: pytest.CaptureFixture[str]) -> None:
    with shown():  # type: ignore[operator]
        for done in (0, 5, 10):
            report("decoding 10 images into 1 MiB at /cache/x.npy", done, 10)
        report("waiting for another process that decodes the same images", 0, 0)
    out, err = capfd.readouterr()
    assert out == ""
    assert err == (
        "evenhand: decoding 10 images into 1 MiB at /cache/x.npy\n"
        "evenhand: waiting for another process that decodes the same images\n"
    )


@pytest.mark.parametrize("shown", [_progress.decoding, _progress.runs])
def test_a_terminal_gets_the_line_and_a_bar(shown: object, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with shown():  # type: ignore[operator]
        report("decoding 10 images", 0, 10)
        report("decoding 10 images", 5, 10)
    assert screen.getvalue().count("evenhand: decoding 10 images") == 1
    assert "5/10" in screen.getvalue()


def test_an_error_inside_leaves_nothing_behind() -> None:
    with pytest.raises(KeyError), _progress.decoding():
        raise KeyError("inside")
    report("heard by nobody", 0, 1)
