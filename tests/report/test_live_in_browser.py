"""The live view in a real browser: it follows a run that grows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from growing_runs import GROUPS, Growing

from evenhand.report.serving import server

CHROMIUM = which("chromium") or which("google-chrome") or which("chrome")
DRIVER = which("chromedriver")


@pytest.fixture
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("Chromium and its driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def soon(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_the_view_follows_a_run_that_grows(browser: Any, tmp_path: Path) -> None:
    run = Growing(tmp_path, "groupdro", epochs=6)
    run.grow(2)

    def text(selector: str) -> str:
        found = browser.find_elements("css selector", selector)
        return str(found[0].text) if found else ""

    def points() -> int:
        count = "const plot = document.querySelector('.plot'); return plot && plot.data ? plot.data[1].y.length : 0"
        return int(browser.execute_script(count))

    with server(tmp_path) as serving:
        threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        browser.get(f"http://127.0.0.1:{serving.server_port}/")
        assert soon(lambda: points() == 2)
        assert "2 of 6" in text("#runs tr")
        assert "running" in text("#runs tr")
        assert GROUPS[1] in text("#legend")  # shown as it is, angle brackets and all
        run.grow(3)
        assert soon(lambda: points() == 5)
        assert "5 of 6" in text("#runs tr")
        assert "54.0 %" in text("#runs tr")
        run.grow()
        run.finish()
        assert soon(lambda: "finished" in text("#runs tr"))
        assert "1 finished" in text("#now")
        second = Growing(tmp_path, "erm", epochs=6)
        second.grow()
        assert soon(lambda: len(browser.find_elements("css selector", "#runs tr")) == 2)
        browser.find_element("css selector", "#runs button").send_keys("\n")  # by keyboard: its curves are hidden
        assert soon(lambda: len(browser.find_elements("css selector", ".plot")) == 1)
        serving.shutdown()
    assert soon(lambda: "Nothing is heard" in text("#now"))
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [message for message in severe if "ERR_CONNECTION_REFUSED" not in message]
