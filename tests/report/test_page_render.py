"""The page as a file: needs nothing else, lets nothing in, and says the same when it is rendered again."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from run_folders import comparison_folder, run_folder

from evenhand.errors import RunFailed
from evenhand.plots import COLOURS
from evenhand.report import render as rendering
from evenhand.report.blocks import Cell, Chart, Image, Images, Page, Section, Table, Text
from evenhand.report.render import render
from evenhand.report.writing import Written, default_out, stored_beside, write

HOSTILE = "</script><script>alert(1)</script>"
NAMES = (HOSTILE, '"><img src=x onerror=alert(2)>', "{{ 7 * 7 }} &amp;", "%{x} <b>\u2028'")


class Elements(HTMLParser):
    """Every element with its attributes, and the content of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.open = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.open = ""

    def handle_data(self, data: str) -> None:
        if self.open == "script":
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A page about groups that try to be markup."""
    return write(
        comparison_folder(tmp_path_factory.mktemp("runs"), ("erm", "rwg"), seeds=2, groups=NAMES, tracked=True)
    )


@pytest.fixture(scope="module")
def elements(hostile: Written) -> Elements:
    return Elements(hostile.page.read_text())


def page_of(*blocks: Any) -> dict[str, Any]:
    return json.loads(json.dumps(Page("t", "", (Section("s", "S", blocks),)).as_dict()))


def test_names_from_data_stay_text(elements: Elements) -> None:
    assert len(elements.scripts) == 3, "the page's own, the charts' numbers, the packed script"
    assert not [tag for tag, _ in elements.found if tag == "img"]
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]


def test_the_charts_hold_the_names_as_they_are(elements: Elements) -> None:
    assert "<" not in elements.scripts[1]
    assert "\u2028" not in elements.scripts[1]
    named = {trace.get("name") for figure in json.loads(elements.scripts[1]) for trace in figure["data"]}
    assert HOSTILE in named


def test_the_page_refers_to_nothing_outside(hostile: Written, elements: Elements) -> None:
    links = [attributes.get(name) for _, attributes in elements.found for name in ("src", "href", "action", "data")]
    assert {link[0] for link in links if link} == {"#"}
    html = hostile.page.read_text()
    assert "@import" not in html
    assert "url(" not in html


def test_only_the_two_scripts_of_the_page_may_run(elements: Elements) -> None:
    (policy,) = [a["content"] for tag, a in elements.found if a.get("http-equiv") == "Content-Security-Policy"]
    own, packed = elements.scripts[0], gzip.decompress(base64.b64decode(elements.scripts[2]))
    hashes = [base64.b64encode(hashlib.sha256(text).digest()).decode() for text in (own.encode(), packed)]
    allowed = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert allowed["default-src"] == "'none'"
    assert allowed["script-src"] == " ".join(f"'sha256-{one}'" for one in hashes)
    assert "connect-src" not in allowed


def test_the_page_is_small_and_the_same_each_time(hostile: Written) -> None:
    html = hostile.page.read_bytes()
    assert len(html) < 6 * 2**20
    assert render(json.loads(hostile.stored.read_text())).encode() == html


def test_the_page_has_landmarks_and_one_heading(elements: Elements) -> None:
    tags = [tag for tag, _ in elements.found]
    assert [tags.count(tag) for tag in ("h1", "main", "header", "footer", "nav")] == [1] * 5
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert next(a for tag, a in elements.found if tag == "a")["href"] == "#content"
    plots = [a for _, a in elements.found if a.get("class") == "plot"]
    assert plots
    assert all(a["role"] == "img" and a["aria-label"] for a in plots)


def test_every_chart_has_its_table_open_for_those_without_scripts(elements: Elements) -> None:
    folded = [a for tag, a in elements.found if tag == "details" and a.get("class") == "numbers"]
    assert len(folded) == len([a for _, a in elements.found if a.get("class") == "plot"])
    assert all("open" in attributes for attributes in folded)


def test_a_page_without_charts_has_no_script_for_them() -> None:
    html = render(page_of(Text(("only words",))))
    assert len(Elements(html).scripts) == 1
    assert len(html) < 60_000


def test_every_kind_of_block() -> None:
    table = Table("c", ("a", "b"), ((Cell("x", mark="worst"), Cell("50.0", 0.5, low=0.4, high=1.2)),), (False, True))
    html = render(
        page_of(
            Text(("evenhand demo",), "code"),
            Text(("50 % of all",), "lead"),
            Text(("one", "two"), "list"),
            table,
            Images("pictures", (Image("data:image/png;base64,AA==", "a cat", "x"),), columns=("worst",)),
        )
    )
    assert "<code>evenhand demo</code>" in html
    assert '<p class="lead">50\u00a0% of all</p>' in html
    assert html.count("<li>") == 2
    assert 'M48.0 8H120.0"' in html, "an interval beyond 100 % ends there"
    assert 'cx="60.0"' in html
    assert '<img src="data:image/png;base64,AA==" alt="a cat"' in html


def test_charts_need_the_script_that_comes_with_plotly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "plotly").mkdir()
    real = rendering.files
    monkeypatch.setattr(rendering, "files", lambda name: tmp_path if name == "plotly" else real(name))
    with pytest.raises(RunFailed, match="need the script that comes with plotly, and it is not there"):
        render(page_of(Chart("t", {"data": [], "layout": {}}, "nothing is shown")))


def test_every_colour_of_figures_has_one_for_the_dark() -> None:
    script = rendering._template("page.js")
    light, dark = (
        re.findall(r"#\w{6}", re.search(rf"const {name} = \[(.*)\]", script)[1]) for name in ("LIGHT", "DARK")
    )
    assert light == [colour.lower() for colour in COLOURS]
    assert len(set(dark)) == len(light)


def luminance(code: str) -> float:
    parts = [int(code[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_on_its_ground(theme: int) -> None:
    """WCAG 2.1: 4.5 for text, 3 for lines of charts in the dark theme, which is our own."""
    blocks = rendering._template("page.css").split("color-scheme:")[1:]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[theme]))
    for ground in ("paper", "raised"):
        for ink in ("ink", "soft", "accent", "good"):
            bright, dark = sorted((luminance(colours[ground]), luminance(colours[ink])), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, (ground, ink)
    if theme:
        for number in range(8):
            contrast = (luminance(colours[f"c{number}"]) + 0.05) / (luminance(colours["paper"]) + 0.05)
            assert contrast >= 3, number


def test_where_a_page_is_written(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    written = write(folder)
    assert written.page == folder / "report.html"
    assert written.stored == folder / "report.json"
    assert written.page.is_file()
    assert json.loads(written.stored.read_text()) == json.loads(json.dumps(written.values))
    assert write(folder).problems == (), "its own files are no results"


@pytest.mark.parametrize(
    ("page", "beside"),
    [("report.html", "report.json"), ("a.html", "a.report.json"), ("a.report.html", "a.report.json")],
)
def test_what_a_page_shows_hits_no_other_file(page: str, beside: str, tmp_path: Path) -> None:
    assert stored_beside(tmp_path / page) == tmp_path / beside
    assert default_out(tmp_path / "a.json") == tmp_path / "a.report.html"
