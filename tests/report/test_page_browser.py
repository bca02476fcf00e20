"""The page in a real browser: charts, tables, themes, the view in space, and no word to the network."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from run_folders import GROUPS, comparison_folder

from evenhand.report.blocks import Cell, Page, Section, Table, Text
from evenhand.report.render import render
from evenhand.report.writing import write

webdriver = pytest.importorskip("selenium.webdriver", reason="pages are tried with selenium")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

HOSTILE = ("<script>window.bad=1</script>", "</script><img src=x onerror=window.bad=1>", *GROUPS[2:])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    binary = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs Chromium or Chrome, and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--enable-unsafe-swiftshader",
        "--force-prefers-reduced-motion",
    ):
        options.add_argument(argument)
    options.add_argument("--window-size=1280,900")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driven = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield driven
    driven.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = comparison_folder(tmp_path_factory.mktemp("runs"), ("erm", "rwg"), seeds=2, groups=HOSTILE, tracked=True)
    return write(folder).page


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get_log("browser")
    browser.get(page.as_uri())
    return browser


def until(holds: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return found


def drawn(browser: Any, selector: str) -> Any:
    """The first such chart, once it is in view and drawn."""
    browser.execute_script("document.querySelector(arguments[0]).scrollIntoView()", selector)
    until(lambda: browser.find_elements(By.CSS_SELECTOR, f"{selector}.drawn"), f"{selector} to be drawn")
    return browser.find_element(By.CSS_SELECTOR, selector)


def test_charts_are_drawn_when_they_come_into_view_without_network_or_errors(opened: Any) -> None:
    opened.get_log("performance")
    far = "#geometry .multiples .plot"
    assert not opened.find_elements(By.CSS_SELECTOR, f"{far}.drawn")
    chart = drawn(opened, far)
    assert chart.find_elements(By.CSS_SELECTOR, "svg.main-svg .trace")
    for one in opened.find_elements(By.CSS_SELECTOR, ".plot"):
        opened.execute_script("arguments[0].scrollIntoView()", one)
        until(lambda one=one: "drawn" in one.get_attribute("class"), "a chart")
    n_plots = len(opened.find_elements(By.CSS_SELECTOR, ".plot"))
    assert len(opened.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .svg-container")) == n_plots
    assert opened.execute_script("return performance.getEntriesByType('resource').length") == 0
    sent = [line["message"] for line in opened.get_log("performance") if "requestWillBeSent" in line["message"]]
    assert not [message for message in sent if '"url":"http' in message]
    errors = [line for line in opened.get_log("browser") if line["level"] == "SEVERE"]
    assert errors == []
    assert opened.execute_script("return window.bad") is None, "names of groups are text"
    assert HOSTILE[0] in opened.find_element(By.CSS_SELECTOR, "#groups table").get_attribute("textContent")


def test_print_draws_all_charts_and_unfolds_all_tables(opened: Any) -> None:
    opened.execute_script(
        "document.querySelectorAll('#geometry .plot').forEach((plot) => plot.remove())"
    )  # slow to draw
    drawn(opened, "#methods .plot")
    folded = "main details:not([open])"
    assert opened.find_elements(By.CSS_SELECTOR, ".plot:not(.drawn)")
    assert opened.find_elements(By.CSS_SELECTOR, folded)
    opened.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert not opened.find_elements(By.CSS_SELECTOR, ".plot:not(.drawn)")
    assert not opened.find_elements(By.CSS_SELECTOR, folded)
    opened.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert opened.find_elements(By.CSS_SELECTOR, folded)


def test_the_policy_lets_nothing_out(opened: Any) -> None:
    tried = opened.execute_async_script(
        "const done = arguments[0]; fetch('https://example.org/').then(() => done('sent'), () => done('refused'))"
    )
    assert tried == "refused"
    assert any("Content Security Policy" in line["message"] for line in opened.get_log("browser"))


def test_tables_are_sorted_by_mouse_and_by_keyboard(opened: Any) -> None:
    table = opened.find_element(By.CSS_SELECTOR, "#groups table")
    rows = table.find_elements(By.CSS_SELECTOR, "thead th")[3]

    def numbers() -> list[float]:
        return [
            float(cell.get_attribute("data-sort"))
            for cell in table.find_elements(By.CSS_SELECTOR, "tbody td:nth-child(4)")
        ]

    button = rows.find_element(By.TAG_NAME, "button")
    button.click()
    assert rows.get_attribute("aria-sort") == "descending"
    assert numbers() == [400, 380, 120, 60]
    button.send_keys(Keys.ENTER)
    assert rows.get_attribute("aria-sort") == "ascending"
    assert numbers() == [60, 120, 380, 400]


def test_the_theme_is_switched_remembered_and_reaches_the_charts(opened: Any) -> None:
    def colour_of(selector: str) -> str:
        return opened.execute_script(f"return getComputedStyle(document.querySelector('{selector}')).{'fill'}")

    drawn(opened, "#methods .plot")
    ground = "return getComputedStyle(document.body).backgroundColor"
    before, ink = opened.execute_script(ground), colour_of("#methods .plot .xtick text")
    button = opened.find_element(By.ID, "theme")
    opened.execute_script("arguments[0].scrollIntoView()", button)
    assert button.text == "Dark"
    button.click()
    assert opened.execute_script(ground) != before
    until(lambda: colour_of("#methods .plot .xtick text") != ink, "the chart in the other theme")
    opened.refresh()
    assert opened.execute_script("return document.documentElement.dataset.theme") == "dark"
    opened.find_element(By.ID, "theme").click()


def test_the_view_in_space_is_turned_by_dragging(opened: Any) -> None:
    selector = "#geometry .multiples:last-of-type .plot"
    chart = drawn(opened, selector)
    camera = "return document.querySelector(arguments[0])._fullLayout.scene?._scene?.getCamera().eye"
    before = until(lambda: opened.execute_script(camera, selector), "the view in space")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    time.sleep(0.3)
    box = opened.execute_script(
        "const b = arguments[0].getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]", chart
    )

    def mouse(kind: str, x: float, y: float) -> None:
        event = {
            "type": kind,
            "x": x,
            "y": y,
            "button": "left",
            "buttons": int(kind != "mouseReleased"),
            "clickCount": 1,
        }
        opened.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    mouse("mousePressed", *box)
    for step in range(1, 7):
        mouse("mouseMoved", box[0] + 12 * step, box[1] + 4 * step)
        time.sleep(0.03)
    mouse("mouseReleased", box[0] + 72, box[1] + 24)
    until(lambda: opened.execute_script(camera, selector) != before, "the camera to move")


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_is_wider_than_the_screen(opened: Any, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    drawn(opened, "#methods .plot")
    assert opened.execute_script("return document.documentElement.scrollWidth") == width


def test_where_the_script_cannot_be_unpacked_the_tables_are_shown(browser: Any, page: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    html = page.read_text()
    begin = html.index('id="plotly">') + len('id="plotly">')
    broken.write_text(html[:begin] + "AAAA" + html[html.index("</script>", begin) :])
    browser.get(broken.as_uri())
    until(lambda: not browser.find_elements(By.CSS_SELECTOR, "html.charts"), "the tables in place of charts")
    numbers = browser.find_elements(By.CSS_SELECTOR, "details.numbers")
    assert all(one.get_attribute("open") for one in numbers)
    assert not browser.find_element(By.CSS_SELECTOR, ".plot").is_displayed()


@pytest.mark.parametrize("width", [360, 1400])
def test_a_single_section_has_the_width_of_the_page(browser: Any, tmp_path: Path, width: int) -> None:
    one = Page("One", "", (Section("only", "Only", (Text(("A sentence. " * 40,)), wide_table())),))
    file = tmp_path / "one.html"
    file.write_text(render(one.as_dict()))
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser")
    browser.get(file.as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    columns = browser.find_element(By.CSS_SELECTOR, ".columns")
    assert browser.find_element(By.CSS_SELECTOR, "main").rect["width"] > 0.9 * columns.rect["width"] - 96
    wide = "const wide = document.querySelector('.wide'); return [wide.scrollWidth, wide.clientWidth]"
    content, shown = browser.execute_script(wide)
    assert content > shown, "a wide table scrolls in its own frame"
    assert browser.get_log("browser") == []


def wide_table() -> Table:
    """A table wider than any page, of names that try to do harm."""
    names = ("<script>window.bad=1</script>", "\"'><img src=x onerror=window.bad=1>", "a\nb", "\u202eleft", "n" * 300)
    rows = tuple(tuple(Cell(f"{name} {k}") for k in range(30)) for name in names)
    return Table("Names", tuple(f"{names[k % 5]} {k}" for k in range(30)), rows)
