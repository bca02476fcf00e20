"""Logs for other tools: every epoch once, whatever happened, read back from the files that the tools read."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evenhand import loggers, runs
from evenhand.batch import Split
from evenhand.data._base import Data, Sealed
from evenhand.errors import BadInput, RunFailed
from evenhand.execute import execute
from evenhand.plan import Plan, resolve
from evenhand.runs import Run

EPOCHS = 4


def rows(n: int, seed: int) -> Split:
    x, a = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)), torch.arange(n) % 2
    split = Split.of(x, (x[:, 0] + 0.5 * a > 0).long(), a)
    return replace(split, class_names=("<=50K", ">50K"), label_name="income")


@pytest.fixture
def data() -> Data:
    recommended = {"encoder": "mlp", "epochs": EPOCHS, "batch_size": 16, "lr": 0.01}
    return Data("tiny", rows(120, 0), rows(80, 1), Sealed(rows(60, 2)), "abc123", recommended)


Points = dict[str, list[tuple[int, float]]]


def read_csv(out: Path, name: str) -> Points:
    with (out / "logs" / "csv" / name / "metrics.csv").open() as file:
        found: Points = {}
        for row in csv.DictReader(file):
            for key, value in row.items():
                if value and key != "step":
                    found.setdefault(key, []).append((int(row["step"]), float(value)))
    return found


def read_tensorboard(out: Path, name: str) -> Points:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(out / "logs" / "tensorboard" / name), {"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def read_mlflow(out: Path, name: str) -> Points:
    from mlflow.tracking import MlflowClient

    client = MlflowClient((out / "logs" / "mlflow").as_uri())
    (experiment,) = client.search_experiments(filter_string="name = 'tiny'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == (name, "FINISHED")
    assert run.data.params["method/name"] == "erm"
    return {
        key: [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, key)]
        for key in run.data.metrics
    }


def level_records(content: bytes) -> Iterator[bytes]:
    """Records of a log of LevelDB behind seven bytes of heading: in blocks of 32 KiB, each part with seven bytes."""
    at, parts = 7, b""
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def read_wandb(out: Path, name: str) -> Points:
    for _ in range(100):  # another process writes the file, and may still be at it
        found = wandb_history(out, name)
        if "test/accuracy" in found and "lr" in found:
            break
        time.sleep(0.1)
    return found


def wandb_history(out: Path, name: str) -> Points:
    from wandb.proto.wandb_internal_pb2 import Record

    (folder,) = (out / "logs" / "wandb").glob(f"offline-run-*-{name}")
    found: Points = {}
    for content in level_records((folder / f"run-{name}.wandb").read_bytes()):
        record = Record()
        record.ParseFromString(content)
        items = {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
        step = int(items.pop("trainer/global_step", -1))
        for key, value in items.items():
            if not key.startswith("_"):
                found.setdefault(key, []).append((step, float(value)))
    return found


READING: dict[str, Callable[[Path, str], Points]] = {
    "csv": read_csv,
    "tensorboard": read_tensorboard,
    "mlflow": read_mlflow,
    "wandb": read_wandb,
}
each_kind = pytest.mark.parametrize(
    "kind",
    ["csv", "tensorboard", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mlflow", "wandb"))],
)


def named(kind: str, names: list[str]) -> list[str]:
    return loggers.plain_names(names) if kind == "mlflow" else names


def assert_is_logged(out: Path, run: Run, kind: str) -> None:
    """Every epoch of the run is there once, with its figures, and the figures on test are at the end."""
    points = READING[kind](out, run.folder.name)
    names = named(kind, [group["group"] for group in run.metrics["groups"]])
    assert points["lr"] == [(step, pytest.approx(record["lr"])) for step, record in enumerate(run.history)]
    assert points["score"] == [(step, pytest.approx(record["score"])) for step, record in enumerate(run.history)]
    for part in ("train", "val"):
        for figure in ("loss", "accuracy"):
            for g, name in enumerate(names):
                wanted = [(step, pytest.approx(r[part][figure][g])) for step, r in enumerate(run.history)]
                assert points[f"{part}/{figure}/{name}"] == wanted
    assert points["test/accuracy"] == [(len(run.history) - 1, pytest.approx(run.metrics["test"]["accuracy"]))]
    last = run.history[-1]["val"]
    of_all = sum(a * n for a, n in zip(last["accuracy"], last["count"], strict=True)) / sum(last["count"])
    assert points["val/accuracy/all rows"][-1] == (len(run.history) - 1, pytest.approx(of_all))


@each_kind
def test_an_uninterrupted_run_is_logged(tmp_path: Path, data: Data, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    run = execute(data, Plan("erm", log=kind), tmp_path)
    assert_is_logged(tmp_path, run, kind)


@each_kind
def test_a_stopped_run_goes_on_with_its_log(
    tmp_path: Path, data: Data, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)

    def stop(record: Any) -> None:
        if record["epoch"] == 2:  # logged already, and not yet in the checkpoint
            raise RunFailed("stop")

    plan = Plan("erm", log=kind)
    with pytest.raises(RunFailed, match="stop"):
        execute(data, plan, tmp_path, checkpoint_every=0, on_epoch=stop)
    if kind == "wandb":
        time.sleep(1.1)  # its folders are named by the second
    assert_is_logged(tmp_path, execute(data, plan, tmp_path), kind)


def test_a_log_is_no_part_of_the_configuration(tmp_path: Path, data: Data) -> None:
    with_log, without = resolve(Plan("erm", log="csv"), data)[2], resolve(Plan("erm"), data)[2]
    assert runs.run_name(with_log) == runs.run_name(without)


def test_a_run_that_was_finished_before_is_logged_afterwards_once(tmp_path: Path, data: Data) -> None:
    run = execute(data, Plan("erm"), tmp_path)
    loggers.complete("csv", run)
    assert_is_logged(tmp_path, run, "csv")
    file = tmp_path / "logs" / "csv" / run.folder.name / "metrics.csv"
    file.write_text("left as it is")
    loggers.complete("csv", run)
    assert file.read_text() == "left as it is"


def test_a_stage_begins_with_new_steps_and_not_with_old_ones(tmp_path: Path, data: Data) -> None:
    run = execute(data, Plan("jtt", log="csv"), tmp_path)
    assert len({record["stage"] for record in run.history}) == 2
    points = read_csv(tmp_path, run.folder.name)
    assert [step for step, _ in points["stage"]] == list(range(len(run.history)))


def test_a_logger_that_fails_does_not_stop_the_training(tmp_path: Path, data: Data) -> None:
    (tmp_path / "logs").write_text("no folder")
    with pytest.warns(UserWarning, match="is not logged any further by csv") as said:
        run = execute(data, Plan("erm", log="csv"), tmp_path)
    assert len([warning for warning in said if "csv" in str(warning.message)]) == 1
    assert len(run.history) == EPOCHS


def test_an_unknown_logger_is_refused_before_anything_starts(tmp_path: Path, data: Data) -> None:
    with pytest.raises(BadInput, match="unknown logger 'tensorbord'; did you mean 'tensorboard'"):
        execute(data, Plan("erm", log="tensorbord"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_library_that_is_not_there_is_named(tmp_path: Path, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loggers.KINDS, "wandb", ("pytorch_lightning", "no_such_wandb"))
    wanted = r"logging to wandb needs no_such_wandb: pip install 'evenhand\[loggers\]'"
    with pytest.raises(BadInput, match=wanted):
        execute(data, Plan("erm", log="wandb"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_figures_leave_out_what_is_not_known() -> None:
    nothing = {"loss": [None, 1.0], "accuracy": [None, 0.5], "count": [0, 4]}
    record = {"stage": 0, "epoch": 0, "lr": 0.1, "train": nothing, "val": nothing, "score": 0.5, "seconds": 1.0}
    assert loggers.figures(record, ["a", "b"]) == {
        "stage": 0.0, "lr": 0.1, "score": 0.5, "seconds": 1.0,
        "train/loss/all rows": 1.0, "train/loss/b": 1.0, "train/accuracy/all rows": 0.5, "train/accuracy/b": 0.5,
        "val/loss/all rows": 1.0, "val/loss/b": 1.0, "val/accuracy/all rows": 0.5, "val/accuracy/b": 0.5,
    }  # fmt: skip


def test_names_that_become_the_same_are_numbered() -> None:
    assert loggers.plain_names(["age=<30", "age=>30"]) == ["age__30 0", "age__30 1"]
    assert loggers.plain_names(["sex=Female, age=3", "x"]) == ["sex_Female_ age_3", "x"]
