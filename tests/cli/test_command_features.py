"""`evenhand features`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from refusal import assert_refused

from table import write_table


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run's folder, and the TOML file of its data."""
    from stored import trained

    run, _, path = trained(tmp_path_factory.mktemp("run"))
    return run.folder, path


def test_features_of_a_run_are_stored_once_and_trained_on(evenhand: Any, trained: Any, tmp_path: Path) -> None:
    run, path = trained
    out = tmp_path / "people.safetensors"
    command = ["features", run, "--data", path, "--out", out, "--json", tmp_path / "features.json"]
    done = evenhand(*command)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{out}\n64 features of each row (180 of train, 90 of val, 90 of test) in float32")
    found = json.loads((tmp_path / "features.json").read_text())
    assert found["encoder"]["run"] == run.name
    assert (found["features"], found["rows"], found["found"]) == (64, {"train": 180, "val": 90, "test": 90}, False)
    assert (found["data"]["name"], found["bytes"]) == ("people", out.stat().st_size)
    before = out.stat().st_mtime_ns
    again = evenhand(*command)
    assert "(found there, nothing was computed)" in again.out
    assert out.stat().st_mtime_ns == before
    assert json.loads((tmp_path / "features.json").read_text()) == {**found, "found": True}
    on_them = evenhand("train", out, "--method", "groupdro", "--out", tmp_path / "runs", "--epochs", 2)
    assert on_them.code == 0
    assert "hired=yes, sex=f" in on_them.out


def test_features_of_an_encoder_that_was_not_trained_on_the_data(evenhand: Any, trained: Any, tmp_path: Path) -> None:
    out = tmp_path / "random.safetensors"
    command = ["features", trained[1], "--encoder", "mlp", "--weights", "none", "--precision", "float16", "--out", out]
    done = evenhand(*command)
    assert done.code == 0
    assert "in float16" in done.out
    assert_refused(
        evenhand(*command[:-4], "--out", out),
        "holds other features: mlp none [",
        "float16 there",
        "choose another --out",
    )


def test_options_of_the_data_are_those_of_train(evenhand: Any, tmp_path: Path) -> None:
    command = ["features", "digits", "--encoder", "small_cnn", "--weights", "none", "--set", "data.copies=1"]
    done = evenhand(*command, "--out", tmp_path / "d.safetensors", "--json", "-")
    assert done.code == 0
    found = json.loads(done.out)
    assert found["rows"]["train"] == 1078
    assert found["data"]["name"] == "digits"


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ([], ["say whose features of", "--encoder NAME"]),
        (["--encoder", "mpl"], ["unknown encoder 'mpl'; did you mean 'mlp'?"]),
        (["--encoder", "small_cnn", "--weights", "none"], ["small_cnn takes images"]),
        (["--encoder", "mlp", "--set", "lr=1"], ["--set takes options of the data here (data.key=value), got 'lr=1'"]),
        (["--encoder", "mlp", "--data", "x.toml"], ["--data names the data of a run;", "is none"]),
    ],
)
def test_bad_input(evenhand: Any, people: Path, tmp_path: Path, arguments: list[str], messages: list[str]) -> None:
    assert_refused(evenhand("features", people, "--out", tmp_path / "f.safetensors", *arguments), *messages)
    assert not list(tmp_path.iterdir())


def test_outputs_that_cannot_be_used(evenhand: Any, people: Path, tmp_path: Path) -> None:
    command = ["features", people, "--encoder", "mlp", "--weights", "none", "--out"]
    assert_refused(evenhand(*command, tmp_path / "f.bin"), "--out must end in .safetensors")
    assert_refused(evenhand(*command, tmp_path / "none" / "f.safetensors"), "there is no folder")
    (tmp_path / "f.safetensors").write_text("something else")
    assert_refused(evenhand(*command, tmp_path / "f.safetensors"), "is not a file of features")
    assert (tmp_path / "f.safetensors").read_text() == "something else"


def test_a_run_is_taken_as_it_is(evenhand: Any, trained: Any, tmp_path: Path) -> None:
    run = trained[0]
    out = ["--out", tmp_path / "f.safetensors"]
    assert_refused(evenhand("features", run, "--encoder", "mlp", *out), "is a run", "no option can change them")
    assert_refused(evenhand("features", run, *out), "a file of one's own, people; name that file with --data")
    (tmp_path / "other").mkdir()
    other = write_table(tmp_path / "other", rows=200)
    assert_refused(evenhand("features", run, "--data", other, *out), "was trained on other data")
    assert_refused(
        evenhand("features", run.parent, *out),
        "is not a finished run: it has no config.json; images also need --encoder",
    )


def test_a_folder_of_images_is_data(evenhand: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    for number in range(10):
        file = tmp_path / "my pictures" / "ab"[number % 2] / f"é {number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * number, 0, 0)).save(file)
    command = ["features", tmp_path / "my pictures", "--encoder", "small_cnn", "--weights", "none"]
    done = evenhand(*command, "--set", "data.size=8", "--out", tmp_path / "f.safetensors")
    assert done.code == 0, done
    assert "(6 of train, 2 of val, 2 of test) in float32: " in done.out
    assert "KiB" in done.out
    assert done.err.startswith(f"evenhand: decoding 10 images into 2.0 KiB at {tmp_path / 'cache'}")


def test_a_wrong_encoder_is_refused_before_data_are_read(evenhand: Any, tmp_path: Path) -> None:
    command = ["features", tmp_path / "none.toml", "--out", tmp_path / "f.safetensors", "--encoder"]
    assert_refused(evenhand(*command, "mpl"), "unknown encoder 'mpl'")
    assert_refused(evenhand(*command, "mlp", "--weights", "none.pth"), "there is no file none.pth")


def test_help_shows_an_example(evenhand: Any) -> None:
    assert "\n    evenhand features waterbirds" in evenhand("features", "--help").out
