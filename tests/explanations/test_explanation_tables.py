"""How examples are written in tables."""

from __future__ import annotations

from evenhand.explanations.tables import examples


def test_names_of_columns_keep_their_hyphens() -> None:
    record = {
        "run": "erm-seed0", "against": None, "split": "val", "target": "label",
        "examples": [{"group": "a", "reason": "worst", "row": 7, "label": "x", "prediction": "y"}],
        "columns": {"erm-seed0": {"names": ["capital-gain", "age"], "rows": [7], "scores": [[-0.5, 0.25]]}},
    }  # fmt: skip
    assert examples(record).rows == (("a", "worst", "7", "x", "y", "capital-gain −0.50, age +0.25"),)
