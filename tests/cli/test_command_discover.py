"""`evenhand discover`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from refusal import assert_refused

from evenhand.discovery import sheet
from table import write_table


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run's folder, and the TOML file of its data."""
    from stored import trained

    run, _, path = trained(tmp_path_factory.mktemp("run"))
    return run.folder, path


def test_groups_of_a_run_are_found_shown_and_written(evenhand: Any, trained: Any, tmp_path: Path) -> None:
    run, path = trained
    out = tmp_path / "found"
    done = evenhand("discover", run, "--data", path, "--clusters", 2, "--out", out, "--json", tmp_path / "d.json")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(
        "4 groups found in train (clusters, on features of the run); by accuracy on val, %, worst first\n"
    )
    for part in (
        "Rows of train: the most typical, and the most critical by loss",
        "What sets the groups apart from the rest of their class, in standard deviations",
        "Agreement with the known attributes; worst group: hired=",
        "The known attributes were used to score what was found, and for nothing else.",
        f"Written to {out}: groups.parquet, discovery.json.",
        f"evenhand audit {out / 'groups.parquet'} --label y --prediction prediction --group group --group split",
    ):
        assert part in done.out
    assert sorted(each.name for each in out.iterdir()) == ["discovery.json", "groups.parquet"]
    record = json.loads((out / "discovery.json").read_text())
    assert record == json.loads((tmp_path / "d.json").read_text())
    assert (record["kind"], record["looked_at"], record["ranked_by"], record["score"]) == (
        "clusters", "train", "val", "loss",
    )  # fmt: skip
    assert len(record["groups"]) == 4
    assert {each["feature"] for group in record["groups"] for each in group["apart"]} <= {"skill", "luck"}


def test_what_was_found_is_trained_on_and_audited(evenhand: Any, trained: Any, tmp_path: Path) -> None:
    run, path = trained
    out = tmp_path / "found"
    assert evenhand("discover", run, "--data", path, "--clusters", 2, "--out", out).code == 0
    table = out / "groups.parquet"
    training = ["--method", "groupdro", "--groups-from", table, "--out", tmp_path / "runs", "--epochs", 1]
    assert evenhand("train", path, *training).code == 0
    done = evenhand(
        "audit", table, "--label", "y", "--prediction", "prediction", "--group", "group", "--json", tmp_path / "a.json"
    )
    assert done.code == 0
    groups = {each["group"]["group"] for each in json.loads((tmp_path / "a.json").read_text())["groups"]}
    assert groups == set(pl.read_parquet(table)["group"].unique()) == {"no/1", "no/2", "yes/1", "yes/2"}


def test_the_same_command_writes_the_same(evenhand: Any, trained: Any, tmp_path: Path) -> None:
    run, path = trained
    for name in "ab":
        assert evenhand("discover", run, "--data", path, "--kind", "domino", "--out", tmp_path / name).code == 0
    for file in ("groups.parquet", "discovery.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_stored_predictions_need_no_data(evenhand: Any, trained: Any, tmp_path: Path) -> None:
    done = evenhand("discover", trained[0], "--split", "test", "--kind", "clusters", "--json", "-")
    assert done.code == 0
    found = json.loads(done.out)
    assert (found["looked_at"], found["ranked_by"]) == ("test", "test")
    assert sum(group["figures"]["test"]["count"] for group in found["groups"]) == 90
    refused = evenhand("discover", trained[0], "--split", "test", "--fit", "val")
    assert_refused(refused, "--split looks at stored predictions alone")


def test_data_without_a_model(evenhand: Any, people: Path) -> None:
    done = evenhand("discover", people, "--clusters", "auto")
    assert done.code == 0
    assert "found in train (clusters, on inputs as they are); smallest first" in done.out
    assert "accuracy" not in done.out.replace("known attributes", "")
    by_encoder = evenhand("discover", people, "--encoder", "mlp", "--weights", "none")
    assert "(clusters, on mlp with weights none)" in by_encoder.out


def test_images_get_a_contact_sheet(evenhand: Any, tmp_path: Path) -> None:
    done = evenhand(
        "discover", "digits", "--set", "data.copies=1", "--clusters", 3, "--out", tmp_path / "d", "--examples", 4
    )
    assert done.code == 0
    image = Image.open(tmp_path / "d" / "examples.png")
    assert image.size == sheet.size(6, 4)
    assert np.asarray(image).std() > 10


def test_texts_are_quoted(evenhand: Any, tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    lines = ["text,part,label"]
    lines += [
        f"number {k} {'good' if k % 2 else 'bad'},{('train', 'val', 'test')[k % 3]},{k // 3 % 2}" for k in range(60)
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "t.toml").write_text('path = "t.csv"\ntext = "text"\nlabel = "label"\nsplit = "part"\n')
    command = ["discover", tmp_path / "t.toml", "--encoder", "text_mean", "--weights", "none", "--clusters", 2]
    done = evenhand(*command, "--examples", 2, "--json", tmp_path / "t.json")
    assert done.code == 0
    assert "known attributes" not in done.out
    record = json.loads((tmp_path / "t.json").read_text())
    for group in record["groups"]:
        for sort in ("typical", "critical"):
            rows = [each["row"] for each in group["examples"][sort]]
            assert [text.split()[1] for text in group["excerpts"][sort]] == [str(3 * row) for row in rows]
            assert all(text in done.out for text in group["excerpts"][sort])
    assert_refused(evenhand("discover", tmp_path / "t.toml"), "are texts, which are no features")


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--kind", "cluster"], ["unknown kind of discovery 'cluster'; did you mean 'clusters'?"]),
        (["--kind", "errors"], ["needs predictions: name a finished run"]),
        (["--clusters", "many"], ["option clusters of discovery by clusters takes", "got 'many'"]),
        (["--clusters", "0"], ["clusters of a class must be at least 1, got 0"]),
        (["--kind", "domino", "--clusters", "3"], ["unknown option of discovery by domino 'clusters'"]),
        (["--clusters", "3", "--set", "clusters=4"], ["clusters has a flag of its own: use --clusters"]),
        (["--set", "gama=1", "--kind", "critical"], ["did you mean 'gamma'?"]),
        (["--score", "loss"], ["unknown score 'loss'"]),
        (["--split", "test"], ["--split is about a run;"]),
        (["--data", "x.toml"], ["--data is about a run;"]),
        (["--weights", "none"], ["--weights are those of an encoder"]),
        (["--examples", "0"], ["examples must be at least 1"]),
    ],
)
def test_bad_input(evenhand: Any, people: Path, tmp_path: Path, arguments: list[str], messages: list[str]) -> None:
    assert_refused(evenhand("discover", people, "--out", tmp_path / "f", *arguments), *messages)
    assert not list(tmp_path.iterdir())


def test_runs_that_cannot_be_used(evenhand: Any, tmp_path: Path) -> None:
    from stored import trained

    run, _, path = trained(tmp_path)
    assert_refused(evenhand("discover", run.folder), "a file of one's own, people; name that file with --data")
    assert_refused(evenhand("discover", run.folder, "--encoder", "mlp"), "is a run", "no option can change them")
    assert_refused(evenhand("discover", run.folder.parent), "is not a finished run: it has no config.json")
    (tmp_path / "other").mkdir()
    other = write_table(tmp_path / "other", rows=200)
    assert_refused(evenhand("discover", run.folder, "--data", other), "was trained on other data")
    (run.folder / "model.safetensors").unlink()
    assert_refused(evenhand("discover", run.folder, "--data", path), "it has no model.safetensors")


def test_outputs_that_cannot_be_written(evenhand: Any, people: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert_refused(evenhand("discover", people, "--out", tmp_path / "file"), "--out must be a folder")
    assert_refused(evenhand("discover", people, "--out", tmp_path / "no" / "such"), "there is no folder")
    assert (tmp_path / "file").read_text() == "mine"
