"""Run folders: complete or not there, never mixed, and read without training anything."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
import safetensors.torch
import torch

from evenhand import encoders, metrics, runs
from evenhand.batch import Split
from evenhand.data._base import Data, Sealed
from evenhand.errors import BadInput, RunFailed
from evenhand.evaluation import evaluate, predict
from evenhand.execute import execute
from evenhand.files import without_nan, write_atomically, write_json, write_once
from evenhand.plan import Plan


def split(n: int, seed: int) -> Split:
    rng = torch.Generator().manual_seed(seed)
    x, a = torch.randn(n, 4, generator=rng), torch.arange(n) % 2
    return Split.of(x, (x[:, 0] + 0.5 * a > 0).long(), a)


@pytest.fixture
def data() -> Data:
    recommended = {"encoder": "mlp", "epochs": 3, "batch_size": 16, "lr": 0.01}
    return Data("tiny", split(120, 0), split(80, 1), Sealed(split(60, 2)), "abc123", recommended)


PLAN = Plan("erm", settings={"seed": 5}, oracle=True)


def test_a_run_holds_everything_and_nothing_unfinished(tmp_path: Path, data: Data) -> None:
    run = execute(data, PLAN, tmp_path)
    assert run.folder.name.startswith("erm-seed5-")
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "config.json", "geometry.json", "history.jsonl", "metrics.json", "model.safetensors", "predictions.parquet",
        "test_by_epoch.jsonl",
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == [run.folder.name, "evenhand.json"]
    assert runs.run_name(run.config) == run.folder.name
    assert run.config["settings"]["epochs"] == 3
    assert run.config["data"] == {"name": "tiny", "fingerprint": "abc123"}


def test_every_metric_can_be_recomputed_from_the_predictions(tmp_path: Path, data: Data) -> None:
    run = execute(data, PLAN, tmp_path)
    for name in ("val", "test"):
        rows = run.predictions().filter(polars.col("split") == name)
        logits = rows.select("logit_0", "logit_1").to_numpy()
        counts = metrics.count(rows["y"].to_numpy(), logits.argmax(1), rows["attribute_0"].to_numpy())
        found = metrics.evaluate(counts)
        assert found == {key: run.metrics[name][key] for key in found}
        assert (rows["group"] == rows["y"] * 2 + rows["attribute_0"]).all()


def test_the_stored_model_gives_the_stored_predictions(tmp_path: Path, data: Data) -> None:
    run = execute(data, PLAN, tmp_path)
    model = encoders.build("mlp", (4,), 2)
    model.load_state_dict(safetensors.torch.load_file(run.folder / "model.safetensors"))
    test = data.test.unseal()
    rows = run.predictions().filter(polars.col("split") == "test")
    assert torch.equal(predict(model, test), torch.tensor(rows.select("logit_0", "logit_1").to_numpy()))
    assert evaluate(model, test)["accuracy"] == run.metrics["test"]["accuracy"]


def test_the_oracle_is_the_best_epoch_on_test(tmp_path: Path, data: Data) -> None:
    run = execute(data, PLAN, tmp_path)
    epochs = runs.read_lines(run.folder / "test_by_epoch.jsonl")
    worst = [metrics.evaluate(metrics.Counts.from_list(e["counts"]))["worst_group_accuracy"] for e in epochs]
    assert run.metrics["oracle"]["test"]["worst_group_accuracy"] == max(worst)
    assert run.metrics["oracle"]["epoch"] == int(np.argmax(worst))
    assert run.metrics["test"]["worst_group_accuracy"] == worst[run.metrics["selection"]["epoch"]]
    assert execute(data, Plan("erm", settings={"seed": 5}), tmp_path).metrics["oracle"] is None


def test_widths_of_the_encoder_are_a_setting(tmp_path: Path, data: Data) -> None:
    run = execute(data, Plan("erm", settings={"widths": "6,3"}), tmp_path)
    assert run.config["settings"]["widths"] == [6, 3]
    weights = safetensors.torch.load_file(run.folder / "model.safetensors")
    assert weights["classifier.weight"].shape == (2, 3)
    assert execute(data, Plan("erm", settings={"widths": [6, 3]}), tmp_path) == run


def test_what_a_killed_process_left_behind_is_not_part_of_the_run(tmp_path: Path, data: Data) -> None:
    run = execute(data, PLAN, tmp_path)
    partial = run.folder.rename(tmp_path / f".{run.folder.name}.partial")
    (partial / ".checkpoint.pt.123.tmp").write_bytes(b"half a checkpoint")
    assert not list(execute(data, PLAN, tmp_path).folder.glob(".*"))


def test_a_finished_run_is_not_made_again(tmp_path: Path, data: Data) -> None:
    first = execute(data, PLAN, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    assert execute(data, PLAN, tmp_path).folder == first.folder
    assert {path.name: path.stat().st_mtime_ns for path in first.folder.iterdir()} == before


def test_other_options_seeds_settings_and_data_are_other_runs(tmp_path: Path, data: Data) -> None:
    plans = [
        Plan("erm"), Plan("erm", settings={"seed": 1}), Plan("erm", settings={"lr": 0.02}), Plan("groupdro"),
        Plan("groupdro", options={"step_size": 0.5}),
    ]  # fmt: skip
    assert len({execute(data, plan, tmp_path).folder for plan in plans}) == len(plans)


def test_options_that_equal_the_defaults_are_the_same_run(tmp_path: Path, data: Data) -> None:
    first = execute(data, Plan("groupdro"), tmp_path)
    assert execute(data, Plan("groupdro", options={"step_size": "0.01"}, settings={"lr": "0.01"}), tmp_path) == first


def test_runs_on_other_data_are_kept_apart(tmp_path: Path, data: Data) -> None:
    execute(data, PLAN, tmp_path)
    other = Data("tiny", data.train, data.val, data.test, "fff", data.recommended)
    with pytest.raises(BadInput, match=r"holds runs on other data: tiny \[abc123\] there, tiny \[fff\] asked for"):
        execute(other, PLAN, tmp_path)


def test_a_folder_of_that_name_with_another_configuration_is_refused(tmp_path: Path, data: Data) -> None:
    run = execute(data, PLAN, tmp_path)
    write_json(run.folder / "config.json", {**run.config, "format": 0})
    with pytest.raises(BadInput, match="holds a run of another configuration"):
        execute(data, PLAN, tmp_path)


def test_a_damaged_marker_is_named(tmp_path: Path, data: Data) -> None:
    (tmp_path / "evenhand.json").write_text("{")
    with pytest.raises(BadInput, match=r"evenhand\.json is damaged"):
        execute(data, PLAN, tmp_path)


def test_an_output_that_cannot_be_made_is_refused(tmp_path: Path, data: Data) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write to the output folder"):
        execute(data, PLAN, tmp_path / "file" / "below")


def train_on_a_full_disk(data: Data, out: Path, limit: int, result: Any) -> None:
    """Files may grow to `limit` bytes, as on a disk with that much left."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        execute(data, PLAN, out, checkpoint_every=0)
    except Exception as error:
        result.put((type(error).__name__, str(error)))


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files by a POSIX call")
@pytest.mark.parametrize("limit", [900, 6000])
def test_a_full_disk_fails_the_run_and_leaves_nothing_half_written(tmp_path: Path, data: Data, limit: int) -> None:
    context = multiprocessing.get_context("forkserver")
    result = context.Queue()
    runs.claim(tmp_path, {"name": data.name, "fingerprint": data.fingerprint})
    process = context.Process(target=train_on_a_full_disk, args=(data, tmp_path, limit, result))
    process.start()
    kind, message = result.get(timeout=120)
    process.join()
    assert kind == RunFailed.__name__
    assert "cannot write" in message
    assert "File too large" in message
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("erm-")], "no folder that looks finished"
    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_text())
    # With room again, the run is completed and equals one that never met a full disk.
    found = execute(data, PLAN, tmp_path)
    assert found.predictions().equals(execute(data, PLAN, tmp_path / "elsewhere").predictions())


def train_and_tell(data: Data, out: Path, result: Any) -> None:
    lines: list[int] = []
    execute(data, PLAN, out, on_epoch=lambda record: lines.append(record["epoch"]))
    result.put(len(lines))


def test_two_processes_on_one_run_do_it_once(tmp_path: Path, data: Data) -> None:
    context = multiprocessing.get_context("forkserver")
    result = context.Queue()
    both = [context.Process(target=train_and_tell, args=(data, tmp_path, result)) for _ in range(2)]
    for process in both:
        process.start()
    epochs = sorted(result.get(timeout=120) for _ in both)
    assert epochs == [0, 3]
    assert not list(tmp_path.glob(".*")), "neither leaves its lock behind"


def test_what_cannot_be_trained_leaves_nothing(tmp_path: Path) -> None:
    config = {"method": {"name": "erm"}, "settings": {"seed": 0}}
    with pytest.raises(BadInput, match="not such rows"), runs.partial(tmp_path, config):
        raise BadInput("not such rows")
    assert not list(tmp_path.iterdir())


def test_what_was_trained_stays_even_then(tmp_path: Path) -> None:
    config = {"method": {"name": "erm"}, "settings": {"seed": 0}}
    folder = tmp_path / f".{runs.run_name(config)}.partial"
    folder.mkdir()
    (folder / runs.CHECKPOINT).write_bytes(b"")
    with pytest.raises(BadInput), runs.partial(tmp_path, config):
        raise BadInput("not such rows")
    assert (folder / runs.CHECKPOINT).exists()


def test_a_run_that_another_process_holds_can_be_refused(tmp_path: Path) -> None:
    config = {"method": {"name": "erm"}, "settings": {"seed": 0}}
    refused = pytest.raises(RunFailed, match="another process is working on")
    with runs.partial(tmp_path, config), refused, runs.partial(tmp_path, config, wait=False):
        pass


def interrupted(data: Data, out: Path) -> Path:
    """The folder of a run that was stopped in its third epoch."""

    class StopError(Exception):
        pass

    def stop(record: Any) -> None:
        if record["epoch"] == 2:
            raise StopError

    with pytest.raises(StopError):
        execute(data, PLAN, out, on_epoch=stop)
    (partial,) = out.glob(".*.partial")
    return partial


def test_a_checkpoint_without_its_history_begins_again(tmp_path: Path, data: Data) -> None:
    partial = interrupted(data, tmp_path)
    assert len(torch.load(partial / "checkpoint.pt", weights_only=True)["history"]) == 2
    (partial / "test_by_epoch.jsonl").write_text("")
    run = execute(data, PLAN, tmp_path)
    assert [record["epoch"] for record in run.history] == [0, 1, 2]
    assert len(runs.read_lines(run.folder / "test_by_epoch.jsonl")) == 3


def test_a_run_that_stopped_continues_its_logs(tmp_path: Path, data: Data) -> None:
    def stop(record: Any) -> None:
        if record["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(data, PLAN, tmp_path, on_epoch=stop)
    seen: list[int] = []
    run = execute(data, PLAN, tmp_path, on_epoch=lambda record: seen.append(record["epoch"]))
    assert seen == [1, 2], "the first epoch is not done again"
    whole = execute(data, PLAN, tmp_path / "whole")
    for name in ("predictions.parquet", "test_by_epoch.jsonl", "model.safetensors"):
        assert (run.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"is not a finished run: metrics\.json cannot be read"):
        _ = runs.Run(tmp_path).metrics


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "h").write_text('{"a": 1}\n{"a": 2}\n{"a"')
    assert runs.read_lines(tmp_path / "h") == [{"a": 1}, {"a": 2}]
    runs.keep_lines(tmp_path / "h", 1)
    assert (tmp_path / "h").read_text() == '{"a": 1}\n'


def test_what_was_there_survives_a_failed_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFailed, match=r"cannot write .*file: No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_json_has_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": float("nan"), "b": [float("inf"), 1.5], "c": (1,)})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [None, 1.5], "c": [1]}
    assert without_nan({"a": 1}) == {"a": 1}


def test_of_two_that_write_once_the_first_is_kept(tmp_path: Path) -> None:
    write_once(tmp_path / "marker", b"first")
    write_once(tmp_path / "marker", b"second")
    assert (tmp_path / "marker").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["marker"]


@pytest.mark.parametrize("content", [b"5\n", b"[]\n", b"\xff\xfe\n", b"{}}\n"])
def test_a_damaged_log_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "h.jsonl").write_bytes(content)
    with pytest.raises(BadInput, match=r"h\.jsonl is damaged"):
        runs.read_lines(tmp_path / "h.jsonl")


def test_other_damaged_files_are_named(tmp_path: Path) -> None:
    run = runs.Run(tmp_path)
    (tmp_path / runs.POINTS).write_bytes(b"")
    with pytest.raises(BadInput, match=r"points\.npz is damaged"):
        run.points()
    (tmp_path / runs.GEOMETRY).write_text("5")
    with pytest.raises(BadInput, match=r"geometry\.json is damaged"):
        _ = run.geometry


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe\n\n\n", b"5\n6\n7\n"])
def test_a_damaged_log_begins_the_run_again(tmp_path: Path, data: Data, damage: bytes) -> None:
    partial = interrupted(data, tmp_path)
    (partial / "history.jsonl").write_bytes(damage)
    assert [record["epoch"] for record in execute(data, PLAN, tmp_path).history] == [0, 1, 2]
