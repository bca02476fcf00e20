"""`evenhand train`."""

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

from table import write_table


def test_a_run_is_trained_once_and_shown_worst_group_first(evenhand: Any, people: Path, tmp_path: Path) -> None:
    command = ["train", people, "--method", "groupdro", "--out", tmp_path / "runs", "--seed", 7, "--epochs", 4]
    command += ["--set", "step_size=0.1", "--set", "lr=0.02", "--json", tmp_path / "run.json"]
    done = evenhand(*command)
    assert (done.code, done.err) == (0, "")
    found = json.loads((tmp_path / "run.json").read_text())
    assert found["config"]["method"]["options"]["step_size"] == 0.1
    assert (found["config"]["settings"]["lr"], found["config"]["settings"]["seed"]) == (0.02, 7)
    assert found["run"] in done.out
    in_order = sorted(found["groups"], key=lambda group: group["accuracy"])
    places = [done.out.index(group["group"]) for group in in_order]
    assert places == sorted(places)
    assert f"{100 * in_order[0]['accuracy']:.2f}" in done.out
    assert f"Epoch {found['selection']['epoch'] + 1} of 4" in done.out
    again = evenhand(*command)
    assert "found there, nothing was trained" in again.out
    assert again.out.splitlines()[1:] == done.out.splitlines()[1:]


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--method", "gruopdro"], ["unknown method 'gruopdro'; did you mean 'groupdro'?"]),
        (["--method", "groupdro", "--set", "stepsize=1"], ["'stepsize'; did you mean 'step_size'?"]),
        (["--method", "groupdro", "--set", "batchsize=8"], ["'batchsize'; did you mean 'batch_size'?"]),
        (["--method", "groupdro", "--set", "step_size=big"], ["step_size", "takes a finite number", "'big'"]),
        (["--method", "erm", "--set", "lr=-1"], ["lr must be positive"]),
        (["--method", "erm", "--set", "epochs=1.5"], ["epochs of training takes a whole number"]),
        (["--method", "erm", "--set", "lr"], ["--set takes key=value, got 'lr'"]),
        (["--method", "erm", "--set", "lr=1", "--set", "lr=2"], ["--set names 'lr' twice"]),
        (["--method", "erm", "--set", "seed=1"], ["use --seed"]),
        (["--method", "erm", "--set", "epochs=1", "--epochs", "2"], ["epochs are given twice"]),
        (["--method", "erm", "--epochs", "0"], ["epochs must be at least 1"]),
        (["--method", "erm", "--seed", "-1"], ["seed must lie in"]),
        (["--method", "erm", "--checkpoint-every", "-1"], ["--checkpoint-every must not be negative"]),
        (["--method", "erm", "--set", "encoder=small_cnn"], ["small_cnn takes images"]),
    ],
)
def test_bad_input(evenhand: Any, people: Path, tmp_path: Path, arguments: list[str], messages: list[str]) -> None:
    assert_refused(evenhand("train", people, "--out", tmp_path / "runs", *arguments), *messages)
    assert not (tmp_path / "runs").exists()


def test_bad_data(evenhand: Any, tmp_path: Path) -> None:
    rest = ["--method", "erm", "--out", tmp_path / "runs"]
    assert_refused(evenhand("train", "adlut", *rest), "unknown data set 'adlut'; did you mean 'adult'?")
    assert_refused(evenhand("train", "adult", *rest), "pass --root DIR")
    assert_refused(evenhand("train", "adult", *rest, "--root", tmp_path / "none"), "is not a folder")
    assert_refused(evenhand("train", "adult", *rest, "--root", tmp_path), "there is no folder 'adult'")
    assert_refused(evenhand("train", tmp_path / "none.toml", *rest), "there is no file")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", [["train", "--method", "erm"], ["compare", "--methods", "erm"]])
def test_a_wrong_encoder_is_refused_before_data_are_read(evenhand: Any, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "w.txt").write_text("no weights")
    given = [*command, tmp_path / "none.toml", "--out", tmp_path / "runs", "--set"]
    assert_refused(evenhand(*given, "encoder=resnet5"), "unknown encoder 'resnet5'; did you mean 'resnet50'?")
    assert_refused(evenhand(*given, "weights=nofile"), "there is no file nofile")
    assert_refused(evenhand(*given, f"weights={tmp_path}"), "there is no file", "none.toml")
    assert_refused(evenhand(*given, f"weights={tmp_path / 'w.txt'}"), "files of weights end in .safetensors")
    assert not (tmp_path / "runs").exists()


def test_an_output_that_cannot_be_used(evenhand: Any, people: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    train = ["train", people, "--method", "erm", "--epochs", 1]
    assert_refused(evenhand(*train, "--out", tmp_path / "file" / "runs"), "cannot write to the output folder")
    assert evenhand(*train, "--out", tmp_path / "runs").code == 0
    (tmp_path / "other").mkdir()
    train[1] = write_table(tmp_path / "other", rows=400)
    assert_refused(evenhand(*train, "--out", tmp_path / "runs"), "holds runs on other data", "choose another --out")


@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name != "posix", reason="needs signals")
def test_sigterm_stores_how_far_it_is(people: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; from evenhand.cli import main; sys.exit(main())", "train"]
    rest = ["--method", "erm", "--out", tmp_path, "--epochs", "100000", "--checkpoint-every", "1000"]
    train = subprocess.Popen([*command, people, *rest], stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 60
    while not any(log.read_text().count("\n") > 1 for log in tmp_path.glob(".*/history.jsonl")):
        assert train.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.02)
    assert not list(tmp_path.glob(".*/checkpoint.pt"))
    train.terminate()
    said = train.communicate(timeout=60)[1]
    assert (train.returncode, said) == (
        143, "evenhand: terminated; the same command continues where this one stopped\n",
    )  # fmt: skip
    assert list(tmp_path.glob(".*/checkpoint.pt"))


def test_a_training_that_fails_is_exit_code_1(evenhand: Any, people: Path, tmp_path: Path) -> None:
    done = evenhand("train", people, "--method", "erm", "--out", tmp_path, "--set", "lr=1e30", "--epochs", 20)
    assert_refused(done, "the loss became", "Try a smaller lr", code=1)
    assert not list(tmp_path.glob("erm-*")), "no finished run"


def test_real_adult(evenhand: Any, adult_root: Path, tmp_path: Path) -> None:
    done = evenhand("train", "adult", "--method", "erm", "--root", adult_root, "--out", tmp_path, "--epochs", 1)
    assert done.code == 0
    for count in (4356, 7004, 557, 3143):
        assert f" {count} " in done.out
