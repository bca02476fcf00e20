"""Runs of predictors that need no training are runs like all others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars
import pytest
import torch

from evenhand import study, zeroshot
from evenhand.errors import BadInput
from evenhand.execute import execute
from evenhand.plan import Plan
from evenhand.runs import Run
from evenhand.study.classes import class_accuracy, with_classes
from evenhand.zeroshot._base import library, logits_of
from small_models import BIRDS, clip_folder, data, pipeline

pytest.importorskip("open_clip")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_folder(tmp_path_factory.mktemp("clip") / "model")


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return zeroshot.run(data(), zeroshot.make("clip", model=str(model)), tmp_path_factory.mktemp("runs"), {"seed": 0})


def test_a_run_holds_its_configuration_predictions_and_figures(made: Run, model: Path) -> None:
    assert {path.name for path in made.folder.iterdir()} == {
        "config.json", "history.jsonl", "predictions.parquet", "metrics.json"
    }  # fmt: skip
    assert made.folder.name.startswith("clip-seed0-")
    method = made.config["method"]
    assert method["name"] == "clip"
    assert method["options"] == {
        "model": str(model), "templates": ["a photo of a {}."], "weights": "", "published_as": "",
        "class_names": ["landbird", "water bird", "Käfer & co. {1}"],
    }  # fmt: skip
    assert made.config["settings"] == {"batch_size": 64, "device": "auto", "threads": 1, "seed": 0}
    assert len(made.config["weights_sha256"]) == 64
    assert made.history == []
    assert made.metrics["selection"] == {"rule": None, "epoch": None, "score": None}
    assert made.metrics["labels"]["classes"] == list(BIRDS)


def test_figures_are_those_of_the_predictions_on_validation_and_test(made: Run, model: Path) -> None:
    found, predictor = made.predictions(), zeroshot.make("clip", model=str(model))
    chosen = data()
    classifier = zeroshot.resolve(chosen, predictor)[0].classifier(CPU, 64, 0)
    for part, split in (("val", chosen.val), ("test", chosen.test.unseal())):
        rows = found.filter(polars.col("split") == part)
        logits = rows.select([f"logit_{c}" for c in range(3)]).to_numpy()
        np.testing.assert_allclose(logits, logits_of(classifier, split, 64, CPU).numpy(), atol=1e-5)
        right = logits.argmax(1) == rows["y"].to_numpy()
        assert made.metrics[part]["accuracy"] == pytest.approx(right.mean())
        by_group = [right[rows["group"].to_numpy() == g].mean() for g in sorted(set(rows["group"]))]
        assert made.metrics[part]["worst_group_accuracy"] == pytest.approx(min(by_group))


def test_a_finished_run_is_not_made_again_and_other_weights_are_another_run(
    made: Run, model: Path, tmp_path: Path
) -> None:
    out, before = made.folder.parent, (made.folder / "metrics.json").stat().st_mtime_ns
    done: list[int] = []
    again = zeroshot.run(data(), zeroshot.make("clip", model=str(model)), out, {"seed": 0}, on_rows=done.append)
    assert (again.folder, done) == (made.folder, [])
    assert (made.folder / "metrics.json").stat().st_mtime_ns == before
    place = clip_folder(tmp_path / "model", seed=1)
    first = zeroshot.run(data(), zeroshot.make("clip", model=str(place)), tmp_path / "runs", on_rows=done.append)
    clip_folder(place, seed=2)
    second = zeroshot.run(data(), zeroshot.make("clip", model=str(place)), tmp_path / "runs")
    assert done == [24, 24]
    assert first.folder != second.folder


def test_runs_are_compared_with_trained_ones(model: Path, tmp_path: Path) -> None:
    plain = {"epochs": 1, "encoder": "small_cnn", "select": "average"}
    execute(data(), Plan("erm", {}, plain), tmp_path)
    for template in ("a photo of a {}.", "{}"):
        zeroshot.run(data(), zeroshot.make("clip", model=str(model), templates=(template,)), tmp_path)
    found = study.load(tmp_path)
    assert [entry.method for entry in found.shown] == ["erm", "clip", "clip"]
    assert {entry.label for entry in found.shown} == {
        "erm",
        "clip (templates=['a photo of a {}.'])",
        "clip (templates=['{}'])",
    }
    written = study.save(found, tmp_path)
    assert "clip (templates" in written[1].read_text()
    rows = {row["label"]: row for row in found.as_dict()["rows"]}
    assert rows["clip (templates=['{}'])"]["selected_epochs"] == [None]
    assert 0 <= rows["clip (templates=['{}'])"]["metrics"]["worst_group_accuracy"]["mean"] <= 1


def test_a_run_of_the_diffusion_classifier_is_bitwise_the_same_for_a_seed(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    folder = pipeline(tmp_path / "pipeline", latent=False)
    letters = {"class_names": ("bird", "duck", "gull"), "trials": (2, 3), "keep": (2,)}
    predictor = zeroshot.make("diffusion", model=str(folder), **letters)
    runs = [
        zeroshot.run(data(4), predictor, tmp_path / name, {"seed": seed})
        for name, seed in zip("abc", (0, 0, 1), strict=True)
    ]
    first, same, other = (run.predictions() for run in runs)
    assert first.equals(same)
    assert not first.equals(other)
    assert runs[0].config["settings"]["batch_size"] == 16


@pytest.mark.parametrize("rows_before", [8, 24, 40])
def test_a_killed_run_continues_and_gives_the_same(model: Path, tmp_path: Path, rows_before: int) -> None:
    predictor, settings, done = zeroshot.make("clip", model=str(model)), {"batch_size": 8}, []

    def killing(n_rows: int) -> None:
        done.append(n_rows)
        if sum(done) == rows_before:
            raise KeyboardInterrupt

    whole = zeroshot.run(data(), predictor, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        zeroshot.run(data(), predictor, tmp_path / "killed", settings, on_rows=killing)
    (partial,) = (tmp_path / "killed").glob(".*.partial")
    with (partial / "test.logits").open("ab") as file:
        file.write(b"half a row")
    done.clear()
    continued = zeroshot.run(data(), predictor, tmp_path / "killed", settings, on_rows=done.append)
    assert sum(done) == 48 - rows_before
    assert continued.predictions().equals(whole.predictions())
    assert {path.name for path in continued.folder.iterdir()} == {path.name for path in whole.folder.iterdir()}


def test_thirds_of_classes_are_sorted_by_a_run_without_training(made: Run, model: Path, tmp_path: Path) -> None:
    """As in the rows of CLIP of the paper's table: sorted by one of them, reported for all."""
    for template in ("a photo of a {}.", "{}"):
        zeroshot.run(data(), zeroshot.make("clip", model=str(model), templates=(template,)), tmp_path)
    found = study.load(tmp_path)
    found = with_classes(replace(found, reference_label="clip (templates=['{}'])"))
    sorted_by, other = (entry.values for entry in sorted(found.shown, key=lambda entry: entry.label, reverse=True))
    accuracy = class_accuracy(next(e for e in found.shown if e.label == found.reference).finished[0])
    assert sorted_by("hard_accuracy") == [accuracy.min()]
    assert sorted_by("easy_accuracy") == sorted_by("best_class_accuracy") == [accuracy.max()]
    rest = class_accuracy(made)
    assert other("easy_accuracy") == [rest[accuracy.argmax()]]


def test_data_that_are_no_images_are_refused(tmp_path: Path) -> None:
    import tiny

    rows = replace(tiny.split(), class_names=("a", "b"))
    predictor = zeroshot.make("clip", model="ViT-B-32", weights="openai")
    with pytest.raises(BadInput, match="clip takes images"):
        zeroshot.run(replace(data(), train=rows), predictor, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_where_the_model_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no file of weights"):
        zeroshot.run(data(), zeroshot.make("clip", model="ViT-B-32", weights="gone.pt"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["evenhand.json"]


@pytest.mark.parametrize(
    ("kind", "options", "settings", "message"),
    [
        ("clap", {"model": "m"}, {}, "unknown kind of zero-shot predictor 'clap'; did you mean 'clip'"),
        ("clip", {}, {}, "needs the option model"),
        ("clip", {"model": "m", "template": "x"}, {}, "did you mean 'templates'"),
        ("clip", {"model": "m"}, {"epochs": 3}, "unknown setting of zero-shot prediction 'epochs'"),
        ("clip", {"model": "m"}, {"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_options_and_settings_that_are_not_there(
    kind: str, options: dict[str, str], settings: dict[str, int], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        zeroshot.resolve(data(), zeroshot.make(kind, **options), settings)


def test_a_library_that_is_not_installed_is_said_in_one_sentence() -> None:
    with pytest.raises(BadInput, match=r"needs the library open_klip, .* install the extra evenhand\[zeroshot\]$"):
        library("open_klip", "clip")
