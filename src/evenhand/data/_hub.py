"""Data sets of the library datasets: opened without a network where that can be, as one table in three parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from evenhand.data._columns import ROW, Table
from evenhand.data._table import PARTS, Codes
from evenhand.errors import BadInput, unknown

if TYPE_CHECKING:
    import polars as pl

SAVED = ("dataset_dict.json", "state.json")  # what `save_to_disk` leaves in a folder
USUAL = (("train",), ("validation", "val", "valid", "dev"), ("test",))  # names of the splits for train, val and test
LEFT_OUT = -1


def opened(item: str, config: str, root: Path | None) -> Mapping[str, Any]:
    """The splits of the data set `item` by name.

    Args:
        item: a folder (also below `root`) that `save_to_disk` wrote or that holds parquet, CSV or JSON files, or a name
            on the Hugging Face hub.
        config: which of its configurations; empty for the only one.

    Raises:
        BadInput: the extra `text` is not installed, there is no such data set, or it cannot be read.
    """
    from evenhand.inputs import hub

    datasets = hub.library("datasets", f"the data set hf:{item}")
    places = [Path(item).expanduser(), *([root / item] if root else [])]
    here = next((place for place in places if place.is_dir()), None)
    with _quiet(datasets):
        try:
            if here is not None and any((here / name).is_file() for name in SAVED):
                found = datasets.load_from_disk(str(here))
            else:
                with _offline(datasets, here is None and not hub.reachable()):
                    found = datasets.load_dataset(str(here or item), name=config or None)
        except Exception as error:  # the readers of each format raise errors of their own
            first = str(error).strip().partition("\n")[0]
            where = f"the folder {here}" if here else f"neither a folder {item} nor a data set of that name on the hub"
            raise BadInput(
                f"hf:{item} cannot be opened: {where} ({type(error).__name__}: {first})"
                if here is None
                else f"hf:{item} cannot be opened from {where} ({type(error).__name__}: {first})"
            ) from error
    return found if isinstance(found, dict) else {"train": found}


def in_parts(splits: Mapping[str, Any], names: tuple[str, ...], item: str) -> tuple[Any, Codes]:
    """All rows as one data set of the library, and the index into `PARTS` of each as far as it is given, else 0.

    Args:
        names: of the splits for train, val and test, the latter two empty to deal them out of train; empty takes the
            usual names, and validation as test where there is no test.

    Raises:
        BadInput: there is no such split, or the splits have different columns.
    """
    from datasets import concatenate_datasets

    if not names:
        names = tuple(next((name for name in usual if name in splits), "") for usual in USUAL)
        names = ("train" if names[0] else next(iter(splits)), *names[1:])
        names = (names[0], "", names[1]) if names[1] and not names[2] else names
    if len(names) != len(PARTS) or not names[0]:
        raise BadInput(f"parts must name the splits for train, val and test (the latter two may be empty), got {names}")
    for name in filter(None, names):
        if name not in splits:
            raise unknown(f"split of hf:{item}", name, splits)
    chosen = [(part, splits[name]) for part, name in enumerate(names) if name]
    try:
        rows = concatenate_datasets([split for _, split in chosen])
    except ValueError as error:
        raise BadInput(f"the splits {', '.join(filter(None, names))} of hf:{item} have different columns") from error
    return rows, np.concatenate([np.full(len(split), part, dtype=np.int64) for part, split in chosen])


def as_table(rows: Any, columns: list[str], item: str) -> Table:
    """The columns as a table; class labels by their names, in their order, and null where there is none (-1).

    Raises:
        BadInput: there is no such column.
    """
    import polars as pl
    from datasets import ClassLabel

    for column in columns:
        if column not in rows.column_names:
            raise unknown(f"column of hf:{item}", column, rows.column_names)
    frame: pl.DataFrame = rows.select_columns(list(dict.fromkeys(columns))).to_polars()
    for column, feature in rows.features.items():
        if column in columns and isinstance(feature, ClassLabel):
            names = dict(enumerate(feature.names))
            kind = pl.Enum(feature.names)
            frame = frame.with_columns(pl.col(column).replace_strict(names, default=None, return_dtype=kind))
    return Table(frame.with_row_index(ROW), Path(f"hf:{item}"), "")


def decoded(rows: Any, column: str, side: int, fit: str, item: str) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """(N, 3, side, side) bytes of a column of images, and what is wrong with each that cannot be read.

    They are kept in the cache folder if all can be read.
    """
    from evenhand.inputs.cache import cache_folder

    key = hashlib.sha256(repr((1, rows._fingerprint, column, side, fit)).encode()).hexdigest()[:32]
    file = cache_folder() / f"hub-{key}.npy"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        if file.exists():
            return np.load(file, mmap_mode="c"), {}
        pixels, bad = _decode(rows, column, side, fit, item)
        if not bad:
            temporary = file.with_suffix(".tmp.npy")
            np.save(temporary, pixels)
            temporary.replace(file)
    return pixels, bad


def _decode(rows: Any, column: str, side: int, fit: str, item: str) -> tuple[NDArray[np.uint8], dict[int, str]]:
    from evenhand.data._arrays import resized

    pixels = np.zeros((len(rows), 3, side, side), dtype=np.uint8)
    images, bad = rows.select_columns([column]), {}
    for row in range(len(rows)):
        try:
            image = np.asarray(images[row][column].convert("RGB"))
        except Exception as error:  # a decoder may raise anything
            bad[row] = f"row {row + 1} of hf:{item}: {column} is no image that can be read ({error})"
            continue
        pixels[row] = resized(image.transpose(2, 0, 1)[None], side, fit)[0]
    return pixels, bad


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Inside, no progress bars of the library."""
    shown = datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


@contextmanager
def _offline(datasets: Any, yes: bool) -> Iterator[None]:
    """Inside, the library looks into its cache only, if `yes`, instead of waiting for an answer of the hub."""
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or yes
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before
