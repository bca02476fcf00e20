"""Studies: what is trained, what is not, what survives, and what the figures are."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import roc_auc_score

from evenhand import metrics, study
from evenhand.errors import BadInput, RunFailed
from evenhand.study import Contender, Progress
from evenhand.study.comparison import Comparison, Entry, Failure, worst_group
from evenhand.study.tables import figures, markdown, tables
from table import write_table

LONG = {"epochs": 150, "batch_size": 8}  # long enough to be hit while at work
BROKEN = Contender("ncdebias", {"align_weight": 1e300}, "broken")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def compared(people: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path]:
    """Three methods over three seeds, for all tests that only look."""
    out = tmp_path_factory.mktemp("runs")
    comparison = study.compare(str(people), ["erm", "rwg", "groupdro"], out=out, seeds=3)
    return comparison, out


def workers() -> list[Any]:
    return [child for child in multiprocessing.active_children() if child.name == "evenhand-worker"]


def kinds(notes: list[Progress]) -> list[str]:
    return [note.kind for note in notes]


def at_epoch(number: int, act: Callable[[], None]) -> Callable[[Progress], None]:
    """Acts the first time that a run has done so many epochs."""
    done: list[bool] = []

    def note(progress: Progress) -> None:
        if progress.kind == "epoch" and progress.epoch == number and not done:
            done.append(True)
            act()

    return note


def kill_all_at_work() -> None:
    for worker in workers():
        os.kill(worker.pid, signal.SIGKILL)


def figures_of(run_folder: Path) -> Any:
    found = json.loads((run_folder / "metrics.json").read_text())
    return {key: found[key] for key in ("selection", "val", "test", "groups")}


# --- figures ---


def test_figures_are_those_of_the_run_folders(compared: tuple[Comparison, Path]) -> None:
    comparison, out = compared
    assert comparison.data == "people"
    assert [entry.label for entry in comparison.entries] == ["erm", "rwg", "groupdro"]
    for row in comparison.as_dict()["rows"]:
        folders = sorted(out.glob(f"{row['method']}-seed*"))
        assert [folder.name for folder in folders] == row["runs"]
        for name, found in row["metrics"].items():
            values = [json.loads((folder / "metrics.json").read_text())["test"][name] for folder in folders]
            assert found["values"] == values
            assert (found["mean"], found["sd"]) == metrics.mean_sd(values)


def test_figures_agree_with_the_predictions(compared: tuple[Comparison, Path]) -> None:
    """Predictions are the primary data: counting them gives the same worst group."""
    for entry in compared[0].entries:
        for run, value in zip(entry.finished, entry.values("worst_group_accuracy"), strict=True):
            test = run.predictions().filter(split="test")
            right = (test["logit_1"] > test["logit_0"]).cast(int) == test["y"]
            by_group = test.select("group").with_columns(right=right).group_by("group").mean()["right"]
            assert value == pytest.approx(by_group.min())
            area = roc_auc_score(test["y"], test["logit_1"] - test["logit_0"])
            assert run.metrics["test"]["roc_auc"] == pytest.approx(area)


def test_json_has_the_agreed_shape(compared: tuple[Comparison, Path]) -> None:
    comparison, out = compared
    study.save(comparison, out)
    found = json.loads((out / "comparison.json").read_text())
    assert found["data"] == "people"
    names = {
        "worst_group_accuracy", "best_group_accuracy", "accuracy_gap", "accuracy", "group_mean_accuracy",
        "demographic_parity_difference", "equal_opportunity_difference", "equalized_odds_difference",
        "average_odds_difference",
    }  # fmt: skip
    for row in found["rows"]:
        assert names <= set(row["metrics"])
        for figure in row["metrics"].values():
            assert set(figure) == {"mean", "sd", "values"}
            assert len(figure["values"]) == 3
            assert all(0 <= value <= 1 for value in figure["values"])
    assert [group["test"] for group in found["groups"]] == [
        group["test"] for group in comparison.entries[0].finished[0].metrics["groups"]
    ]
    assert {difference["method"] for difference in found["differences"]} == {"rwg", "groupdro"}
    assert found["reference"] == "erm"


def test_a_folder_can_be_compared_later(compared: tuple[Comparison, Path]) -> None:
    comparison, out = compared
    later = study.load(out)
    assert later.seeds == comparison.seeds
    assert later.entries[0].label == "erm"
    for entry in comparison.entries:
        assert next(e for e in later.entries if e.label == entry.label).values("accuracy") == entry.values("accuracy")


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no finished run"):
        study.load(tmp_path)


def test_variants_of_a_method_are_told_apart(people: Path, tmp_path: Path) -> None:
    contenders = [Contender("ncdebias", {"align_weight": weight}, f"weight {weight}") for weight in (0.0, 1.0)]
    study.compare(str(people), contenders, out=tmp_path, seeds=1)
    labels = [entry.label for entry in study.load(tmp_path).entries]
    assert labels == ["ncdebias (align_weight=0.0)", "ncdebias (align_weight=1.0)"]


def test_one_seed_infers_nothing(people: Path, tmp_path: Path) -> None:
    comparison = study.compare(str(people), ["erm", "rwg"], out=tmp_path, seeds=1)
    assert not comparison.can_infer
    assert comparison.differences() == []
    assert comparison.best("accuracy") == set()
    text = markdown(tables(comparison))
    assert "One seed" in text
    assert "±" not in text.partition("One seed")[0]


def entry(label: str, accuracies: list[list[float]], counts: list[int], tmp_path: Path) -> Entry:
    """An entry whose runs have these group accuracies."""
    made = []
    for seed, by_group in enumerate(accuracies):
        folder = tmp_path / f"{label}-{seed}"
        folder.mkdir()
        groups = [
            {"group": f"g{g}", "train": 10, "val": 10, "test": n, "accuracy": a, "low": 0, "high": 1}
            for g, (n, a) in enumerate(zip(counts, by_group, strict=True))
        ]
        test = {"worst_group_accuracy": min(by_group), "accuracy_gap": max(by_group) - min(by_group)}
        found = {"groups": groups, "test": test, "selection": {"epoch": 0}, "seconds": 1.0}
        (folder / "metrics.json").write_text(json.dumps(found))
        made.append(study.Run(folder))
    return Entry(label, label, {}, tuple(made))


def test_the_worst_group_is_that_of_the_mean_with_its_size(tmp_path: Path) -> None:
    worst = worst_group(entry("erm", [[0.9, 0.5], [0.9, 0.7]], [100, 50], tmp_path))
    assert (worst.group, worst.count) == ("g1", 50)
    assert worst.accuracy == pytest.approx(0.6)
    expected = metrics.worst_group([90, 30], [100, 50])
    assert (worst.low, worst.high) == (expected.low, expected.high)


def test_a_winner_is_marked_only_beyond_the_noise(tmp_path: Path) -> None:
    clear = entry("clear", [[0.9, 0.90], [0.9, 0.901], [0.9, 0.902]], [100, 50], tmp_path)
    worse = entry("worse", [[0.9, 0.50], [0.9, 0.502], [0.9, 0.501]], [100, 50], tmp_path)
    noisy = entry("noisy", [[0.9, 0.89], [0.9, 0.50], [0.9, 0.95]], [100, 50], tmp_path)
    won = figures(Comparison("d", (0, 1, 2), (clear, worse)), ["worst_group_accuracy"], "")
    assert [row[1][-1] for row in won.rows] == ["*", " "]
    tied = figures(Comparison("d", (0, 1, 2), (clear, worse, noisy)), ["worst_group_accuracy"], "")
    assert [row[1][-1] for row in tied.rows] == ["≈", " ", "≈"]
    nobody = figures(Comparison("d", (0, 1, 2), (clear, noisy)), ["worst_group_accuracy"], "")
    assert [row[1][-1] for row in nobody.rows] == [" ", " "], "a mark on everyone says nothing"


def test_a_missing_run_leaves_its_place_empty(tmp_path: Path) -> None:
    whole = entry("erm", [[0.9, 0.5], [0.9, 0.6]], [100, 50], tmp_path)
    half = Entry("rwg", "rwg", {}, (None, whole.runs[1]))
    comparison = Comparison("d", (0, 1), (whole, half), (Failure("rwg", 0, "why"),))
    assert math.isnan(half.values("worst_group_accuracy")[0])
    assert comparison.as_dict()["rows"][1]["runs"] == [None, "erm-1"]
    assert math.isnan(comparison.differences()[0].p_value)
    assert "**" in markdown(tables(comparison))


# --- what is trained ---


def test_finished_runs_are_not_made_again(people: Path, compared: tuple[Comparison, Path]) -> None:
    comparison, out = compared
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*")}
    notes: list[Progress] = []
    again = study.compare(str(people), ["erm", "rwg", "groupdro"], out=out, seeds=3, on_progress=notes.append)
    assert kinds(notes) == ["found"]
    assert (notes[0].done, notes[0].total) == (9, 9)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*")} == before
    assert again.as_dict() == comparison.as_dict()


def test_only_what_is_missing_is_trained(people: Path, compared: tuple[Comparison, Path], tmp_path: Path) -> None:
    out = tmp_path / "runs"
    shutil.copytree(compared[1], out)
    removed = next(out.glob("rwg-seed1-*"))
    expected = figures_of(removed)
    shutil.rmtree(removed)
    notes: list[Progress] = []
    study.compare(str(people), ["erm", "rwg", "groupdro"], out=out, seeds=3, on_progress=notes.append)
    assert {(note.label, note.seed) for note in notes if note.kind == "done"} == {("rwg", 1)}
    assert figures_of(removed) == expected


def test_a_run_that_fails_does_not_stop_the_others(people: Path, tmp_path: Path) -> None:
    comparison = study.compare(str(people), ["erm", BROKEN, "rwg"], out=tmp_path, seeds=2)
    assert {(failure.label, failure.seed) for failure in comparison.failures} == {("broken", 0), ("broken", 1)}
    assert "the loss became" in comparison.failures[0].reason
    assert [entry.label for entry in comparison.shown] == ["erm", "rwg"]


def test_no_run_at_all_is_an_error_that_says_why(people: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"all 1 runs failed; the first, broken with seed 0: the loss became"):
        study.compare(str(people), [BROKEN], out=tmp_path, seeds=1)


# --- killed and interrupted ---


@pytest.fixture(scope="module")
def undisturbed(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("undisturbed")
    study.compare(str(people), ["erm"], out=out, seeds=1, settings=LONG)
    return figures_of(next(out.glob("erm-*")))


def test_a_killed_worker_is_replaced_and_its_run_made(people: Path, undisturbed: Any, tmp_path: Path) -> None:
    notes: list[Progress] = []
    kill = at_epoch(20, kill_all_at_work)

    def note(progress: Progress) -> None:
        notes.append(progress)
        kill(progress)

    comparison = study.compare(str(people), ["erm"], out=tmp_path, seeds=1, settings=LONG, on_progress=note)
    assert comparison.failures == ()
    again = [note for note in notes if note.kind == "again"]
    assert [note.label for note in again] == ["erm"]
    assert "SIGKILL" in again[0].reason
    assert figures_of(next(tmp_path.glob("erm-*"))) == undisturbed


def test_a_run_whose_worker_dies_twice_has_failed_and_the_others_have_not(people: Path, tmp_path: Path) -> None:
    def note(progress: Progress) -> None:
        if progress.kind == "epoch" and progress.label == "rwg" and progress.epoch == 1:
            kill_all_at_work()

    comparison = study.compare(
        str(people), ["erm", "rwg"], out=tmp_path, seeds=1, settings=LONG, n_workers=1, on_progress=note
    )
    assert [failure.label for failure in comparison.failures] == ["rwg"]
    assert "SIGKILL" in comparison.failures[0].reason
    assert [entry.label for entry in comparison.shown] == ["erm"]


def test_an_interrupt_stops_the_workers_and_the_next_call_continues(
    people: Path, undisturbed: Any, tmp_path: Path
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    def run(on_progress: Callable[[Progress], None]) -> Comparison:
        return study.compare(str(people), ["erm"], out=tmp_path, seeds=1, settings=LONG, on_progress=on_progress)

    with pytest.raises(KeyboardInterrupt):
        run(at_epoch(20, interrupt))
    assert workers() == []
    assert list(tmp_path.glob(".erm-*.partial/checkpoint.pt")), "how far the run was is kept"
    assert not list(tmp_path.glob("erm-*"))
    notes: list[Progress] = []
    run(notes.append)
    assert 0 < kinds(notes).count("epoch") < LONG["epochs"], "not from its beginning"
    assert figures_of(next(tmp_path.glob("erm-*"))) == undisturbed


# --- bad input: found before anything starts ---


@pytest.mark.parametrize(
    ("contenders", "options", "message"),
    [
        (["erm", "gruopdro"], {}, "unknown method 'gruopdro'; did you mean 'groupdro'"),
        (["erm", "erm"], {}, "'erm' is named twice"),
        ([], {}, "no method is given"),
        (["erm"], {"seeds": 0}, "seeds must be at least 1, got 0"),
        (["erm"], {"n_workers": 0}, "workers must be at least 1, got 0"),
        (["erm"], {"settings": {"learning_rate": 1}}, "unknown option of training 'learning_rate'"),
        (["erm"], {"settings": {"lr": "fast"}}, "lr of training takes a finite number, got 'fast'"),
        (["erm"], {"settings": {"encoder": "small_cnn"}}, "small_cnn takes images"),
        (["erm"], {"settings": {"encoder": "mpl"}}, "unknown encoder 'mpl'; did you mean 'mlp'"),
        ([Contender("groupdro", {"step": 1})], {}, "unknown option of method groupdro 'step'"),
        ([Contender("groupdro", {"step_size": "big"})], {}, "step_size of method groupdro takes"),
        ([Contender("groupdro", {"step_size": -1.0})], {}, "step_size of GroupDRO must be at least 0"),
        ([Contender("erm"), Contender("erm", label="twin")], {}, "'erm' and 'twin' are the same method"),
    ],
)
def test_bad_input_starts_nothing(
    people: Path, tmp_path: Path, contenders: list[Any], options: dict[str, Any], message: str
) -> None:
    notes: list[Progress] = []
    out = tmp_path / "runs"
    with pytest.raises(BadInput) as caught:
        study.compare(str(people), contenders, out=out, on_progress=notes.append, **options)
    assert message in str(caught.value)
    assert notes == []
    assert not out.exists()


def test_a_method_that_needs_groups_is_refused_without_attributes(tmp_path: Path) -> None:
    path = write_table(tmp_path)
    path.write_text(path.read_text().replace('attributes = ["sex"]\n', 'exclude = ["sex"]\n'))
    with pytest.raises(BadInput, match="GroupDRO needs group labels in training"):
        study.compare(str(path), ["groupdro"], out=tmp_path / "runs", settings={"select": "average"})


def test_a_group_that_validation_lacks_is_found_before_training(tmp_path: Path) -> None:
    path = write_table(tmp_path)
    table = tmp_path / "people.csv"
    table.write_text(table.read_text().replace(",f,val,yes", ",f,train,yes"))
    with pytest.raises(BadInput, match="select=worst_group needs rows of every group in validation"):
        study.compare(str(path), ["erm"], out=tmp_path / "runs")


def test_a_folder_of_other_data_is_refused(people: Path, compared: tuple[Comparison, Path], tmp_path: Path) -> None:
    other = write_table(tmp_path, rows=400)
    with pytest.raises(BadInput, match="holds runs on other data"):
        study.compare(str(other), ["erm"], out=compared[1])


def test_an_output_below_a_file_is_refused(people: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write to the output folder"):
        study.compare(str(people), ["erm"], out=tmp_path / "file" / "runs")
