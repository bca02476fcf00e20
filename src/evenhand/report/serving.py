"""A folder of runs served to a browser on this machine: a live view of runs in progress, and the full page on demand.

Only addresses known here are answered, only to GET, and only where the browser names this machine as the host, so that
no other site can read along. Nothing that is served asks for anything from elsewhere.
"""

from __future__ import annotations

import json
import sys
import threading
import webbrowser
from collections.abc import Callable
from functools import cache
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from evenhand.errors import BadInput, EvenhandError
from evenhand.files import without_nan
from evenhand.report.watching import Watch

LOCAL = "127.0.0.1"
LARGEST_PORT = 65_535
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FRAMES = "frame-ancestors 'none'"  # of the full page, which has a stricter policy in its head
HTML, JSON, STYLE, SCRIPT = "text/html", "application/json", "text/css", "text/javascript"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def serve(
    folder: Path,
    *,
    port: int = 0,
    open_browser: bool | None = None,
    announce: Callable[[str], None] = lambda line: print(line, flush=True),
) -> int:
    """Serve a folder until interrupted, and return the exit code 0.

    Args:
        port: 0 takes a free one.
        open_browser: None opens one where this runs in a terminal.
        announce: is told the address.

    Raises:
        BadInput: there is no such folder, or the port cannot be used.
    """
    if not folder.is_dir():
        raise BadInput(f"there is no folder {folder} to serve; name a folder of runs, finished or in progress")
    with server(folder, port) as serving:
        address = f"http://{LOCAL}:{serving.server_port}/"
        announce(f"Serving {folder} at {address} on this machine alone; Ctrl-C ends it.")
        if sys.stdout.isatty() if open_browser is None else open_browser:
            webbrowser.open(address)
        try:
            serving.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            announce("")
    return 0


def server(folder: Path, port: int = 0) -> Server:
    """A server of a folder, bound to its port and not yet at work.

    Raises:
        BadInput: the port is taken, not allowed, or none.
    """
    if not 0 <= port <= LARGEST_PORT:
        raise BadInput(f"a port lies between 0 and {LARGEST_PORT}, got {port}")
    try:
        return Server(folder, port)
    except OSError as error:
        raise BadInput(
            f"port {port} of this machine cannot be used ({error.strerror or error}); choose another with --port, "
            "or 0 for a free one"
        ) from error


class Server(ThreadingHTTPServer):
    """Answers from one folder."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__((LOCAL, port), _Handler)
        self.folder = folder
        self.watch = Watch(folder)
        self.hosts = {f"{name}:{self.server_port}" for name in (LOCAL, "localhost")}
        if self.server_port == 80:
            self.hosts |= {LOCAL, "localhost"}
        self._pages: dict[Path, tuple[object, str]] = {}
        self._rendering = threading.Lock()

    def page(self, folder: Path) -> str:
        """The full page of a folder or run, made anew when something has changed.

        Raises:
            BadInput: there is nothing that a page could show.
        """
        from evenhand.report.render import render
        from evenhand.report.summarize import summarize

        with self._rendering:  # one at a time: it takes a second, and is wanted rarely
            state = _state(folder)
            known = self._pages.get(folder)
            if known is None or known[0] != state:
                values = without_nan(summarize(folder).as_dict())
                known = self._pages[folder] = state, render(values)
                while len(self._pages) > 4:
                    del self._pages[next(iter(self._pages))]
            return known[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is none of our errors."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 30
    server_version, sys_version = "evenhand", ""

    def do_GET(self) -> None:
        if self.headers.get("Host", "").lower() not in self.server.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, "This page is for this machine alone: open it by its own address.")
            return
        asked = urlsplit(self.path)
        known = {"/": self._live, "/news.json": self._news, "/curve.json": self._curve, "/report": self._report}
        if asked.path in known:
            known[asked.path]({key: values[-1] for key, values in parse_qs(asked.query).items()})
        elif asked.path in ASSETS:
            kind, content = ASSETS[asked.path]
            self._send(content(), kind, cached="max-age=3600" if asked.path == "/plotly.js" else "no-cache")
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "There is nothing at this address.")

    def _only_get(self) -> None:
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "This page can only be read.", {"Allow": "GET"})

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _only_get  # noqa: N815

    def _live(self, query: dict[str, str]) -> None:
        self._send(_live_page(str(self.server.folder)), HTML)

    def _news(self, query: dict[str, str]) -> None:
        self._send_json(self.server.watch.news(_number(query, "since")))

    def _curve(self, query: dict[str, str]) -> None:
        found = self.server.watch.curve(query.get("run", ""), _number(query, "start"), _number(query, "life"))
        if found is None:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no run of this name.")
        else:
            self._send_json(found)

    def _report(self, query: dict[str, str]) -> None:
        folder = self.server.watch.place(query["run"]) if "run" in query else self.server.folder
        if folder is None:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no finished run of this name.")
            return
        try:
            self._send(self.server.page(folder).encode(), HTML, policy=FRAMES)
        except EvenhandError as error:
            self._refuse(HTTPStatus.CONFLICT, f"{str(error)[:1].upper()}{str(error)[1:]}.")

    def _send_json(self, value: Any) -> None:
        self._send(json.dumps(without_nan(value), separators=(",", ":"), allow_nan=False).encode(), JSON)

    def _send(
        self,
        content: bytes,
        kind: str,
        *,
        status: HTTPStatus = HTTPStatus.OK,
        policy: str = POLICY,
        cached: str = "no-store",
        more: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        lines = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(content)), "Cache-Control": cached}
        for name, value in {**lines, "Content-Security-Policy": policy, **HEADERS, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, status: HTTPStatus, reason: str, more: dict[str, str] | None = None) -> None:
        page = REFUSAL.format(title=escape(status.phrase), reason=escape(reason))
        self._send(page.encode(), HTML, status=status, more=more)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged: the terminal belongs to its user."""


REFUSAL = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} – evenhand</title><link rel="stylesheet" href="/page.css"></head>
<body><header><p class="brand">evenhand</p><h1>{title}</h1></header>
<div class="columns"><main><section>
<p class="lead">{reason}</p><p><a href="/">To the runs</a></p>
</section></main></div>
</body></html>
"""


def _number(query: dict[str, str], name: str) -> int:
    """A whole number of a query; 0 where it is none."""
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _state(folder: Path) -> object:
    """What changes when a page of this folder would."""
    found = [*folder.glob("*"), *folder.glob("*/*")]
    return tuple(sorted((str(path), *_stat(path)) for path in found if path.suffix in (".json", ".jsonl", ".partial")))


def _stat(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _live_page(folder: str) -> bytes:
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_template("live.html").decode()).render(folder=folder).encode()


@cache
def _template(name: str) -> bytes:
    return (files("evenhand.report") / "templates" / name).read_bytes()


@cache
def _plotly() -> bytes:
    return (files("plotly") / "package_data" / "plotly.min.js").read_bytes()


ASSETS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "/page.css": (STYLE, lambda: _template("page.css")),
    "/live.css": (STYLE, lambda: _template("live.css")),
    "/live.js": (SCRIPT, lambda: _template("live.js")),
    "/plotly.js": (SCRIPT, _plotly),
}
