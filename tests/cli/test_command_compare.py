"""`evenhand compare`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from refusal import assert_refused


def test_methods_side_by_side(evenhand: Any, people: Path, tmp_path: Path) -> None:
    command = ["compare", people, "--methods", "erm, rwg,groupdro", "--seeds", 2, "--out", tmp_path / "runs"]
    command += ["--set", "groupdro.step_size=0.1", "--set", "lr=0.02", "--json", tmp_path / "found.json"]
    done = evenhand(*command)
    assert (done.code, done.err) == (0, "")
    for heading in ("WGA ↑", "BGA ↑", "ΔAcc ↓", "ACC ↑", "DP ↓", "Rows of each group", "WGA minus that of erm", "Holm"):
        assert heading in done.out
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["method"] for row in found["rows"]] == ["erm", "rwg", "groupdro"]
    assert found["rows"][2]["options"]["step_size"] == 0.1
    erm = found["rows"][0]["metrics"]["worst_group_accuracy"]
    assert f"{100 * erm['mean']:.2f}±{100 * erm['sd']:.2f}" in done.out
    assert json.loads((tmp_path / "runs" / "comparison.json").read_text()) == found
    assert (tmp_path / "runs" / "table.md").read_text().count("\n| erm |") == 3
    assert evenhand(*command).out == done.out


def test_a_run_that_fails_is_named_and_the_rest_is_shown(evenhand: Any, people: Path, tmp_path: Path) -> None:
    done = evenhand(
        "compare", people, "--methods", "erm,ncdebias", "--seeds", 1, "--out", tmp_path,
        "--set", "ncdebias.align_weight=1e300",
    )  # fmt: skip
    assert done.code == 1
    assert done.err.startswith("evenhand: ncdebias with seed 0 failed: the loss became")
    assert "\nerm " in done.out
    assert "\nncdebias " not in done.out


def test_no_run_at_all(evenhand: Any, people: Path, tmp_path: Path) -> None:
    done = evenhand("compare", people, "--methods", "erm", "--seeds", 1, "--out", tmp_path, "--set", "lr=1e30",
                    "--epochs", 20)  # fmt: skip
    assert_refused(done, "all 1 runs failed", "the loss became", code=1)


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--methods", "erm,gruopdro"], ["unknown method 'gruopdro'; did you mean 'groupdro'?"]),
        (["--methods", "erm,erm"], ["'erm' is named twice"]),
        (["--methods", ","], ["no method is given"]),
        (["--methods", "erm", "--seeds", "0"], ["seeds must be at least 1, got 0"]),
        (["--methods", "erm", "--workers", "0"], ["workers must be at least 1, got 0"]),
        (["--methods", "erm", "--epochs", "0"], ["epochs must be at least 1, got 0"]),
        (["--methods", "erm", "--set", "lrr=1"], ["unknown option of training 'lrr'; did you mean 'lr'?"]),
        (["--methods", "erm", "--set", "lr=fast"], ["lr of training takes a finite number, got 'fast'"]),
        (["--methods", "erm", "--set", "seed=1"], ["use --seed"]),
        (["--methods", "erm,groupdro", "--set", "step_size=1"], ["write --set groupdro.step_size=…"]),
        (["--methods", "erm,groupdro", "--set", "groupdro.step=1"], ["method groupdro 'step'; did you mean 'step_"]),
        (["--methods", "erm,groupdro", "--set", "groupdr.step_size=1"], ["did you mean 'groupdro'?"]),
    ],
)
def test_bad_input(evenhand: Any, people: Path, tmp_path: Path, arguments: list[str], messages: list[str]) -> None:
    assert_refused(evenhand("compare", people, "--out", tmp_path / "runs", *arguments), *messages)
    assert not (tmp_path / "runs").exists()


# --- real processes, really killed ---


def start(people: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "import sys; from evenhand.cli import main; sys.exit(main())"]
    command += ["compare", str(people), "--methods", "erm,rwg", "--seeds", "1", "--out", str(out)]
    command += ["--epochs", "2000", "--set", "batch_size=8"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


def wait_until(condition: Any, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def in_session(leader: int) -> list[int]:
    """Processes of the session that are not dead yet."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def at_work(out: Path) -> bool:
    histories = list(out.glob(".*.partial/history.jsonl"))
    return len(histories) == 2 and all(path.read_text().count("\n") > 3 for path in histories)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
def test_nothing_outlives_a_killed_comparison_and_an_interrupted_one_continues(people: Path, tmp_path: Path) -> None:
    process = start(people, tmp_path)
    wait_until(lambda: at_work(tmp_path))
    process.kill()
    process.wait()
    wait_until(lambda: not in_session(process.pid), 20)
    assert len(list(tmp_path.glob(".*.partial/checkpoint.pt"))) == 2, "workers noted how far they were"
    epochs = [path.read_text().count("\n") for path in tmp_path.glob(".*.partial/history.jsonl")]

    process = start(people, tmp_path)
    wait_until(lambda: sum(p.read_text().count("\n") for p in tmp_path.glob(".*/history.jsonl")) > sum(epochs) + 5)
    os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches every process in the foreground
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "evenhand: interrupted; the same command continues where this one stopped\n"
    wait_until(lambda: not in_session(process.pid), 20)
    assert sum(p.read_text().count("\n") for p in tmp_path.glob(".*/history.jsonl")) > sum(epochs), "it had continued"
