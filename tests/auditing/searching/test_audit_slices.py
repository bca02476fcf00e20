"""`--search`: the columns that nobody named are looked through."""

import json

import numpy as np
import polars as pl
import pytest

from evenhand.auditing import audit
from evenhand.cli import main
from evenhand.errors import BadInput

ROWS = 6000


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    sex, age, y = rng.choice(["F", "M"], ROWS), rng.integers(18, 90, ROWS), rng.integers(0, 2, ROWS)
    right = rng.random(ROWS) < np.where((sex == "F") & (age > 70), 0.5, 0.9)
    return pl.DataFrame({
        "y": y, "p": np.where(right, y, 1 - y), "s": rng.random(ROWS), "sex": sex, "age": age,
        "city": rng.choice(list("ABC"), ROWS), "uid": [f"u{row}" for row in range(ROWS)], "same": "x",
        "list": [[1]] * ROWS,
    })  # fmt: skip


def test_a_slice_that_nobody_named_is_found(frame):
    found = audit(frame, label="y", prediction="p", group="city", search=True).record["slices"]
    assert found["searched"] == ["s", "sex", "age", "city"]
    assert found["skipped"] == ["uid", "same", "list"]
    assert found["found"][0]["conditions"]["sex"] == "F"
    assert "age" in found["found"][0]["conditions"]
    assert found["found"][0]["value"] > 0.4
    assert found["found"][0]["rest"] < 0.15


def test_texts_of_a_file_are_searched_as_what_they_mean(frame, tmp_path, capsys):
    frame.drop("list").with_columns(pl.when(pl.col("city") == "C").then(pl.col("city"))).write_csv(tmp_path / "t.csv")
    options = ["--label", "y", "--prediction", "p", "--group", "sex", "--search"]
    assert main(["audit", str(tmp_path / "t.csv"), *options]) == 0
    out = capsys.readouterr().out
    assert "sex=F, age=≥" in out
    assert "not searched: city, uid, same" in out


def test_scores_and_dropped_rows_are_no_obstacle(frame):
    holes = frame.with_columns(y=pl.when(pl.int_range(ROWS) > 9).then("y"), s=0.2 + 0.6 * pl.col("p"))
    found = audit(holes, label="y", score="s", group="city", missing="drop", search=True, replicates=2)
    assert found.record["rows"] == ROWS - 10
    assert found.record["slices"]["found"][0]["conditions"]["sex"] == "F"


def test_without_such_a_slice_nothing_is_claimed():
    rng = np.random.default_rng(1)
    table = {"y": np.arange(2000) % 2, "p": rng.integers(0, 2, 2000), "a": rng.integers(0, 3, 2000)}
    found = audit(table, label="y", prediction="p", group="a", search=True)
    assert found.record["slices"]["found"] == []
    assert "no slice is served worse" in str(found)


def test_columns_can_be_kept_out_of_the_search(frame, tmp_path, capsys):
    frame.drop("list").write_parquet(tmp_path / "t.parquet")
    options = ["--label", "y", "--prediction", "p", "--group", "city", "--search"]
    without = ["--search-without", "sex", "--search-without", "uid"]
    assert main(["audit", str(tmp_path / "t.parquet"), *options, *without, "--json", str(tmp_path / "a.json")]) == 0
    found = json.loads((tmp_path / "a.json").read_text())["slices"]
    assert (found["searched"], found["skipped"]) == (["s", "age", "city"], ["same"])
    with pytest.raises(BadInput, match="did you mean 'city'"):
        audit(frame, label="y", prediction="p", group="sex", search=True, search_without="citty")
