"""`audit`: from predictions to an `Audit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from evenhand.auditing import cautions
from evenhand.auditing.counting.cells import MISSING, MOST_GROUPS, NO_PREDICTION, Cells, Missing, count_cells
from evenhand.auditing.level import Audited
from evenhand.auditing.reading import memory, values
from evenhand.auditing.reading.columns import PREDICTED, Columns, ScoreKind, require, resolve
from evenhand.auditing.reading.source import Source, open_path
from evenhand.auditing.result import Audit
from evenhand.auditing.summary import summarise
from evenhand.errors import BadInput, unknown
from evenhand.metrics.intervals import IntervalMethod


def audit(
    data: Any = None,
    *,
    label: Any = None,
    prediction: Any = None,
    group: Any = None,
    positive: Any = None,
    score: Any = None,
    score_kind: ScoreKind = "probability",
    weight: Any = None,
    id: Any = None,
    against: Any = None,
    search: bool = False,
    search_without: Sequence[str] = (),
    missing: Missing = "error",
    confidence: float = 0.95,
    interval: IntervalMethod = "wilson",
    max_groups: int = MOST_GROUPS,
    split: str | None = None,
    replicates: int | None = None,
    seed: int = 0,
) -> Audit:
    """Find out for whom a classifier works badly, from its predictions alone.

    `data`: a path (CSV, TSV, Parquet, JSON lines, Arrow; packed by gzip or zstd; a folder of shards; a run folder), a
    Polars, pandas or Arrow table, or a mapping of names to arrays; `label`, `prediction`, `group`, `score`, `weight`
    and `id` then name its columns. Without `data` they are arrays themselves, and `group` an array or a mapping of
    names to arrays. A run folder needs no names: its groups are label × attributes.

    Files are counted in one streaming pass, whatever their size. `score`, `id` and `against` need single rows: the
    named columns are read into memory; `search` reads all columns.

    Args:
        label: the true classes.
        prediction: the predicted classes; by default the class of the highest score, or of a probability ≥ 0.5.
        group: one or several columns, crossed with each other; `"age:0,40,60"` bins numbers at these edges.
        positive: the class that TPR, FPR, precision, F1 and selection rate are about. Of two classes the last in order
            unless given; with more classes these figures are averaged over classes unless it is given.
        score: one column (of the positive class) or one per class, in the order of the classes.
        score_kind: "probability" in [0, 1]; "logit"; or "score", which only ranks (AUC and average precision).
        weight: how much a row counts, ≥ 0.
        id: rows with the same id, such as images of one patient, are not independent; intervals account for that.
        against: other predictions (a path or table) for the same rows, to be compared group by group.
        search: also look for the worst slices among combinations of up to three columns.
        search_without: columns that the search leaves alone, such as those that a model wrote.
        missing: rows without a value are an "error", are dropped ("drop"), or stay ("group": a missing group value is
            a group, a missing prediction is never right; rows without a label are dropped).
        confidence: of all intervals, in (0, 1).
        interval: of proportions: "wilson", or "clopper_pearson" (exact, wider).
        max_groups: refuse more values of one column, or more crossed groups, than this.
        split: of a run folder; "test" unless given.
        replicates: of the bootstrap behind intervals of figures from scores; by default 200, and 50 (whose spread is
            then used) for more than 200 000 rows.
        seed: of the bootstrap.

    Raises:
        BadInput: the data cannot be audited; the message says what was wanted, what was got and where.
    """
    _check(missing, confidence, interval, max_groups)
    without = _listed(search_without)
    names = {"label": label, "prediction": prediction, "group": group, "score": score, "weight": weight, "id": id}
    source, named = _source(data, names, split)
    columns = resolve(source.columns, source.name, score_kind=named.pop("score_kind", score_kind), **named)
    for name in without:
        require(name, source.columns, source.name)
    rows, held, asked = None, None, columns
    if columns.by_row or search:
        from evenhand.auditing.counting import rows as by_row
        from evenhand.auditing.figures.scored import Resampling

        held = by_row.read(source, columns, positive, missing, everything=search)
        source, columns = held.source, held.columns
    cells = count_cells(source, columns, missing, max_groups)
    chosen, notes = _positive(cells, positive)
    if columns.by_row:
        rows = by_row.rows(source, columns, cells, Resampling(chosen, replicates, seed))
    audited = Audited(cells, rows, chosen, confidence, interval)
    record = _about(source, columns, audited, notes) | summarise(audited, columns.label)
    if held is not None:
        record["missing"] |= held.lost
        record["dropped"] += held.dropped
    if against is not None:
        from evenhand.auditing.against import compare, open_other

        other = open_other(against, asked, split, positive)
        record["against"] = compare((source, columns), other, cells, confidence)
    if search:
        from evenhand.auditing.searching.slices import find_slices

        record["slices"] = find_slices(source, columns, cells, confidence, seed, without=without)
    record["warnings"] = cautions.cautions(record, audited)
    return Audit(record)


def _check(missing: str, confidence: float, interval: str, max_groups: int) -> None:
    if missing not in MISSING:
        raise unknown("way with missing values", missing, MISSING)
    if interval not in get_args(IntervalMethod):
        raise unknown("interval", interval, get_args(IntervalMethod))
    if not 0 < confidence < 1:
        raise BadInput(f"confidence must be between 0 and 1, got {confidence}")
    if max_groups < 1:
        raise BadInput(f"max_groups must be at least 1, got {max_groups}")


def _source(data: Any, names: Mapping[str, Any], split: str | None) -> tuple[Source, dict[str, Any]]:
    """The table, and the names of its columns by part."""
    if data is None:
        return memory.from_arrays(names)
    source = open_path(Path(data), split) if isinstance(data, str | Path) else memory.from_table(data)
    named = _run_columns(source, names) if source.is_run else dict(names)
    wrong = next((part for part, value in named.items() if not _is_name(value)), None)
    if wrong is not None:
        raise BadInput(f"with a table, {wrong} is the name of a column, got {type(named[wrong]).__name__}")
    if named["label"] is None:
        raise BadInput("name the column of true classes (--label)")
    groups, scores = _listed(named.pop("group")), _listed(named.pop("score"))
    return source, {**named, "groups": groups, "scores": scores}


def _run_columns(source: Source, names: Mapping[str, Any]) -> dict[str, Any]:
    """What a run folder's columns are, where the caller does not say otherwise."""
    attributes = [name for name in source.columns if name.startswith("attribute_")]
    logits = [name for name in source.columns if name.startswith("logit_")]
    found = {key: value for key, value in names.items() if value is not None and value != []}
    defaults = {"label": "y", "group": ["y", *attributes]}
    if "score" not in found and "prediction" not in found:
        defaults |= {"score": logits, "score_kind": "logit"}
    return {**names, **defaults, **found}


def _is_name(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, str)
        or (isinstance(value, Sequence) and all(isinstance(item, str) for item in value))
    )


def _listed(names: str | Sequence[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())


def _positive(cells: Cells, positive: Any) -> tuple[int | None, list[str]]:
    """The index of the positive class, and what to tell about the choice; None averages over classes."""
    real = [value for value in cells.classes if value != NO_PREDICTION]
    if positive is not None:
        return values.find(positive, cells.classes, "positive"), []
    if len(real) <= 2:
        chosen = cells.classes.index(real[-1])
        return chosen, [f"positive is {values.written(real[-1])}, the last class in order; choose with --positive"]
    return None, [f"{len(real)} classes: TPR, FPR, precision and F1 are unweighted means over classes"]


def _about(source: Source, columns: Columns, audited: Audited, notes: Sequence[str]) -> dict[str, Any]:
    cells = audited.cells
    clusters = None if audited.rows is None else audited.rows.clusters
    return {
        "source": source.name,
        "rows": int(cells.count.sum()),
        "missing": dict(cells.missing),
        "dropped": cells.dropped,
        "label": columns.label,
        "prediction": None if columns.prediction == PREDICTED else columns.prediction,
        "columns": list(cells.names),
        "scores": list(columns.scores),
        "weight": columns.weight,
        "id": columns.id,
        "clusters": None if clusters is None else clusters.count,
        "classes": list(cells.classes),
        "positive": None if audited.positive is None else cells.classes[audited.positive],
        "confidence": audited.confidence,
        "interval": audited.method,
        "notes": [*source.notes, *notes],
    }
