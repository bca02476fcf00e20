"""Downloads against a local server that can also be slow, wrong, or break off."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evenhand.data import Download
from evenhand.data._fetch import below, fetch
from evenhand.errors import BadInput, RunFailed

CONTENT = bytes(range(256)) * 4000  # about 1 MB: several chunks


@dataclass
class Served:
    """What the server does, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    break_after: int | None = None  # bytes, then the connection ends
    status: int = 200
    asked: list[str | None] = field(default_factory=list)  # the Range of each request


@pytest.fixture
def served() -> Iterator[Served]:
    state = Served()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            if state.status != 200:
                self.send_error(state.status)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.ranges else 0
            if start >= len(state.content):
                self.send_error(416)
                return
            rest = state.content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: state.break_after])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/file"
    yield state
    server.shutdown()
    server.server_close()


def wanted(served: Served, path: str = "set/file.data", content: bytes = CONTENT) -> Download:
    return Download(served.url, path, hashlib.sha256(content).hexdigest())


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_file_arrives_whole_in_a_root_made_for_it(served: Served, tmp_path: Path) -> None:
    root = tmp_path / "new" / "root"
    assert fetch([wanted(served)], root) == [root / "set" / "file.data"]
    assert (root / "set" / "file.data").read_bytes() == CONTENT
    assert files(root) == ["set/file.data"]


def test_progress_ends_at_the_whole(served: Served, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch([wanted(served)], tmp_path, lambda _, done, total: seen.append((done, total)))
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_present_file_is_not_asked_for(served: Served, tmp_path: Path) -> None:
    for _ in range(2):
        fetch([wanted(served)], tmp_path)
    assert served.asked == [None]


def test_broken_transfer_is_continued(served: Served, tmp_path: Path) -> None:
    served.break_after = 300_000
    with pytest.raises(RunFailed, match=r"broke off after 300000 of 1024000 bytes; run again to continue"):
        fetch([wanted(served)], tmp_path)
    assert files(tmp_path) == ["set/file.data.part"]
    served.break_after = None
    fetch([wanted(served)], tmp_path)
    assert served.asked == [None, "bytes=300000-"]
    assert (tmp_path / "set" / "file.data").read_bytes() == CONTENT


def test_server_that_ignores_ranges_starts_again(served: Served, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file.data.part").write_bytes(CONTENT[:1000])
    served.ranges = False
    fetch([wanted(served)], tmp_path)
    assert served.asked == ["bytes=1000-"]
    assert (tmp_path / "set" / "file.data").read_bytes() == CONTENT


def test_complete_part_is_only_put_in_place(served: Served, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file.data.part").write_bytes(CONTENT)
    fetch([wanted(served)], tmp_path)
    assert served.asked == []
    assert files(tmp_path) == ["set/file.data"]


def test_part_that_is_too_long_starts_again(served: Served, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file.data.part").write_bytes(CONTENT + b"more")
    fetch([wanted(served)], tmp_path)
    assert served.asked == ["bytes=1024004-", None]
    assert (tmp_path / "set" / "file.data").read_bytes() == CONTENT


def test_corrupt_content_is_removed(served: Served, tmp_path: Path) -> None:
    served.content = CONTENT[:-1] + b"!"
    with pytest.raises(RunFailed, match=r"has the SHA-256 [0-9a-f]{64} instead of [0-9a-f]{64}; it was removed"):
        fetch([wanted(served)], tmp_path)
    assert files(tmp_path) == []


@pytest.mark.parametrize("status", [404, 503])
def test_error_of_the_server(served: Served, tmp_path: Path, status: int) -> None:
    served.status = status
    with pytest.raises(RunFailed, match=rf"the server answered {status} .* for http://127\.0\.0\.1:\d+/file"):
        fetch([wanted(served)], tmp_path)
    assert files(tmp_path) == []


def test_no_network(tmp_path: Path) -> None:
    nowhere = Download("http://127.0.0.1:9/file", "file", "0" * 64)  # the discard port: nobody listens
    with pytest.raises(RunFailed, match=r"cannot reach http://127\.0\.0\.1:9/file: .*is there a network\?"):
        fetch([nowhere], tmp_path)
    assert files(tmp_path) == []


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="only http and https addresses are fetched, got file:"):
        fetch([Download("file:///etc/hostname", "file", "0" * 64)], tmp_path)


@pytest.mark.parametrize("path", ["../out", "/etc/out", "set/../../out", "", ".", "link/out"])
def test_path_that_leaves_the_root(served: Served, tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(BadInput, match="leaves the root"):
        fetch([wanted(served), wanted(served, path)], root)
    assert served.asked == []
    assert files(root) == []


def test_part_that_is_a_link_is_not_followed(served: Served, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    (tmp_path / "root" / "set").mkdir(parents=True)
    (tmp_path / "root" / "set" / "file.data.part").symlink_to(tmp_path / "out")
    fetch([wanted(served)], tmp_path / "root")
    assert (tmp_path / "out").read_text() == "mine"
    assert (tmp_path / "root" / "set" / "file.data").read_bytes() == CONTENT


def test_path_inside_the_root(tmp_path: Path) -> None:
    assert below(tmp_path, "set/../file") == tmp_path.resolve() / "file"


def test_another_file_in_the_way_is_kept(served: Served, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file.data").write_text("mine")
    with pytest.raises(BadInput, match=r"file\.data is already there, but is not the official file .*move it away"):
        fetch([wanted(served)], tmp_path)
    assert (tmp_path / "set" / "file.data").read_text() == "mine"


def test_root_that_is_a_file(served: Served, tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    with pytest.raises(BadInput, match=r"cannot (read|write) .*root/set/file\.data"):
        fetch([wanted(served)], tmp_path / "root")
    assert served.asked == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_root(served: Served, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BadInput, match=r"cannot write .*Permission denied"):
        fetch([wanted(served)], tmp_path)
    assert served.asked == []


def test_full_disk_leaves_nothing_behind(served: Served, tmp_path: Path) -> None:
    def fill(_: Download, done: int, total: int | None) -> None:
        if done:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunFailed, match=r"the disk is full: .*file\.data was not written"):
        fetch([wanted(served)], tmp_path, fill)
    assert files(tmp_path) == []


# Archives


def packed(members: dict[str, bytes], *, links: dict[str, str] | None = None, kind: str = "tar") -> bytes:
    """An archive of files, and of links by what they point to."""
    made = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(made, "w") as zipped:
            for name, content in members.items():
                zipped.writestr(name, content)
            for name, target in (links or {}).items():
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o120777 << 16
                zipped.writestr(entry, target)
        return made.getvalue()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o4777
            tar.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return made.getvalue()


def archive(served: Served, content: bytes) -> Download:
    served.content = content
    return replace(wanted(served, "set.archive", content), unpacks="set")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archive_becomes_its_folder(served: Served, tmp_path: Path, kind: str) -> None:
    download = archive(served, packed({"set/a": b"1", "set/deep/b": b"22"}, kind=kind))
    for _ in range(2):
        assert fetch([download], tmp_path) == [tmp_path / "set"]
    assert served.asked == [None]
    assert files(tmp_path) == ["set/a", "set/deep/b"]
    assert (tmp_path / "set" / "deep" / "b").read_bytes() == b"22"
    assert not (tmp_path / "set" / "a").stat().st_mode & 0o4111  # the archive's permissions are not taken over


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("path", ["/tmp/out", "../out", "set/../../out", "set/..\\..\\out", "C:\\out"])
def test_archive_member_that_escapes(served: Served, tmp_path: Path, path: str, kind: str) -> None:
    root = tmp_path / "root"
    with pytest.raises(BadInput, match="leads out of its folder; nothing was unpacked"):
        fetch([archive(served, packed({"set/a": b"1", path: b"2"}, kind=kind))], root)
    assert files(tmp_path) == ["root/set.archive"]


def test_archive_member_beside_its_folder(served: Served, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'other/a', which is not in the folder 'set'; nothing was unpacked"):
        fetch([archive(served, packed({"set/a": b"1", "other/a": b"2"}))], tmp_path)
    assert files(tmp_path) == ["set.archive"]


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archive_with_a_link(served: Served, tmp_path: Path, kind: str) -> None:
    with pytest.raises(BadInput, match=r"holds (the link )?'set/passwd'"):
        fetch([archive(served, packed({"set/a": b"1"}, links={"set/passwd": "/etc/passwd"}, kind=kind))], tmp_path)
    assert files(tmp_path) == ["set.archive"]


def test_archive_without_its_folder(served: Served, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no folder 'set'"):
        fetch([archive(served, packed({}))], tmp_path)


def test_what_is_no_archive(served: Served, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is neither a tar nor a zip archive"):
        fetch([archive(served, CONTENT)], tmp_path)


def test_damaged_archive(served: Served, tmp_path: Path) -> None:
    whole = packed({"set/a": os.urandom(50_000)})
    with pytest.raises(RunFailed, match="is damaged"):
        fetch([archive(served, whole[:-20_000])], tmp_path)
    assert files(tmp_path) == ["set.archive"]


def test_archive_that_is_already_there_is_only_unpacked(served: Served, tmp_path: Path) -> None:
    content = packed({"set/a": b"1"})
    (tmp_path / "set.archive").write_bytes(content)
    fetch([archive(served, content)], tmp_path)
    assert served.asked == []
    assert files(tmp_path) == ["set/a"]


def test_folder_of_an_archive_that_leaves_the_root(served: Served, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="leaves the root"):
        fetch([replace(archive(served, packed({"set/a": b"1"})), unpacks="../set")], tmp_path / "root")
    assert served.asked == []
