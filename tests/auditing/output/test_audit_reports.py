"""What an audit writes: the JSON contract, the frame of groups, Markdown, HTML and the terminal; text is escaped."""

import io
import json
import pickle
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from rich.console import Console

import evenhand
from evenhand.auditing import Measured, audit
from evenhand.auditing.output import terminal

EVIL = "<script>alert('x')</script>|`a`&\n[link](x)"


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 500)
    p = np.where(rng.random(500) < 0.8, y, 1 - y)
    group = rng.choice(["F", "M"], 500)
    place = np.where(group == "F", "land", rng.choice(["land", "sea"], 500))
    return audit(label=y, prediction=p, group={"sex": group, "place": place})


def test_the_json_contract(found):
    written = json.loads(found.to_json())
    assert set(written) >= {"overall", "groups", "marginals", "by_class", "worst", "warnings", "classes", "positive"}
    assert len(written["groups"]) == 4
    for group in written["groups"]:
        assert set(group["group"]) == {"sex", "place"}
        assert isinstance(group["count"], int)
        for name in ("accuracy", "true_positive_rate", "selection_rate"):
            assert set(group[name]) == {"value", "low", "high"}
    empty = next(group for group in written["groups"] if not group["count"])
    assert empty["group"] == {"sex": "F", "place": "sea"}
    assert empty["accuracy"] == {"value": None, "low": 0.0, "high": 1.0}
    values = [group["accuracy"]["value"] for group in written["groups"] if group["count"]]
    assert values == sorted(values)
    assert written["overall"]["worst_group_accuracy"]["value"] == values[0]
    assert written["worst"]["accuracy"]["value"] == values[0]


def test_the_frame_of_groups(found):
    frame = found.groups
    assert isinstance(frame, pl.DataFrame)
    assert frame.height == 4
    assert frame.columns[:6] == ["sex", "place", "count", "share", "accuracy", "accuracy_low"]
    assert frame["count"].sum() == 500
    assert found.to_csv().splitlines()[0].startswith("sex,place,count,share,accuracy,")
    clash = audit(label=[0, 1], prediction=[0, 1], group={"count": [5, 6]})
    assert clash.groups.columns[:2] == ["group count", "count"]


def test_overall_figures_are_numbers_with_an_interval(found):
    accuracy = found.overall["accuracy"]
    assert isinstance(accuracy, float)
    assert accuracy.low < accuracy < accuracy.high
    assert pickle.loads(pickle.dumps(accuracy)).high == accuracy.high
    assert Measured(0.5) == 0.5
    assert evenhand.audit is audit
    assert "500 rows, 4 groups" in repr(found)


def test_the_interval_of_the_worst_group_accounts_for_the_choice(found):
    worst = found.overall["worst_group_accuracy"]
    own = found.record["groups"][0]["accuracy"]
    assert worst == own
    assert worst.high > own.high
    assert found.overall["accuracy_gap"].low >= 0


def test_intervals_of_worst_gap_and_mean_hold_their_promise():
    rng = np.random.default_rng(0)
    truth = np.array([0.7, 0.75, 0.9])
    group = np.arange(3).repeat([80, 120, 200])
    inside = []
    for _ in range(150):
        right = rng.random(400) < truth[group]
        overall = audit(label=np.arange(400) % 2, prediction=(np.arange(400) + ~right) % 2, group=group).overall
        expected = {"worst_group_accuracy": 0.7, "accuracy_gap": 0.2, "group_mean_accuracy": truth.mean()}
        inside.append([overall[name].low <= value <= overall[name].high for name, value in expected.items()])
    assert (np.mean(inside, axis=0) >= 0.9).all()


class Tags(HTMLParser):
    """The tags of a page, and whether every one is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_text_of_the_data_is_escaped():
    table = {"y": [EVIL, "b"] * 10, "p": [EVIL, EVIL] * 10, EVIL: [EVIL, "ok"] * 10}
    found = audit(table, label="y", prediction="p", group=EVIL, positive="b")
    page = found.to_html()
    assert "<script>" not in page
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    assert tags.seen.isdisjoint({"script", "a", "code", "img"})
    text = found.to_markdown()
    assert "<script>" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(row.endswith("|") for row in rows)
    assert "\\|\\`a\\`" in text


def test_markdown_and_html_show_every_group(found):
    for text in (found.to_markdown(), found.to_html()):
        for word in ("sea", "land", "worst group accuracy", "TPR", "sex"):
            assert word in text
    assert found.to_html() in found.to_page()
    assert found._repr_html_() == found.to_html()


def shown(found, width=100, encoding="utf-8"):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    terminal.show(found.record, Console(file=file, width=width, highlight=False, markup=False))
    file.flush()
    return file.buffer.getvalue().decode(encoding)


def test_the_terminal_shows_the_worst_first_and_fits(found):
    text = shown(found, width=100)
    assert max(map(len, text.splitlines())) <= 100
    table = text[text.index("sex × place") : text.index("all rows")]
    order = [line.split()[:3] for line in table.splitlines()[2:] if line.strip()]
    values = [group["group"] for group in found.record["groups"]]
    assert [(first, last) for first, _, last in order] == [(value["sex"], value["place"]) for value in values]
    assert "1 group without rows: sex=F, place=sea" in text
    narrow = shown(found, width=80)
    assert max(map(len, narrow.splitlines())) <= 80
    assert "█" in text
    assert "█" not in shown(found, encoding="ascii")
    assert str(found).startswith("Audit of the arrays")


def test_many_groups_are_cut_in_the_terminal_only():
    n = 400
    many = audit(label=np.arange(n) % 2, prediction=np.arange(n) % 3 % 2, group=np.arange(n) % 50)
    assert "and 20 more" in str(many)
    assert many.groups.height == 50


def test_many_classes_show_thirds_and_the_worst():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 6, 600)
    p = np.where(rng.random(600) < 0.4 + 0.1 * y, y, (y + 1) % 6)
    found = audit(label=y, prediction=p, group=rng.integers(0, 2, 600))
    assert found.record["by_class"][0]["third"] == "hard"
    assert found.overall["hard_class_accuracy"] < found.overall["medium_class_accuracy"]
    assert found.overall["medium_class_accuracy"] < found.overall["easy_class_accuracy"]
    assert found.overall["worst_class_accuracy"] == found.record["by_class"][0]["accuracy"]
    assert "hard" in str(found)
