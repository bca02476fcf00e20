"""Where predictions come from: a file, a folder of shards, or a run folder. Nothing is read before it is asked for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evenhand.auditing.reading import broken, run_names
from evenhand.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

MOST_EXPLAINED = 10  # classes of a run whose names are told
COMPRESSED = (".gz", ".zst")
SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
FORMATS = {
    **dict.fromkeys(SEPARATORS, "csv"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    **dict.fromkeys((".arrow", ".ipc", ".feather"), "arrow"),
}
EXTRA = "\0extra"  # what a CSV row has beyond the header; no column can have this name
PEEKED_ROWS = 1000  # of JSON lines, to tell "1" from 1


@dataclass(frozen=True)
class Source:
    """A table that can be scanned, with what is needed to say where in it something is wrong.

    Attributes:
        frame: lazily; the columns of a text file are texts.
        columns: names, in order.
        name: for messages.
        files: that hold it, in order; none for tables in memory.
        separator: of a CSV file; None for any other.
        texts: columns that are texts because the file says so (None: a CSV, where every value is one).
        suspect: is true for rows that may have too many or too few fields; None where that cannot be.
        untyped: whether values are read as texts, whatever they mean.
        is_run: whether this is a run folder of evenhand.
        notes: what to tell about how the file was read.
    """

    frame: pl.LazyFrame
    columns: tuple[str, ...]
    name: str
    files: tuple[Path, ...] = ()
    separator: str | None = None
    texts: frozenset[str] | None = frozenset()
    suspect: pl.Expr | None = None
    untyped: bool = False
    is_run: bool = False
    notes: tuple[str, ...] = ()

    def reads_as_text(self, name: str) -> bool:
        """Whether the values of a column are texts that may stand for numbers or truth values."""
        return self.untyped and (self.texts is None or name not in self.texts)

    def collect(self, frame: pl.LazyFrame) -> pl.DataFrame:
        """The result of a query on this source, computed in chunks that fit into memory.

        Raises:
            BadInput: the file is broken; the message names the line where it can.
        """
        with broken.explained(self.files, self.separator, self.name):
            return frame.collect(engine="streaming")


def open_path(path: Path, split: str | None = None) -> Source:
    """A file, folder of shards or run folder; of a run, the rows of `split` (test unless named).

    Raises:
        BadInput: it is not there, empty, of an unknown kind, or its shards differ.
    """
    if not path.exists():
        raise BadInput(f"there is no file or folder {path}")
    if path.is_dir():
        if (path / "predictions.parquet").is_file() and (path / "config.json").is_file():
            return _open_run(path, split or "test")
        if (path / "evenhand.json").is_file():
            runs = sorted(found.parent.name for found in path.glob("*/predictions.parquet"))
            raise BadInput(f"{path} holds runs; name one of them: {', '.join(runs) or 'none is finished'}")
    if split is not None:
        raise BadInput(f"a split can be chosen in a run folder only; {path} is none")
    files = _shards(path)
    return _open_files(files, _one_format(files, path), str(path))


def _open_run(path: Path, split: str) -> Source:
    import polars as pl

    file = path / "predictions.parquet"
    source = _open_files((file,), "parquet", str(path))
    if "split" not in source.columns:
        raise BadInput(f"{file} has no column 'split': this is not a run folder of evenhand")
    found = source.collect(source.frame.select(pl.col("split").unique()))["split"].sort().to_list()
    if split not in found:
        raise BadInput(f"{path} has no rows of split {split!r} (there are: {', '.join(map(str, found))})")
    chosen = source.frame.filter(pl.col("split") == split)
    attributes = [name for name in source.columns if name.startswith("attribute_")]
    classes, values = run_names.read(path, attributes)
    named = [pl.col(name).replace_strict(values[name], default=None) for name in values]
    notes = [f"the rows of split {split!r}"]
    if 0 < len(classes) <= MOST_EXPLAINED:
        notes.append("; ".join(f"y={index} is {name}" for index, name in enumerate(classes)))
    return Source(
        chosen.with_columns(named),
        source.columns,
        source.name,
        source.files,
        is_run=True,
        notes=tuple(notes),
    )


def _shards(path: Path) -> tuple[Path, ...]:
    if not path.is_dir():
        return (path,)
    found = sorted(file for file in path.rglob("*") if file.is_file())
    shards = tuple(file for file in found if not any(part[0] in "._" for part in file.relative_to(path).parts))
    if not shards:
        raise BadInput(f"the folder {path} has no files to audit")
    return shards


def _one_format(files: Sequence[Path], path: Path) -> str:
    for file in files:
        if not file.stat().st_size:
            raise BadInput(f"{file} is empty")
    kinds = Counter(_format(file) for file in files)
    if len(kinds) > 1:
        mix = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        raise BadInput(
            f"the shards in {path} must be of one kind, got {mix}; for example {files[0].name}, {files[-1].name}"
        )
    return next(iter(kinds))


def _format(file: Path) -> str:
    suffix, compressed = file.suffix.lower(), False
    if suffix in COMPRESSED:
        suffix, compressed = Path(file.stem).suffix.lower(), True
    if suffix not in FORMATS:
        raise BadInput(f"{file} must end in one of {' '.join(FORMATS)} (text also with {' or '.join(COMPRESSED)})")
    if compressed and FORMATS[suffix] in ("parquet", "arrow"):
        raise BadInput(f"{file}: {suffix} files are compressed inside; unpack the outer {file.suffix} first")
    return FORMATS[suffix]


def _open_files(files: tuple[Path, ...], kind: str, name: str) -> Source:
    if kind == "csv":
        return _open_csv(files, name)
    if kind == "jsonl":
        return _open_json_lines(files, name)
    import polars as pl

    scan = pl.scan_parquet if kind == "parquet" else _scan_arrow
    schemas = []
    for file in files:
        with broken.explained((file,), None, str(file)):
            schemas.append(dict(scan(file).collect_schema()))
    _check_same(files, schemas)
    if kind == "parquet":
        frame = pl.scan_parquet(list(files), hive_partitioning=False)
    else:
        frame = pl.concat([_scan_arrow(file) for file in files])
    return Source(frame, tuple(schemas[0]), name, files)


def _scan_arrow(file: Path) -> pl.LazyFrame:
    """The file format scans lazily; the stream format has no index and is read."""
    import polars as pl

    with file.open("rb") as opened:
        is_file = opened.read(6) == b"ARROW1"
    return pl.scan_ipc(file) if is_file else pl.read_ipc_stream(file).lazy()


def _open_csv(files: tuple[Path, ...], name: str) -> Source:
    import polars as pl

    suffix = next(part for part in reversed([part.lower() for part in files[0].suffixes]) if part in SEPARATORS)
    separator = SEPARATORS[suffix]
    schemas = []
    for file in files:
        with broken.explained((file,), separator, str(file)):
            header = pl.scan_csv(file, separator=separator, infer_schema=False).collect_schema()
        schemas.append(dict(header))
    _check_same(files, schemas)
    names = tuple(schemas[0])
    for column in names:
        base = re.sub(r"_duplicated_\d+$", "", column)
        if base != column and base in names:
            raise BadInput(f"{files[0]}: the header has {base!r} twice")
    frame = pl.scan_csv(
        list(files),
        separator=separator,
        schema=dict.fromkeys([*names, EXTRA], pl.String),
        missing_columns="insert",
    )
    suspect = pl.col(EXTRA).is_not_null() | pl.col(names[-1]).is_null()
    return Source(frame, names, name, files, separator, None, suspect, untyped=True)


def _open_json_lines(files: tuple[Path, ...], name: str) -> Source:
    import polars as pl

    declared: dict[str, set[str]] = {}
    for file in files:
        with broken.explained((file,), None, str(file)):
            schema = pl.scan_ndjson(file, infer_schema_length=PEEKED_ROWS).collect_schema()
        for column, kind in schema.items():
            declared.setdefault(column, set()).add("text" if kind == pl.String else "null" if kind == pl.Null else "")
    frame = pl.scan_ndjson(list(files), schema=dict.fromkeys(declared, pl.String))
    texts = frozenset(column for column, kinds in declared.items() if kinds - {"null"} == {"text"})
    return Source(frame, tuple(declared), name, files, None, texts, untyped=True)


def _check_same(files: Sequence[Path], schemas: Sequence[Mapping[str, object]]) -> None:
    for file, schema in zip(files, schemas, strict=True):
        if set(schema) != set(schemas[0]):
            odd = sorted(set(schema) ^ set(schemas[0]))
            raise BadInput(f"shards must have the same columns: {files[0]} and {file} differ in {', '.join(odd[:5])}")
        for column, kind in schema.items():
            if kind != schemas[0][column]:
                raise BadInput(
                    f"shards must have the same types: {column!r} is {schemas[0][column]} in {files[0]}, "
                    f"{kind} in {file}"
                )
