"""Downloads: resumed where they broke off, checked, unpacked, and put in place only when complete."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from ssl import SSLError
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from evenhand.data._base import Download
from evenhand.data._unpacking import unpack
from evenhand.errors import BadInput, RunFailed

CHUNK = 1 << 18
TIMEOUT = 30.0  # seconds without a byte
Progress = Callable[[Download, int, int | None], None]  # (file, bytes so far, bytes in all if known)


def fetch(downloads: Iterable[Download], root: Path, progress: Progress | None = None) -> list[Path]:
    """Each file, or the folder that an archive becomes, at its place below `root`.

    A file that is already there with the right content is not fetched again, nor is the archive of a folder that is
    there. A transfer that breaks off leaves `<file>.part`, which the next call continues.

    Raises:
        BadInput: a path leaves the root, the root cannot be written, another file is in the way, or an archive holds
            what leads out of its folder.
        RunFailed: no network, an error of the server, a transfer cut short, a wrong checksum, a damaged archive, or a
            full disk.
    """
    files = [(download, below(root, download.path)) for download in downloads]
    folders = {download: below(root, download.unpacks) for download, _ in files if download.unpacks}
    wanted = [(download, file) for download, file in files if download not in folders or not folders[download].exists()]
    missing = [(download, file) for download, file in wanted if not _is_there(download, file)]
    for download, file in missing:
        _fetch_one(download, file, progress or (lambda *_: None))
    for download, file in wanted:
        if download in folders:
            unpack(file, folders[download])
            file.unlink()
    return [folders.get(download, file) for download, file in files]


def below(root: Path, path: str) -> Path:
    """`root / path`, with links followed.

    Raises:
        BadInput: that is not inside the root.
    """
    target = (root / path).resolve()
    if not path or target == root.resolve() or not target.is_relative_to(root.resolve()):
        raise BadInput(f"the path {path!r} leaves the root {root}; nothing is written there")
    return target


def _is_there(download: Download, target: Path) -> bool:
    try:
        if not target.exists():
            return False
        right = _sha256(target) == download.sha256
    except OSError as error:
        raise BadInput(f"cannot read {target}: {error.strerror or error}") from error
    if not right:
        raise BadInput(
            f"{target} is already there, but is not the official file (its SHA-256 is not {download.sha256}); "
            "move it away to fetch that"
        )
    return True


def _fetch_one(download: Download, target: Path, progress: Progress) -> None:
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if part.is_symlink():  # would be written to wherever it points
            part.unlink()
        _transfer(download, part, progress)
        if (got := _sha256(part)) != download.sha256:
            part.unlink()
            raise RunFailed(
                f"what {download.url} delivered has the SHA-256 {got} instead of {download.sha256}; it was removed"
            )
        part.replace(target)
    except HTTPError as error:
        raise RunFailed(f"the server answered {error.code} {error.reason} for {download.url}") from error
    except URLError as error:
        raise RunFailed(f"cannot reach {download.url}: {error.reason}; is there a network?") from error
    except (HTTPException, ConnectionError, TimeoutError, SSLError) as error:
        raise RunFailed(f"the transfer of {download.url} broke off ({error}); run again to continue it") from error
    except OSError as error:
        raise _local_failure(error, part, target) from error
    finally:
        if part.is_file() and not part.stat().st_size:
            part.unlink()


def _local_failure(error: OSError, part: Path, target: Path) -> BadInput | RunFailed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        part.unlink(missing_ok=True)
        return RunFailed(f"the disk is full: {target} was not written")
    return BadInput(f"cannot write {target}: {error.strerror or error}")


def _transfer(download: Download, part: Path, progress: Progress) -> None:
    """Append what is missing of the file to `part`."""
    # Opened before anything is asked of the server: an unwritable root should not cost a transfer.
    with part.open("ab") as file:
        if _sha256(part) == download.sha256:
            return
        response, done = _resumed(download.url, file)
        with response:
            total = None if response.length is None else done + response.length
            progress(download, done, total)
            while chunk := response.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(download, done, total)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise RunFailed(
            f"the transfer of {download.url} broke off after {done} of {total} bytes; run again to continue it"
        )


def _resumed(url: str, file: BinaryIO) -> tuple[HTTPResponse, int]:
    """The server's answer to what is missing of `file`, and where that starts: 0 if it can only send all."""
    start = file.seek(0, os.SEEK_END)
    try:
        response = _open(url, start)
    except HTTPError as error:
        if error.code != 416 or not start:  # 416: the file is not as long as what is here
            raise
        response = _open(url, 0)
    if response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        return response, start
    file.truncate(0)
    return response, 0


def _open(url: str, start: int) -> HTTPResponse:
    if not url.startswith(("https://", "http://")):
        raise BadInput(f"only http and https addresses are fetched, got {url}")
    headers = {"User-Agent": "evenhand", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    return response


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
