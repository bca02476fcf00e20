"""Discovery as a whole: what is looked at, ranked, shown, judged and written."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hidden_groups import planted
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import adjusted_rand_score, f1_score, precision_score, recall_score, roc_auc_score

from evenhand.auditing import audit
from evenhand.batch import Split
from evenhand.data import Data, Sealed
from evenhand.discovery import examples as shown
from evenhand.discovery import judging, kinds, looking, quoting, sheet
from evenhand.discovery.discover import Discovery, discover
from evenhand.discovery.kinds._base import Rows
from evenhand.errors import BadInput
from evenhand.execute import execute
from evenhand.metrics import wilson
from evenhand.plan import Plan
from evenhand.regrouped import regrouped
from evenhand.runs import Run

PARTS = ("train", "val", "test")
SIZES = {"train": ((300, 40), (200, 30)), "val": ((60, 50), (50, 40)), "test": ((60, 50), (50, 40))}


def data(**changes: Any) -> Data:
    """Planted features whose hidden group is a known attribute."""
    splits = {}
    for k, part in enumerate(PARTS):
        rows, hidden_N = planted(SIZES[part], seed=k)
        splits[part] = Split.of(torch.from_numpy(rows.features), torch.from_numpy(rows.y), torch.from_numpy(hidden_N))
    recommended = {"encoder": "identity", "epochs": 3, "batch_size": 64, "lr": 0.05, "select": "worst_class"}
    made = Data("planted", splits["train"], splits["val"], Sealed(splits["test"]), "abc", recommended)
    return replace(made, **changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return execute(data(), Plan("erm"), tmp_path_factory.mktemp("runs"))


def of_run(run: Run, kind: str = "clusters", chosen: Data | None = None, **options: Any) -> Discovery:
    source = looking.at_run(run, chosen or data(), "cpu")
    return discover(source, kinds.make(kind, **({"clusters": 2} if kind != "domino" else {"components": 4})), **options)


# --- what is looked at ---


def test_features_and_predictions_are_those_of_the_model(run: Run) -> None:
    source = looking.at_run(run, data(), "cpu")
    assert torch.equal(torch.from_numpy(source.rows["train"].features), data().train.inputs.take(torch.arange(570)))
    val = run.predictions().filter(pl.col("split") == "val").select("logit_0", "logit_1").to_numpy()
    np.testing.assert_allclose(source.rows["val"].predicted, val, atol=1e-5)
    assert set(source.rows) == {"train", "val"}


@pytest.mark.parametrize("method", ["etf", "ncdebias", "clusterfix"])
def test_predictions_are_those_of_any_method(tmp_path: Path, method: str) -> None:
    other = execute(data(), Plan(method, settings={"encoder": "mlp", "epochs": 1}), tmp_path)
    val = other.predictions().filter(pl.col("split") == "val").select("logit_0", "logit_1").to_numpy()
    np.testing.assert_allclose(looking.at_run(other, data(), "cpu").rows["val"].predicted, val, rtol=1e-4, atol=1e-4)


def test_stored_predictions_are_looked_at_without_the_data(run: Run) -> None:
    source = looking.at_predictions(run)
    assert set(source.rows) == {"val", "test"}
    assert not source.inputs
    found = discover(source, kinds.make("clusters", clusters=2), look_at="test")
    assert (found.by, found.looked_at) == ("test", "test")
    assert found.sheet() is None
    assert found.table().filter(pl.col("split") == "test").height == 200
    with pytest.raises(BadInput, match="unknown split to look at 'train'"):
        discover(source, kinds.make("clusters"), look_at="train")


def test_a_damaged_run_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BadInput, match="is damaged: its predictions cannot be read"):
        looking.at_predictions(Run(tmp_path))


def test_inputs_may_be_their_own_features() -> None:
    source = looking.at_data(data(), None, "inputs as they are", "cpu")
    assert not source.has_predictions
    found = discover(source, kinds.make("clusters", clusters=2))
    assert (found.score, found.by) == ("distance", "train")
    assert [group.figures["train"].count for group in found.groups] == [30, 40, 200, 300]
    assert np.isnan(found.groups[0].figures["train"].accuracy)
    assert "prediction" not in found.table().columns
    with pytest.raises(BadInput, match="needs predictions"):
        discover(source, kinds.make("domino"))


def test_large_inputs_are_no_features() -> None:
    wide = Split.of(torch.zeros(4, 3, 80, 80), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(BadInput, match="has 19200 numbers, too many to be clustered as they are"):
        looking.at_data(Data("wide", wide, wide, Sealed(wide), "f", {}), None, "", "cpu")


# --- group labels play no part ---


@pytest.mark.parametrize("kind", kinds.names())
def test_group_labels_play_no_part_in_finding(run: Run, kind: str) -> None:
    true = data()
    rng = torch.Generator().manual_seed(0)

    def poisoned(split: Split) -> Split:
        return replace(split, attributes=torch.randint(2, (len(split), 1), generator=rng))

    wrong = replace(true, train=poisoned(true.train), val=poisoned(true.val))
    without = replace(true, train=true.train.without_groups(), val=true.val.without_groups())
    own, *others = (of_run(run, kind, chosen, look_at="val") for chosen in (true, wrong, without))
    mine = own.table().select(pl.exclude("^attribute_.*$"))
    for other in others:
        assert other.table().select(pl.exclude("^attribute_.*$")).equals(mine)
        assert other.groups == own.groups
        assert other.examples == own.examples
    assert own.judgement != others[0].judgement
    assert own.judgement is not None
    assert "for nothing else" in own.judgement["note"]


def test_without_known_attributes_nothing_is_said_of_them(run: Run) -> None:
    true = data()
    without = replace(true, train=true.train.without_groups(), val=true.val.without_groups())
    record = of_run(run, chosen=without).as_dict()
    assert "known_attributes" not in record
    assert record["labels"]["attributes"] == []
    assert not [name for name in of_run(run, chosen=without).table().columns if name.startswith("attribute")]


# --- figures ---


def test_groups_are_ranked_by_accuracy_on_rows_that_the_model_was_not_trained_on(run: Run) -> None:
    found = of_run(run)
    accuracy = [group.figures["val"].accuracy for group in found.groups]
    assert accuracy == sorted(accuracy)
    assert found.by == "val"
    table = found.table()
    for group in found.groups:
        for split in ("train", "val"):
            own = table.filter((pl.col("split") == split) & (pl.col("group") == group.name))
            right = (own["y"] == own["prediction"]).sum()
            low, high = wilson(np.array([right]), np.array([own.height]))
            figures = group.figures[split]
            assert (figures.count, figures.accuracy) == (own.height, pytest.approx(right / own.height))
            assert (figures.low, figures.high) == (pytest.approx(low[0]), pytest.approx(high[0]))
            assert figures.loss == pytest.approx(own["score_loss"].mean())


def test_known_attributes_score_what_was_found_as_scikit_learn_does(run: Run) -> None:
    found = of_run(run)
    assert found.judgement is not None
    train, val = data().train, data().val
    for name, split in (("train", train), ("val", val)):
        own = found.judgement["splits"][name]
        rows, placed = found.source.rows[name], found.placed[name]
        for c, value in enumerate(own["adjusted_rand_index"].values()):
            of_class = rows.y == c
            assert value == adjusted_rand_score(split.attribute.numpy()[of_class], placed.cluster[of_class]) > 0.95
        for score, area in own["auc"].items():
            assert area["all"] == pytest.approx(roc_auc_score(split.attribute.numpy(), placed.scores[score]))
        worst = split.group.numpy() == [split.group_name(g) for g in range(4)].index(found.judgement["worst_group"])
        best = max(f1_score(worst, placed.cluster == cluster) for cluster in range(4))
        assert own["best_match"]["f1"] == pytest.approx(best)


def test_the_minority_is_what_is_smaller_than_its_classs_largest_group() -> None:
    truth = looking.Truth({}, (3,), ("",) * 6, np.array([5, 5, 1, 0, 9, 3]))
    assert judging.minorities(truth, 2).tolist() == [0, 0, 1, 1, 0, 1]


def test_auc_of_the_observation_of_clusterfix() -> None:
    assert judging.auc(np.array([0.1, 0.9, 0.8, 0.2]), np.array([0, 1, 1, 0])) == 1.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_the_best_match_is_the_best(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cluster, y, member = rng.integers(0, 4, 40), np.zeros(40, dtype=int), rng.random(40) < 0.3
    found = judging.best_match(member, cluster, y)
    if not member.any():
        assert found["cluster"] is None
        return
    chosen = cluster == found["cluster"]
    assert found["f1"] == pytest.approx(max(f1_score(member, cluster == k) for k in range(4)))
    assert found["precision"] == pytest.approx(precision_score(member, chosen))
    assert found["recall"] == pytest.approx(recall_score(member, chosen))


def test_of_many_classes_a_reader_is_told_the_mean() -> None:
    own = {"best_match": {"precision": 0.5, "recall": 1.0}, "auc": {"group_loss": {"all": 0.7}}}
    few, many = ({**own, "adjusted_rand_index": {str(c): c / 20 for c in range(n)}} for n in (2, 11))
    assert list(judging.measures(few)) == [
        "best match of that group, precision", "best match of that group, recall", "adjusted Rand index, 0",
        "adjusted Rand index, 1", "AUC of minority membership, group loss",
    ]  # fmt: skip
    assert judging.measures(many)["adjusted Rand index, mean over classes"] == pytest.approx(0.25)


def test_rows_of_unknown_attributes_do_not_count(run: Run) -> None:
    true = data()
    assert true.train.attributes is not None
    hidden = true.train.attributes.clone()
    hidden[::3] = -1
    found = of_run(run, chosen=replace(true, train=replace(true.train, attributes=hidden)))
    assert found.judgement is not None
    known = np.flatnonzero(hidden[:, 0].numpy() >= 0)
    values = found.placed["train"].scores["loss"][known]
    area = found.judgement["splits"]["train"]["auc"]["loss"]["all"]
    assert area == pytest.approx(roc_auc_score(hidden[known, 0].numpy(), values))
    assert found.table()["attribute_a0"].null_count() == 190


# --- what is written ---


@pytest.mark.parametrize("kind", kinds.names())
def test_the_table_is_taken_by_training_and_by_audits(run: Run, tmp_path: Path, kind: str) -> None:
    found = of_run(run, kind, look_at="val")
    found.table().write_parquet(tmp_path / "groups.parquet")
    train, val = regrouped(tmp_path / "groups.parquet", data().train, data().val)
    assert train.n_unknown == val.n_unknown == 0
    trained = execute(data(), Plan("rwg", groups_from=tmp_path / "groups.parquet"), tmp_path / "runs")
    assert "groups_sha256" in trained.config
    on_val = found.table().filter(pl.col("split") == "val")
    record = audit(on_val, label="y", prediction="prediction", group="group").as_dict()
    ours = {group.name: group.figures["val"].accuracy for group in found.groups if group.figures["val"].count}
    assert {each["group"]["group"]: each["accuracy"]["value"] for each in record["groups"]} == pytest.approx(ours)


def test_examples_are_the_nearest_and_those_of_the_highest_score(run: Run) -> None:
    found = of_run(run, n_examples=3)
    placed = found.placed["train"]
    for group, own in zip(found.groups, found.examples, strict=True):
        inside = placed.cluster == group.cluster
        assert placed.distance[[each.row for each in own.typical]].tolist() == sorted(placed.distance[inside])[:3]
        wanted = sorted(placed.scores["loss"][inside], reverse=True)[:3]
        assert [each.score for each in own.critical] == wanted
        assert all(placed.cluster[each.row] == group.cluster for each in (*own.typical, *own.critical))


def test_the_features_that_set_a_group_apart_are_named(run: Run) -> None:
    names = tuple("abcdef")
    found = of_run(run, chosen=data(feature_names=names))
    rows, cluster_N = found.source.rows["train"], found.placed["train"].cluster
    for group, named in zip(found.groups, found.apart, strict=True):
        inside = cluster_N == group.cluster
        rest = (rows.y == rows.y[inside][0]) & ~inside
        x = rows.features.astype(float)
        spread = np.sqrt((x[inside].var(0) + x[rest].var(0)) / 2)
        wanted = dict(zip(names, (x[inside].mean(0) - x[rest].mean(0)) / spread, strict=True))
        assert named[0]["feature"] == max(wanted, key=lambda name: abs(wanted[name]))
        assert {each["feature"]: each["difference"] for each in named} == pytest.approx(
            {each["feature"]: wanted[each["feature"]] for each in named}
        )


def test_features_that_do_not_vary_set_nothing_apart() -> None:
    assert shown.standardised_difference(np.ones((3, 2)), np.zeros((4, 2))).tolist() == [0, 0]
    assert shown.standardised_difference(np.ones((0, 2)), np.zeros((4, 2))).tolist() == [0, 0]


def test_an_excerpt_is_one_line() -> None:
    assert shown.excerpt("two\n\nlines\x1b[31m") == "two lines [31m"
    assert len(shown.excerpt("word " * 100)) <= shown.LONGEST


# --- pictures ---


def pictures() -> Data:
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(40) % 2
    x = torch.rand(40, 3, 8, 6, generator=rng) * 0.2
    x[:, 0] += (y * 0.7)[:, None, None]
    split = Split.of(x, y, torch.arange(40) // 2 % 2)
    return Data("pictures", split, split, Sealed(split), "f", {})


def test_the_contact_sheet_is_a_png_of_the_size_that_it_should_have() -> None:
    found = discover(looking.at_data(pictures(), None, "", "cpu"), kinds.make("clusters", clusters=3), n_examples=2)
    content = found.sheet()
    assert content is not None
    image = Image.open(io.BytesIO(content))
    image.load()
    assert (image.format, image.mode) == ("PNG", "RGB")
    assert image.size == sheet.size(6, 2) == (210 + 4 * 102 + 12, 20 + 6 * 118 + 6)
    # The first picture is the first typical row of the first group, in its colours.
    row = found.examples[0].typical[0].row
    wanted = (pictures().train.inputs.take(torch.tensor([row]))[0, :, 0, 0] * 255).round().int().tolist()
    left, top = sheet.LABEL_WIDTH + (sheet.SIDE - 72) // 2, sheet.HEAD
    assert list(image.getpixel((left + 4, top + 4))) == wanted  # type: ignore[arg-type]
    assert found.sheet() == content


def test_frames_tell_right_from_wrong() -> None:
    split = pictures().train
    right, wrong = (shown.Example(0, "a", prediction, 1.0) for prediction in ("a", "b"))
    content = sheet.contact_sheet(split, [(["g"], shown.Examples((right,), (wrong,)))], 1)
    image = Image.open(io.BytesIO(content))
    at = [(start - 1, sheet.HEAD + 40) for start in (210, 210 + 102 + 6)]
    assert [image.getpixel(each) for each in at] == [sheet.RIGHT, sheet.WRONG]


def test_tables_have_no_contact_sheet(run: Run) -> None:
    assert of_run(run).sheet() is None


# --- the rest ---


def test_everything_is_the_same_again(run: Run) -> None:
    one, two = of_run(run), of_run(run)
    assert one.table().equals(two.table())
    assert one.as_dict() == two.as_dict()


def test_scores_and_examples_that_cannot_be(run: Run) -> None:
    with pytest.raises(BadInput, match="unknown score 'los'; did you mean 'loss'"):
        of_run(run, score="los")
    with pytest.raises(BadInput, match="examples must be at least 1, got 0"):
        of_run(run, n_examples=0)
    assert of_run(run, score="group_loss").score == "group_loss"


def test_a_group_without_rows_where_it_is_ranked_comes_last() -> None:
    rows, _ = planted()
    far = Rows(np.concatenate([rows.features, np.full((5, 6), 90, np.float32)]), np.append(rows.y, [0] * 5), 2,
               np.concatenate([rows.predicted, np.eye(2, dtype=np.float32)[[1] * 5]]))  # fmt: skip
    source = looking.Source(
        {"features": "f"}, {"train": far, "val": rows}, {"classes": ["a", "b"]}, None, held_out="val"
    )
    found = discover(source, kinds.make("clusters", clusters=3))
    assert found.groups[-1].figures["val"].count == 0
    assert found.groups[-1].figures["train"].count == 5


def test_texts_are_quoted_from_the_rows_that_they_belong_to(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    from evenhand import data as data_sets

    lines = ["text,part,label"]
    lines += [f"text {k} {'good' if k % 2 else 'bad'},{PARTS[k % 3]},{k // 3 % 2}" for k in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "t.toml").write_text('path = "t.csv"\ntext = "text"\nlabel = "label"\nsplit = "part"\n')
    chosen = data_sets.load(str(tmp_path / "t.toml"))
    assert quoting.are_texts(chosen)
    texts = quoting.texts_of(chosen, str(tmp_path / "t.toml"), None, {})
    assert [text.split()[1] for text in texts("val")] == [str(k) for k in range(1, 60, 3)]
    with pytest.raises(BadInput, match="t are texts, which are no features"):
        looking.at_data(chosen, None, "", "cpu")
