"""Easy, medium and hard classes of a comparison, recomputed from the predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from evenhand.errors import BadInput
from evenhand.runs import Run
from evenhand.study import classes
from evenhand.study.comparison import Comparison, Entry

CLASSES = 7


def made(folder: Path, seed: int, accuracy_C: list[float]) -> Run:
    """A run whose predictions have this accuracy by class on 20 test rows each, and the reverse of it on val."""
    folder.mkdir()
    y, predicted, split = [], [], []
    for part, wanted in (("test", accuracy_C), ("val", accuracy_C[::-1])):
        for c, share in enumerate(wanted):
            right = round(20 * share)
            y += [c] * 20
            predicted += [c] * right + [(c + 1) % CLASSES] * (20 - right)
            split += [part] * 20
    logits = np.eye(CLASSES)[predicted] + 0.1 * np.random.default_rng(seed).random((len(y), CLASSES))
    columns = {f"logit_{c}": logits[:, c] for c in range(CLASSES)}
    pl.DataFrame({"split": split, "y": y, **columns}).write_parquet(folder / "predictions.parquet")
    (folder / "metrics.json").write_text('{"test": {}}')
    return Run(folder)


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    reference = [0.9, 0.1, 0.5, 0.8, 0.3, 0.6, 0.7]
    better = [0.9, 0.4, 0.5, 0.7, 0.5, 0.6, 0.7]
    entries = (
        Entry("ERM", "erm", {}, (made(tmp_path / "a", 0, reference), made(tmp_path / "b", 1, reference))),
        Entry("New", "rwy", {}, (made(tmp_path / "c", 2, better), None)),
    )
    return Comparison("d", (0, 1), entries)


def test_thirds_are_those_of_the_reference_for_all_methods(comparison: Comparison) -> None:
    erm, new = classes.with_classes(comparison).entries
    # Sorted by the reference: classes 1, 4 | 2, 5, 6 | 3, 0.
    assert erm.values("hard_accuracy") == pytest.approx([0.2, 0.2])
    assert erm.values("medium_accuracy") == pytest.approx([0.6, 0.6])
    assert erm.values("easy_accuracy") == pytest.approx([0.85, 0.85])
    assert erm.values("best_class_accuracy") == pytest.approx([0.9, 0.9])
    assert new.values("hard_accuracy")[0] == pytest.approx(0.45)
    assert new.values("easy_accuracy")[0] == pytest.approx(0.8)
    assert np.isnan(new.values("hard_accuracy")[1])


def test_thirds_sorted_on_other_rows_are_other_thirds(comparison: Comparison) -> None:
    _, new = classes.with_classes(comparison, "val").entries
    # On val the reference has the reverse accuracies: hard are 5 and 2, easy 3 and 6.
    assert new.values("hard_accuracy")[0] == pytest.approx((0.6 + 0.5) / 2)


def test_what_is_said_of_gains(comparison: Comparison) -> None:
    (line,) = classes.findings(classes.with_classes(comparison))
    assert line.startswith("New: +25.00 points on hard classes, -5.00 on easy ones; with thirds sorted on validation")


def test_two_classes_have_no_thirds(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    frame = pl.DataFrame({"split": ["test"] * 2, "y": [0, 1], "logit_0": [1.0, 0.0], "logit_1": [0.0, 1.0]})
    frame.write_parquet(folder / "predictions.parquet")
    with pytest.raises(BadInput, match="easy, medium and hard classes of d: thirds need at least 3 classes"):
        classes.with_classes(Comparison("d", (0,), (Entry("ERM", "erm", {}, (Run(folder),)),)))
