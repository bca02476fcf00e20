"""What cannot be audited is refused with what was wanted, what was got and where; nothing is guessed silently."""

import gzip

import numpy as np
import polars as pl
import pytest

from evenhand.auditing import audit
from evenhand.auditing.counting import cells
from evenhand.errors import BadInput

GOOD = "y,p,g\n1,1,a\n0,1,b\n1,0,a\n0,0,b\n"


@pytest.fixture
def write(tmp_path):
    def written(text, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return written


def audited(path, **options):
    return audit(path, **({"label": "y", "prediction": "p", "group": "g"} | options))


def refuses(path, *parts, **options):
    with pytest.raises(BadInput) as caught:
        audited(path, **options)
    for part in parts:
        assert part in str(caught.value)


def test_a_column_that_is_not_there_suggests_the_nearest(write):
    path = write(GOOD.replace("y,p,g", "label,pred,gender"))
    refuses(path, "unknown column", "'labl'", "did you mean 'label'?", "pred", label="labl")
    named = {"label": "label", "prediction": "pred"}
    refuses(path, "did you mean 'gender'?", group="gendr", **named)
    refuses(path, "unknown column", "'gnder'", group="gnder:0,1", **named)
    for part in ("score", "weight", "id"):
        refuses(path, "unknown column", group="gender", **named, **{part: "nothing"})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["is empty"]),
        ("y,p,g\n", ["has no rows of data"]),
        ("y,p,g\n\n\n", ["has no rows of data"]),
        (GOOD + "1,1\n", ["line 6: 2 fields, but the header has 3"]),
        (GOOD + "1,1,a,extra\n" + GOOD[6:], ["line 6: 4 fields, but the header has 3"]),
        (GOOD.encode() + b"1,\xff,a\n", ["line 6: not UTF-8 text"]),
        (GOOD + '1,"1,a\n', ["line 6"]),
        ("y,p,g,y\n1,1,a,1\n", ["the header has 'y' twice"]),
    ],
)
def test_a_broken_table_names_file_and_line(write, text, parts):
    path = write(text)
    refuses(path, str(path), *parts)


def test_a_broken_row_far_down_is_found(write):
    lines = ["1,1,a"] * 50_000
    lines[43_210] = "1,1,a,b"
    refuses(write("y,p,g\n" + "\n".join(lines)), "line 43212: 4 fields")
    refuses(write(gzip.compress(("y,p,g\n" + "\n".join(lines)).encode()), "t.csv.gz"), "line 43212: 4 fields")


def test_a_broken_line_of_json_is_named(write):
    good = '{"y": 1, "p": 1, "g": "a"}\n{"y": 0, "p": 1, "g": "a"}\n'
    refuses(write(good + '{"y": 1, "p":\n', "t.jsonl"), "line 3: not JSON")
    refuses(write(good + "[1, 2]\n", "t.jsonl"), "line 3: wanted a JSON object")


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.csv.gz", "t.csv.zst", "t.jsonl.gz"])
def test_a_file_that_is_not_what_its_name_says(write, name):
    refuses(write("hello, world\n", name), "t.")


@pytest.mark.parametrize("name", ["t.xlsx", "t", "t.gz", "t.parquet.gz"])
def test_an_unknown_kind_of_file(write, name):
    refuses(write(GOOD, name), name)


def test_a_file_that_is_not_there(tmp_path):
    refuses(tmp_path / "no.csv", "there is no file or folder")
    refuses(tmp_path, "has no files to audit")


def test_mixed_shards(write, tmp_path):
    write(GOOD, "a.csv")
    pl.DataFrame({"y": [1], "p": [1], "g": ["a"]}).write_parquet(tmp_path / "b.parquet")
    refuses(tmp_path, "must be of one kind, got 1 csv, 1 parquet")
    (tmp_path / "b.parquet").unlink()
    write(GOOD.replace("g", "h"), "b.csv")
    refuses(tmp_path, "must have the same columns", "differ in g, h")
    (tmp_path / "a.csv").unlink()
    (tmp_path / "b.csv").unlink()
    for name, kind in (("a", int), ("b", str)):
        pl.DataFrame({"y": [kind(1)], "p": [kind(1)], "g": ["a"]}).write_parquet(tmp_path / f"{name}.parquet")
    refuses(tmp_path, "must have the same types", "'y' is Int64", "String")
    write("", "c.parquet")
    refuses(tmp_path, "c.parquet is empty")


def test_labels_and_predictions_of_different_types():
    table = {"y": [1, 0, 1], "p": ["1", "0", "1"], "g": [0, 0, 1]}
    refuses(table, "the labels are whole numbers (0, 1)", "the predictions text ('0', '1')")
    refuses(table | {"p": [0.9, 0.1, 0.3]}, "predictions must be classes", "0.1, 0.3, 0.9", "--score")
    refuses(table | {"y": [0.5, 1.5, 2.0], "p": [1, 2, 3]}, "labels must be classes")
    refuses(table | {"y": ["a", "b", "a"], "p": [1, 0, 1]}, "the labels are text")


def test_json_tells_numbers_from_texts(write):
    path = write('{"y": 1, "p": "1", "g": "a"}\n{"y": 0, "p": "0", "g": "a"}\n', "t.jsonl")
    refuses(path, "whole numbers (0, 1)", "text ('0', '1')")


MISSING = "y,p,g\n1,1,a\n0,,b\n,0,a\n0,0,\n1,NaN,b\n"


def test_missing_values_are_counted_named_and_placed(write):
    parts = ["1 in 'y'", "2 in 'p'", "1 in 'g'", "of 5 rows", "line 3", "--missing drop", "--missing group"]
    refuses(write(MISSING), *parts)


def test_missing_values_can_be_dropped(write):
    found = audited(write(MISSING), missing="drop")
    assert found.record["rows"] == 1
    assert found.record["dropped"] == 4
    assert found.record["missing"] == {"y": 1, "p": 2, "g": 1}
    assert "missing values: 2 in p" in str(found) or "2 in p" in str(found)


def test_missing_values_can_stay_visible(write):
    found = audited(write(MISSING), missing="group")
    assert found.record["rows"] == 4
    assert found.record["dropped"] == 1
    count = {group["group"]["g"]: (group["count"], float(group["accuracy"])) for group in found.record["groups"]}
    assert count == {"a": (1, 1.0), "b": (2, 0.0), None: (1, 1.0)}
    assert found.record["positive"] == 1
    assert "(missing)" in str(found)


def test_nan_is_missing_in_typed_tables():
    table = {"y": np.array([1.0, 0.0, np.nan]), "p": [1, 0, 1], "g": ["a", None, "b"]}
    refuses(table, "1 in 'y'", "1 in 'g'")
    assert audited(table, missing="drop").record["rows"] == 1


def test_nothing_left_is_an_error(write):
    refuses(write("y,p,g\n1,,a\n,1,a\n"), "no row is left", missing="drop")


def test_one_class_is_audited_with_a_warning(write):
    found = audited(write("y,p,g\n1,1,a\n1,1,b\n"))
    assert found.overall["accuracy"] == 1
    assert np.isnan(found.overall["false_positive_rate"])
    assert any("every label is 1" in warning for warning in found.record["warnings"])


def test_predictions_that_are_never_labels_are_pointed_out():
    found = audited({"y": ["cat", "dog"], "p": ["Cat", "Dog"], "g": [0, 1]}, positive="cat")
    assert any("no prediction is ever a label" in warning for warning in found.record["warnings"])


def test_too_many_groups_hint_at_bins():
    n = 100_000
    table = {"y": np.arange(n) % 2, "p": np.arange(n) % 2, "g": np.arange(n), "h": np.arange(n) % 40}
    refuses(table, "'g' has 100000 different values", "g:0,40,60", "--max-groups")
    refuses(table | {"g": np.arange(n) % 50}, "50 g × 40 h are more than 1000 groups", group=["g", "h"])
    assert len(audited(table, group="h", max_groups=40).record["groups"]) == 40


def test_a_large_file_is_glanced_at_first(write, monkeypatch):
    path = write("y,p,g,h\n" + "".join(f"{row % 2},1,id{row},{row % 40}\n" for row in range(3000)))
    monkeypatch.setattr(cells, "LARGE_FILE", 0)
    refuses(path, "'g' has at least 3000 different values")
    assert audited(path, group="h").record["rows"] == 3000


def test_blanks_in_the_last_column_are_no_broken_rows(write):
    text = "y,p,g,note\n1,1,a,\n0,1,a,x\n1,0,b,\n"
    assert audited(write(text)).record["rows"] == 3
    assert audited(write(text + '1,1,"b, c",\n')).record["rows"] == 4
    refuses(write(text + '1,1,"b, c"\n'), "line 5: 3 fields, but the header has 4")


def test_too_many_classes_hint_at_scores():
    n = 3000
    refuses({"y": np.arange(n) % 2, "p": np.arange(n), "g": np.arange(n) % 2}, "3000 different values", "--score")


def test_the_first_bad_weight_and_the_first_word_that_means_missing_are_placed(write):
    path = write("y,p,g,w\n1,1,a,1\n0,1,a,-2\n1,0,b,3\n")
    refuses(path, "weights must be finite and ≥ 0", "line 3", weight="w")
    refuses(write("y,p,g\n1,1,a\n0,1,a\n1,NaN,b\n"), "1 in 'p'", "line 4")


@pytest.mark.parametrize("bad", [-1.0, np.inf, np.nan])
def test_weights_must_be_finite_and_positive(bad):
    refuses({"y": [0, 1], "p": [0, 1], "g": [0, 1], "w": [1.0, bad]}, "weights must be finite and ≥ 0", weight="w")
    refuses({"y": [0, 1], "p": [0, 1], "g": [0, 1], "w": [0.0, 0.0]}, "all 0", weight="w")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": []}, "name at least one group column"),
        ({"group": ["g", "g"]}, "'g' is named twice"),
        ({"prediction": None}, "name the column of predicted classes"),
        ({"prediction": "y"}, "label and prediction are both 'y'"),
        ({"label": None}, "name the column of true classes"),
        ({"positive": "maybe"}, "positive must be one of the classes 0, 1"),
        ({"group": "g:1,x"}, "bins are written column:edge,edge"),
        ({"group": "g:40,0"}, "edges of bins must increase"),
        ({"group": "g:0,40"}, "has bins but 4 of its values are no numbers, the first in"),
        ({"missing": "ignore"}, "unknown way with missing values 'ignore'"),
        ({"confidence": 1.0}, "confidence must be between 0 and 1"),
        ({"interval": "wald"}, "unknown interval 'wald'"),
        ({"score_kind": "percent"}, "unknown score kind"),
        ({"split": "test"}, "in a run folder only"),
        ({"label": np.array([1, 0])}, "label is the name of a column, got ndarray"),
        ({"max_groups": 0}, "max_groups must be at least 1"),
    ],
)
def test_bad_options(write, options, message):
    refuses(write(GOOD), message, **options)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"y": [1, 0], "p": [1], "g": [0, 1]}, "equally long, got y 2, p 1"),
        ({"y": [1, "a"], "p": [1, 0], "g": [0, 1]}, "values of one type"),
        ({"y": [[1], [2]], "p": [1, 0], "g": [0, 1]}, "one-dimensional"),
        (42, "data must be a path"),
        (pl.DataFrame({"y": [[1], [2]], "p": [1, 0], "g": [0, 1]}), "must hold numbers, texts or true/false, got"),
    ],
)
def test_bad_tables(data, message):
    refuses(data, message)


def test_arrays_need_a_label_and_a_group():
    with pytest.raises(BadInput, match="label must be an array"):
        audit(prediction=[1], group=[1])
    with pytest.raises(BadInput, match="name at least one group"):
        audit(label=[1, 0], prediction=[1, 0])


@pytest.mark.filterwarnings("error")
def test_a_blank_line_before_the_header_is_no_reason_to_warn(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\ny,p,g\n1,1,a\n0,1\n")
    with pytest.raises(BadInput, match=r"line 4|fields|column"):
        audit(path, label="y", prediction="p", group="g")
