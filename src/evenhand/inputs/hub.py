"""What Hugging Face libraries load: a local folder, the hub's cache on this machine, or a download, in this order."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeVar
from urllib.parse import urlsplit

from evenhand.errors import BadInput

T = TypeVar("T")
SECONDS = 10  # to wait for an answer of the hub


def library(name: str, what: str) -> ModuleType:
    """The module `name` of the optional libraries for text.

    Raises:
        BadInput: it is not installed; the message says what needs it and which extra brings it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise BadInput(
            f"{what} needs the library {name}, which is not installed: install the extra evenhand[text]"
        ) from error


def found(load: Callable[..., T], name: str, what: str) -> T:
    """`load(name)`, without asking the network where there is a folder `name` or a copy in the hub's cache.

    Args:
        load: takes the name and `local_files_only`, as every `from_pretrained` does.
        what: is loaded, for the message.

    Raises:
        BadInput: there is neither, and the hub has none or cannot be reached, or what is there cannot be read.
    """
    here = Path(name).expanduser()
    with quiet():
        if here.exists():
            return _or_bad_input(load, str(here), f"the folder {name} holds no {what} that can be read", local=True)
        with suppress(Exception):  # each library raises errors of its own where a file is not cached
            return load(name, local_files_only=True)
        missing = f"there is no folder {name}, and no {what} {name!r} in the local cache of the Hugging Face hub"
        if not reachable():
            raise BadInput(f"{missing}; it cannot be downloaded either, as the hub cannot be reached")
        return _or_bad_input(load, name, f"{missing}, and it could not be downloaded", local=False)


def _or_bad_input(load: Callable[..., T], name: str, problem: str, *, local: bool) -> T:
    try:
        return load(name, local_files_only=local)
    except Exception as error:  # each library raises errors of its own
        first = str(error).strip().partition("\n")[0]
        raise BadInput(f"{problem} ({type(error).__name__}: {first})") from error


def reachable() -> bool:
    """Whether the hub answers; with a proxy, or where the user has switched the network off, by their word for it."""
    constants = library("huggingface_hub", "what is on the Hugging Face hub").constants
    if constants.HF_HUB_OFFLINE:
        return False
    address = urlsplit(constants.ENDPOINT)
    if address.scheme in urllib.request.getproxies():
        return True
    try:
        socket.create_connection((address.hostname or "", address.port or 443), timeout=SECONDS).close()
    except OSError:
        return False
    return True


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, the library transformers, if it is in use, prints neither progress bars nor remarks."""
    logging = library("transformers.utils.logging", "what is on the Hugging Face hub")
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
