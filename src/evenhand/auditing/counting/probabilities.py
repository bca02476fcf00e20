"""Score columns: which class each is of, whether they are probabilities, and which class they predict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evenhand.auditing.counting.cells import NO_PREDICTION, Cells, Missing
from evenhand.auditing.counting.keys import as_number
from evenhand.auditing.figures.scored import Resampling, Scores
from evenhand.auditing.reading import broken, values
from evenhand.auditing.reading.columns import ROW, Columns
from evenhand.auditing.reading.source import Source
from evenhand.auditing.reading.values import Value
from evenhand.errors import BadInput
from evenhand.metrics.counts import FloatArray

if TYPE_CHECKING:
    import polars as pl

SUM_TOLERANCE = 0.01  # what rounding in a text file makes of probabilities that sum to 1
THRESHOLD = 0.5  # of a single probability, from which on the positive class is predicted


def missing_scores(source: Source, columns: Columns, table: pl.DataFrame, missing: Missing) -> pl.DataFrame:
    """Which scores are missing: a column of truth values for each score column.

    Raises:
        BadInput: some are and `missing` is "error", or a score is no number; the message names the first.
    """
    import polars as pl

    kinds = dict(table.schema)
    for name in columns.scores:
        absent = table.select(as_number(name, kinds[name]).is_null()).to_series()
        words = table[name].cast(pl.String).str.strip_chars().str.to_lowercase()
        stray = absent & ~words.is_in(list(values.MISSING_WORDS)).fill_null(value=True)
        if stray.any() or (missing == "error" and absent.any()):
            wrong = stray if stray.any() else absent
            raise BadInput(
                f"scores must be numbers, got {table[name].filter(wrong)[0]!r} in {name!r}, "
                f"{_place(source, table, int(wrong.arg_true()[0]))} ({wrong.sum()} such rows)"
                + ("" if stray.any() else "; --missing drop leaves them out")
            )
    return table.select(as_number(name, kinds[name]).is_null().alias(name) for name in columns.scores)


def check(source: Source, columns: Columns, table: pl.DataFrame) -> None:
    """Whether scores that are said to be probabilities can be.

    Raises:
        BadInput: probabilities outside [0, 1] or rows that do not sum to 1; the message names the first.
    """
    if columns.score_kind != "probability" or not columns.scores:
        return
    score_NC = _numbers(columns, table)
    outside = (score_NC < 0) | (score_NC > 1)
    hint = "for logits say --score-kind logit, for scores that only rank --score-kind score"
    if outside.any():
        row, column = np.argwhere(outside)[0]
        raise BadInput(
            f"probabilities must lie in [0, 1], got {score_NC[row, column]:g} in {columns.scores[column]!r}, "
            f"{_place(source, table, int(row))}; {hint}"
        )
    off_N = np.abs(score_NC.sum(axis=1) - 1) > SUM_TOLERANCE
    if len(columns.scores) > 1 and off_N.any():
        row = int(off_N.argmax())
        raise BadInput(
            f"probabilities must sum to 1 over classes, got {score_NC[row].sum():g}, "
            f"{_place(source, table, row)}; {hint}"
        )


def read_scores(columns: Columns, table: pl.DataFrame) -> FloatArray:
    """(N, C) probabilities (of logits, their softmax or logistic function) or plain scores."""
    score_NC = _numbers(columns, table)
    return _logistic(score_NC) if columns.score_kind == "logit" else score_NC


def predicted(source: Source, columns: Columns, table: pl.DataFrame, positive: object) -> pl.Series:
    """The class that the scores predict, as a value like those of the label column."""
    import polars as pl

    if columns.score_kind == "score" and len(columns.scores) == 1:
        raise BadInput("a score that only ranks does not say which class is predicted; name --prediction")
    score_NC = read_scores(columns, table)
    raw = table[columns.label].drop_nulls().unique().to_list()
    labels = _labels(source, columns, raw)
    if len(columns.scores) == 1:
        classes = two_classes(labels, positive)
        index_N = (score_NC[:, 0] >= THRESHOLD).astype(np.int64)
    else:
        classes = score_classes(columns.scores, labels)
        index_N = score_NC.argmax(axis=1)
    texts = [values.written(value) for value in classes]
    if source.untyped:
        return pl.Series(texts).gather(index_N)
    return pl.Series(classes, strict=False).gather(index_N)


def scores(source: Source, columns: Columns, cells: Cells, table: pl.DataFrame, resampling: Resampling) -> Scores:
    """The scores of the counted rows, their columns in the order of the classes.

    Raises:
        BadInput: there is neither one column nor one for each class.
    """
    score_NC = read_scores(columns, table)
    classes = [value for value in cells.classes if value != NO_PREDICTION]
    if len(columns.scores) == 1:
        if resampling.positive is None:
            raise BadInput(
                f"one score column, but {len(classes)} classes: name a score for each class, or the --positive one"
            )
    else:
        order = [_position(value, score_classes(columns.scores, classes)) for value in cells.classes]
        score_NC = np.where(np.array(order) >= 0, score_NC[:, order], 0.0)
    return Scores(score_NC, columns.score_kind != "score", resampling)


def score_classes(names: tuple[str, ...], labels: list[Value]) -> list[Value]:
    """The class that each score column is of: by the end of its name (`p_cat`, `logit_2`), else by order.

    Raises:
        BadInput: names say nothing and there are not as many columns as classes.
    """
    by_text = {values.written(label): label for label in labels}
    ends = [_end(name, by_text) for name in names]
    if len(set(ends)) == len(names) and set(by_text) <= set(ends):
        typed = values.from_texts(ends)
        return [by_text.get(end, value if value is not None else end) for end, value in zip(ends, typed, strict=True)]
    if len(names) == len(labels):
        return list(labels)
    raise BadInput(
        f"there are {len(names)} score columns ({', '.join(names)}) but {len(labels)} classes "
        f"({values.shown(labels)}); name one column for each class, such as p_{values.written(labels[0])}"
    )


def two_classes(labels: list[Value], positive: object) -> list[Value]:
    """The negative and the positive class.

    Raises:
        BadInput: there are not two.
    """
    if len(labels) != 2:
        raise BadInput(
            f"one score column says which of two classes is predicted, but the labels have {len(labels)} "
            f"({values.shown(labels)}); name --prediction, or one score column for each class"
        )
    chosen = 1 if positive is None else values.find(positive, labels, "positive")
    return [labels[1 - chosen], labels[chosen]]


def _labels(source: Source, columns: Columns, raw: list[object]) -> list[Value]:
    meaning = values.meaning(raw, columns.label, as_texts=source.reads_as_text(columns.label))
    return values.ordered(value for value in meaning if value is not None)


def _end(name: str, labels: dict[str, Value]) -> str:
    known = [text for text in labels if name == text or name.endswith(("_" + text, "." + text, " " + text))]
    return max(known, key=len) if known else name.rpartition("_")[2]


def _position(value: Value, classes: list[Value]) -> int:
    return classes.index(value) if value in classes else -1


def _numbers(columns: Columns, table: pl.DataFrame) -> FloatArray:
    kinds = dict(table.schema)
    return table.select(as_number(name, kinds[name]) for name in columns.scores).to_numpy().astype(np.float64)


def _place(source: Source, table: pl.DataFrame, index: int) -> str:
    return broken.line_of(source.files, source.separator, int(table[ROW][index]))


def _logistic(logit_NC: FloatArray) -> FloatArray:
    if logit_NC.shape[1] == 1:
        return np.asarray(np.exp(-np.logaddexp(0, -logit_NC)))
    shifted = logit_NC - logit_NC.max(axis=1, keepdims=True)
    exponential = np.exp(shifted)
    return np.asarray(exponential / exponential.sum(axis=1, keepdims=True))
