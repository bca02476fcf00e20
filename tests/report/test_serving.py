"""The server of the live view: what it answers, and to whom."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from growing_runs import Growing

import evenhand
from evenhand.errors import BadInput
from evenhand.report.serving import Server, server


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Server]:
    run = Growing(tmp_path, "groupdro")
    run.grow(3)
    with server(tmp_path) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield made
        made.shutdown()


def ask(
    serving: Server, path: str, method: str = "GET", host: str | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", serving.server_port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", f"127.0.0.1:{serving.server_port}" if host is None else host)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def test_the_page_and_all_that_it_needs_are_there(serving: Server) -> None:
    status, headers, page = ask(serving, "/")
    assert (status, headers.get_content_type()) == (200, "text/html")
    for part in ("default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"):
        assert part in headers["Content-Security-Policy"]
    assert b"http://" not in page
    assert b"https://" not in page
    for path, kind in (("/page.css", "text/css"), ("/live.css", "text/css"), ("/live.js", "text/javascript")):
        status, headers, content = ask(serving, path)
        assert (status, headers.get_content_type()) == (200, kind)
        assert b"https://" not in content
        assert path.encode() in page
    assert ask(serving, "/plotly.js")[0] == 200


def test_news_and_curves_are_json(serving: Server) -> None:
    status, headers, content = ask(serving, "/news.json?since=0")
    news = json.loads(content)
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    (run,) = news["runs"]
    assert (run["method"], run["epoch"]) == ("groupdro", 3)
    curve = json.loads(ask(serving, f"/curve.json?run={run['name']}&start=1&life=0")[2])
    assert (curve["start"], len(curve["records"])) == (1, 2)
    assert json.loads(ask(serving, f"/news.json?since={news['serial']}")[2])["runs"] == []


@pytest.mark.parametrize("number", ["-1", "x", "9" * 400, "²", ""])
def test_a_strange_number_counts_as_none(serving: Server, number: str) -> None:
    from urllib.parse import quote

    status, _, content = ask(serving, f"/news.json?since={quote(number)}")
    assert status == 200
    assert len(json.loads(content)["runs"]) == 1


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "", "localhost:1", "127.0.0.1.evil.example"]
)
def test_another_host_is_refused(serving: Server, host: str) -> None:
    assert ask(serving, "/news.json", host=host)[0] == 403


def test_localhost_is_this_machine(serving: Server) -> None:
    assert ask(serving, "/", host=f"LocalHost:{serving.server_port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_only_get_is_answered(serving: Server, method: str) -> None:
    status, headers, content = ask(serving, "/", method)
    assert (status, headers["Allow"]) == (405, "GET")
    assert b"<table" not in content


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/..%2f..%2fetc/passwd", "/page.css/../page.html", "/live.html", "//etc/passwd",
        "/report/x",
        "/report?run=../..", "/report?run=%2e%2e", "/curve.json?run=../x", "/config.json", "/favicon.ico",
    ],
)  # fmt: skip
def test_only_known_addresses_are_answered(serving: Server, path: str) -> None:
    status, _, content = ask(serving, path)
    assert status == 404
    assert b"root:" not in content


def test_a_folder_with_no_finished_run_has_no_full_page_and_says_why(serving: Server) -> None:
    status, _, content = ask(serving, "/report")
    assert status == 409
    assert b"nothing to report" in content


def test_the_full_page_is_rendered_on_demand_and_kept(tmp_path: Path) -> None:
    found = evenhand.audit(label=["a", "b"] * 20, prediction=["a", "b", "a", "a"] * 10, group={"sex": ["f", "m"] * 20})
    record = found.as_dict()
    (tmp_path / "audit.json").write_text(json.dumps(record))
    with server(tmp_path) as made:
        page = made.page(tmp_path)
        assert "Audit of" in page
        assert made.page(tmp_path) is page
        (tmp_path / "audit.json").write_text(json.dumps({**record, "source": "other.csv"}))
        assert "Audit of other.csv" in made.page(tmp_path)


def test_the_name_of_the_folder_is_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "<script>alert(1)"
    folder.mkdir()
    with server(folder) as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        content = ask(made, "/")[2]
        made.shutdown()
    assert b"<script>alert" not in content
    assert b"&lt;script&gt;alert" in content


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"port {port} of this machine cannot be used"):
            server(tmp_path, port)
    with pytest.raises(BadInput, match="a port lies between 0 and 65535, got 70000"):
        server(tmp_path, 70000)


def test_it_listens_on_this_machine_alone(serving: Server) -> None:
    assert serving.server_address[0] == "127.0.0.1"


def test_the_command_prints_its_address_and_ends_well_on_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; from evenhand.cli import main; sys.exit(main())"]
    process = subprocess.Popen(
        [*command, "report", str(tmp_path), "--serve"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "http://127.0.0.1:" in line
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    from evenhand.report.serving import serve

    with pytest.raises(BadInput, match="there is no folder"):
        serve(tmp_path / "none", open_browser=False)
