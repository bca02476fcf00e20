"""Archives unpacked whole or not at all, and never outside of their folder."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from evenhand.errors import BadInput, RunFailed


def unpack(archive: Path, target: Path) -> None:
    """Put the folder `target.name` of a tar or zip archive at `target`, which must not exist yet.

    Files go into a folder beside it that is renamed when it is complete. Owners, permissions and times in the archive
    are not taken over.

    Raises:
        BadInput: the file is no archive, or has a member that is absolute, leads out of its folder, lies outside of
            `target.name`, or is neither a file nor a folder (such as a link).
        RunFailed: the archive is damaged or the disk is full.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as work:
            for path, content in _members(archive):
                _check(path, archive, target.name)
                place = Path(work, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                with content, place.open("xb") as file:
                    shutil.copyfileobj(content, file)
            if not Path(work, target.name).is_dir():
                raise BadInput(f"{archive} holds no folder {target.name!r}")
            Path(work, target.name).replace(target)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise RunFailed(f"{archive} is damaged: {error}; remove it and fetch it again") from error
    except OSError as error:
        raise RunFailed(f"cannot unpack {archive}: {error.strerror or error}") from error


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Path and content of every file of the archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for entry in zipped.infolist():
                if (entry.external_attr >> 16) & 0o170000 == 0o120000:
                    raise BadInput(f"{archive} holds the link {entry.filename!r}; only files and folders are unpacked")
                if not entry.is_dir():
                    yield entry.filename, zipped.open(entry)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isfile() else None
                if content is not None:
                    yield member.name, content
                elif not member.isdir():
                    raise BadInput(f"{archive} holds {member.name!r}, which is neither a file nor a folder")
    else:
        raise BadInput(f"{archive} is neither a tar nor a zip archive")


def _check(path: str, archive: Path, folder: str) -> None:
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if not parts or parts[0] in ("/", "") or ".." in parts or ":" in parts[0]:
        raise BadInput(f"{archive} holds {path!r}, which leads out of its folder; nothing was unpacked")
    if parts[0] != folder:
        raise BadInput(f"{archive} holds {path!r}, which is not in the folder {folder!r}; nothing was unpacked")
