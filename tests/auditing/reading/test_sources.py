"""The same predictions from every kind of file, folder and table give the same audit."""

import gzip
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest

from evenhand.auditing import audit
from evenhand.errors import BadInput

ROWS = 300


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, ROWS)
    return pl.DataFrame({
        "y": y,
        "p": np.where(rng.random(ROWS) < 0.8, y, 1 - y),
        "sex": rng.choice(["F", "M"], ROWS),
        "place": rng.choice(["land, dry", 'the "sea"', "ärea"], ROWS),
        "age": rng.integers(1, 90, ROWS),
        "note": rng.choice(["", "x"], ROWS),
    })  # fmt: skip


@pytest.fixture(scope="module")
def expected(frame):
    return figures(audited(frame))


def audited(data, **options):
    return audit(data, label="y", prediction="p", group=["sex", "place"], **options)


def figures(found):
    return json.loads(found.to_json()) | {"source": "", "notes": []}


WRITERS = {
    "t.csv": lambda f, path: f.write_csv(path),
    "t.tsv": lambda f, path: f.write_csv(path, separator="\t"),
    "t.csv.gz": lambda f, path: path.write_bytes(gzip.compress(f.write_csv().encode())),
    "t.csv.zst": lambda f, path: f.write_csv(path, compression="zstd"),
    "t.parquet": lambda f, path: f.write_parquet(path),
    "t.jsonl": lambda f, path: f.write_ndjson(path),
    "t.ndjson.gz": lambda f, path: path.write_bytes(gzip.compress(f.write_ndjson().encode())),
    "t.arrow": lambda f, path: f.write_ipc(path),
    "stream.arrow": lambda f, path: f.write_ipc_stream(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file(name, frame, expected, tmp_path):
    WRITERS[name](frame, tmp_path / name)
    assert figures(audited(tmp_path / name)) == expected


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl", "arrow"])
def test_shards_are_the_whole(suffix, frame, expected, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "_SUCCESS").touch()
    for number, start in enumerate(range(0, ROWS, 100)):
        path = tmp_path / ("more" if number else ".") / f"part-{number}.{suffix}"
        WRITERS[f"t.{suffix}"](frame[start : start + 100], path)
    assert figures(audited(tmp_path)) == expected


def test_shards_may_order_their_columns_differently(frame, expected, tmp_path):
    frame[:100].write_csv(tmp_path / "a.csv")
    frame[100:].select(reversed(frame.columns)).write_csv(tmp_path / "b.csv")
    assert figures(audited(tmp_path)) == expected


class OnlyArrow:
    """A table of another library that exports Arrow."""

    def __init__(self, frame):
        self.frame = frame

    def __arrow_c_stream__(self, requested_schema=None):
        return self.frame.__arrow_c_stream__(requested_schema)


TABLES = {
    "polars": lambda f: f,
    "lazy": lambda f: f.lazy(),
    "pandas": lambda f: pd.DataFrame(f.to_dict(as_series=False)),
    "pandas categories": lambda f: pd.DataFrame(f.to_dict(as_series=False)).astype({"sex": "category", "y": "Int64"}),
    "numpy": lambda f: {name: f[name].to_numpy() for name in f.columns},
    "lists": lambda f: f.to_dict(as_series=False),
    "structured": lambda f: f.select("y", "p", "sex", "place").to_numpy(structured=True),
    "arrow": OnlyArrow,
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_of_table(kind, frame, expected):
    assert figures(audited(TABLES[kind](frame))) == expected


def test_arrays_without_a_table(frame, expected):
    groups = {"sex": frame["sex"].to_numpy(), "place": pd.Series(frame["place"].to_list())}
    found = figures(audit(label=frame["y"].to_list(), prediction=frame["p"].to_numpy(), group=groups))
    assert found["groups"] == expected["groups"]
    alone = audit(label=frame["y"], prediction=frame["p"], group=pd.Series(frame["sex"].to_list(), name="sex"))
    assert {group["group"]["sex"] for group in alone.record["groups"]} == {"F", "M"}
    both = audit(label=frame["y"], prediction=frame["p"], group=frame.select("sex", "place"))
    assert figures(both)["groups"] == expected["groups"]


def test_numbers_fall_into_bins(frame, tmp_path):
    frame.write_csv(tmp_path / "t.csv")
    for data in (frame, tmp_path / "t.csv"):
        found = audit(data, label="y", prediction="p", group="age:0,40,60,200")
        count = {group["group"]["age"]: group["count"] for group in found.record["groups"]}
        age = frame["age"].to_numpy()
        assert count == {
            "0 to <40": (age < 40).sum(), "40 to <60": ((age >= 40) & (age < 60)).sum(), "60 to <200": (age >= 60).sum()
        }  # fmt: skip
    empty = audit(frame, label="y", prediction="p", group="age:100,200,300")
    assert [(group["group"]["age"], group["count"]) for group in empty.record["groups"]] == [
        ("<100", ROWS), ("100 to <200", 0), ("200 to <300", 0),
    ]  # fmt: skip
    assert "2 groups without rows" in empty.record["warnings"][0]


def test_a_column_with_a_colon_is_a_column_first(frame):
    found = audit(frame.rename({"sex": "sex:0"}), label="y", prediction="p", group="sex:0")
    assert found.record["columns"] == ["sex:0"]


def test_values_keep_their_type(frame, tmp_path):
    table = pl.DataFrame(
        {"y": ["no", "yes"] * 4, "p": ["no", "no", "yes", "yes"] * 2, "g": [1, 2] * 4, "b": [True] * 8}
    )
    table.write_csv(tmp_path / "t.csv")
    for data in (table, tmp_path / "t.csv"):
        found = audit(data, label="y", prediction="p", group=["g", "b"])
        assert found.record["classes"] == ["no", "yes"]
        assert [group["group"] for group in found.record["groups"]] == [{"g": 1, "b": True}, {"g": 2, "b": True}]
    zeros = audit({"y": ["007", "8"], "p": ["007", "8"], "g": [1.5, 2.0]}, label="y", prediction="p", group="g")
    assert zeros.record["classes"] == ["007", "8"]


def test_true_and_false_are_one_and_zero_beside_numbers(frame):
    found = audit(frame.with_columns(pl.col("p") == 1), label="y", prediction="p", group="sex")
    assert found.overall["accuracy"] == audited(frame).overall["accuracy"]


def write_run(folder, frame):
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    frame.write_parquet(folder / "predictions.parquet")


def test_a_run_folder_needs_no_names(tmp_path):
    rng = np.random.default_rng(0)
    y, a = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    logits = rng.normal(size=(200, 2))
    table = pl.DataFrame({
        "split": np.array(["val", "test"]).repeat(100), "row": np.arange(200), "y": y, "attribute_place": a,
        "group": 2 * y + a, "logit_0": logits[:, 0], "logit_1": logits[:, 1],
    })  # fmt: skip
    write_run(tmp_path / "run", table)
    found = audit(tmp_path / "run", replicates=5)
    right = logits.argmax(axis=1)[100:] == y[100:]
    assert found.overall["accuracy"] == pytest.approx(right.mean())
    assert found.record["columns"] == ["y", "attribute_place"]
    worst = min(right[(y[100:] == label) & (a[100:] == place)].mean() for label in (0, 1) for place in (0, 1))
    assert found.overall["worst_group_accuracy"] == pytest.approx(worst)
    assert audit(tmp_path / "run", split="val", replicates=5).record["rows"] == 100
    with pytest.raises(BadInput, match="no rows of split 'train'"):
        audit(tmp_path / "run", split="train")
    (tmp_path / "evenhand.json").write_text("{}")
    with pytest.raises(BadInput, match="holds runs; name one of them: run"):
        audit(tmp_path)


def test_a_run_folder_tells_what_its_indices_mean(tmp_path):
    y, a = np.arange(40) % 2, np.arange(40) // 2 % 2
    table = pl.DataFrame({
        "split": "test", "row": np.arange(40), "y": y, "attribute_sex": a, "group": 2 * y + a,
        "logit_0": 1.0 - y, "logit_1": 0.5 * a,
    })  # fmt: skip
    write_run(tmp_path / "run", table)
    names = [f"income={income}, sex={sex}" for income in ("<=50K", ">50K") for sex in ("Female", "Male")]
    written = {"groups": [{"group": name} for name in names]}
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(written))
    found = audit(tmp_path / "run", replicates=5)
    assert {group["group"]["attribute_sex"] for group in found.record["groups"]} == {"Female", "Male"}
    assert found.worst["group"] == {"y": 1, "attribute_sex": "Female"}
    assert "y=0 is income=<=50K; y=1 is income=>50K" in found.record["notes"]
    for unclear in ('{"groups": [{"group": "a=1, b=2"}]', '{"groups": [{"group": "a, b"}]}', '{"groups": 3}', "[]"):
        (tmp_path / "run" / "metrics.json").write_text(unclear)
        assert audit(tmp_path / "run", replicates=5).worst["group"] == {"y": 1, "attribute_sex": 0}
