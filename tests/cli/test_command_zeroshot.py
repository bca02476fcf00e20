"""`evenhand zeroshot`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from refusal import assert_refused

from small_models import clip_folder

pytest.importorskip("open_clip")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_folder(tmp_path_factory.mktemp("clip") / "model")


def test_a_run_is_made_shown_audited_and_reused(evenhand: Any, model: Path, tmp_path: Path) -> None:
    out, result = tmp_path / "runs", tmp_path / "result.json"
    templates = ["--template", "the number {}", "--template", "{}."]
    command = ["zeroshot", "digits", "--model", model, "--out", out, "--set", "data.copies=1", *templates]
    done = evenhand(*command, "--json", result)
    assert (done.code, done.err) == (0, "")
    found = json.loads(result.read_text())
    run = Path(found["run"])
    assert done.out.startswith(
        f"{run}\nNothing was trained; classes are told apart by 2 prompts: the number {{}}; {{}}.\n"
    )
    assert "which accounts for choosing the minimum." in done.out
    assert "Accuracy of each group on test, %" in done.out
    assert all(group["group"] in done.out for group in found["groups"])
    assert found["config"]["data"]["options"] == {"copies": 1}
    again = evenhand(*command)
    assert "(found there, nothing was predicted)" in again.out
    audited = evenhand("audit", run, "--json", tmp_path / "audit.json")
    assert audited.code == 0
    overall = json.loads((tmp_path / "audit.json").read_text())["overall"]
    assert overall["accuracy"]["value"] == pytest.approx(found["test"]["accuracy"])


def test_classes_are_called_as_a_file_says(evenhand: Any, model: Path, tmp_path: Path) -> None:
    names = [f"digit {k} {{}}, 'odd'" for k in range(2)]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n\n")
    command = ["zeroshot", "digits", "--model", model, "--out", tmp_path / "o", "--set", "data.copies=1"]
    done = evenhand(*command, "--class-names", tmp_path / "names.txt", "--json", "-")
    assert done.code == 0
    assert json.loads(done.out)["config"]["method"]["options"]["class_names"] == names
    (tmp_path / "few.txt").write_text("one\ntwo\nthree\n")
    assert_refused(evenhand(*command, "--class-names", tmp_path / "few.txt"), "each of the 2 classes, got 3 names")
    assert_refused(evenhand(*command, "--class-names", tmp_path / "none.txt"), "cannot read")


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--kind", "clop"], ["unknown kind of zero-shot predictor 'clop'; did you mean 'clip'"]),
        (["--template", "a bird"], ["a template says by {} where the class is named, got 'a bird'"]),
        (["--set", "weights=x"], ["weights is not a --set key: use --weights"]),
        (["--set", "class_names=a,b"], ["use --class-names FILE"]),
        (["--set", "seed=1"], ["use --seed"]),
        (["--set", "lr=1"], ["unknown option of zero-shot prediction by clip 'lr'"]),
        (["--weights", "openai"], ["comes with its own weights"]),
        (["--kind", "diffusion", "--weights", "x"], ["unknown option of zero-shot prediction by diffusion 'weights'"]),
    ],
)
def test_bad_input(evenhand: Any, model: Path, tmp_path: Path, arguments: list[str], messages: list[str]) -> None:
    command = ["zeroshot", "digits", "--model", model, "--out", tmp_path, "--set", "data.copies=1"]
    assert_refused(evenhand(*command, *arguments), *messages)
    assert not list(tmp_path.glob("*/config.json"))


def test_tables_are_refused(evenhand: Any, people: Path, model: Path, tmp_path: Path) -> None:
    assert_refused(evenhand("zeroshot", people, "--model", model, "--out", tmp_path), "clip takes images")


def test_help_shows_an_example(evenhand: Any) -> None:
    assert "\n    evenhand zeroshot waterbirds --model ViT-B-32" in evenhand("zeroshot", "--help").out
