"""A diagnosis as plain tables and sentences, for the terminal and for Markdown alike."""

from __future__ import annotations

import math

from evenhand.study.tables import Table, percent
from evenhand.study.tables import markdown as in_markdown

from .report import Diagnosis
from .verdict import Criterion


def heading(found: Diagnosis) -> str:
    """`Cause: classifier (sure). The features …`"""
    sure = "" if found.verdict.cause == "nothing" else " (sure)" if found.verdict.sure else " (likely)"
    sentence = found.verdict.sentence
    return f"Cause: {found.verdict.cause}{sure}. {sentence[0].upper()}{sentence[1:]}."


def sentences(found: Diagnosis) -> list[str]:
    """What follows from the verdict, a sentence or two each."""
    verdict, worst = found.verdict, found.worst
    lines = []
    if verdict.doubts:
        few = f" With {worst.val} validation rows of {worst.name}, it may change."
        lines.append(f"Not settled by its interval: {'; '.join(verdict.doubts)}.{few}")
    if verdict.cause == "nothing" and not math.isnan(worst.detectable):
        lines.append(
            f"With {worst.val} validation rows, {worst.name} would usually show gaps above {percent(worst.detectable)} "
            "points."
        )
    if found.rows_needed and found.rows_needed > worst.val:
        lines.append(f"To show a gap like the observed one usually, {found.rows_needed} rows of it would be needed.")
    lines.append(verdict.advice)
    if verdict.methods:
        lines.append(f"Methods that address it: {', '.join(verdict.methods)}.")
    return lines


def tables(found: Diagnosis) -> list[Table]:
    """All tables: the evidence in the order of the questions, the groups, what features tell of the attributes."""
    shown = [evidence(found), outcomes(found), representation(found)]
    return [*shown, attributes(found)] if found.attributes else shown


def evidence(found: Diagnosis) -> Table:
    """The criteria that were asked, each with its threshold."""
    rows = tuple(
        (
            criterion.name,
            f"{criterion.value:.3f}",
            f"[{criterion.low:.3f}, {criterion.high:.3f}]",
            f"{criterion.threshold:.2f}",
            _answer(criterion),
        )
        for criterion in found.verdict.asked
    )
    columns = ("question", "value", "95 % interval", "threshold", "answer")
    note = "A figure whose interval contains its threshold settles nothing."
    return Table(f"Evidence on {found.worst.name}", columns, rows, (note,), text_columns=(0, 4))


def _answer(criterion: Criterion) -> str:
    return f"{'above' if criterion.above else 'not above'}{'' if criterion.decided else ', not settled'}"


def outcomes(found: Diagnosis) -> Table:
    """Accuracy of each group before and after refits."""
    rows = tuple(
        (
            group.name,
            str(group.train),
            str(group.val),
            *(percent(value) for value in (group.seen, group.accuracy)),
            f"[{percent(group.low)}, {percent(group.high)}]",
            *(percent(value) for value in (group.refit_val, group.refit_train, group.detectable)),
        )
        for group in sorted(found.groups, key=lambda group: group.accuracy)
    )
    columns = (
        "group", "train rows", "val", "acc. on train", "on val", "95 % interval", "refit on val", "refit on train",
        "detectable gap",
    )  # fmt: skip
    note = (
        "Refits: the last layer alone, with equal weight on every group, judged on validation rows that did not fit "
        "it. Detectable: the smallest gap to all others that so many validation rows show four times in five."
    )
    return Table("Accuracy of each group, %", columns, rows, (note,))


def representation(found: Diagnosis) -> Table:
    """What the features tell of the classes in each group."""
    rows = tuple(
        (group.name, _figure(group.told_apart), *(percent(v) for v in (group.nearest, group.agreement, group.suspect)))
        for group in sorted(found.groups, key=lambda group: group.accuracy)
    )
    notes = (
        f"Cosine of class means: {_figure(found.majority_cosine)} between the largest groups, "
        f"{_figure(found.minority_cosine)} between the smallest (small is well separated).",
        "AUC: of the group against other classes with its attribute. Neighbours: the 20 nearest training rows, every "
        "group with the same weight; suspect are labels that four fifths of this weight contradict.",
    )
    columns = ("group", "AUC", "nearest class mean, %", "neighbours agree, %", "suspect labels, %")
    return Table("Classes in the features of each group", columns, rows, notes)


def attributes(found: Diagnosis) -> Table:
    """How well attributes are told from features and from inputs."""
    rows = tuple(
        (f"{probe.attribute}={probe.value}", probe.source, _figure(probe.auc), f"[{probe.low:.3f}, {probe.high:.3f}]")
        for probe in found.attributes
    )
    note = "A linear probe fitted on training rows, judged on validation rows: 0.5 tells nothing, 1 everything."
    columns = ("attribute", "from", "AUC", "95 % interval")
    return Table("What the features tell of the attributes", columns, rows, (note,), text_columns=(0, 1))


def markdown(found: Diagnosis) -> str:
    """The whole diagnosis as GitHub Markdown."""
    return "\n\n".join([f"**{heading(found)}**", *sentences(found), in_markdown(tables(found))])


def _figure(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
