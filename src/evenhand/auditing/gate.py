"""A gate for pipelines: `worst_group_accuracy < 0.8` fails a build, with the reason.

    metric [ "[" column=value, … "]" ]  comparator  number [ "%" ]
    accuracy[sex=Female, age="40, or more"] < 80%

Comparators are <, <=, > and >=. A column or value that holds one of `, = [ ]` or a quotation mark goes in quotes.
"""

import html
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from itertools import islice
from operator import ge, gt, le, lt
from typing import Any, NamedTuple
from xml.etree import ElementTree

from evenhand.errors import BadInput


class _Sign(NamedTuple):
    fails: Callable[[float, float], bool]
    position: str


_COMPARATORS = {
    "<": _Sign(lt, "below"),
    "<=": _Sign(le, "at most"),
    ">": _Sign(gt, "above"),
    ">=": _Sign(ge, "at least"),
}

_EXPRESSION = re.compile(
    r"""\s*(?P<metric>[^\W\d][\w.]*)\s*
    (?:\[(?P<group>(?:[^\]"']|"[^"]*"|'[^']*')*)\])?\s*
    (?P<comparator><=|>=|<|>)\s*
    (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*(?P<percent>%)?\s*""",
    re.VERBOSE,
)
_REDUCTION = re.compile(r"^(worst|best)_group_|^group_mean_|_gap$|_ratio$")
_TERM = r"""("[^"]*"|'[^']*'|[^=,\[\]"']+?)"""
_CONDITION = re.compile(rf"\s*{_TERM}\s*=\s*{_TERM}\s*(?:,|$)")


class Figure(NamedTuple):
    """A metric's value and its interval; NaN where undefined or where there is no interval."""

    value: float
    low: float = math.nan
    high: float = math.nan


Group = frozenset[tuple[str, str]]  # the conditions column = value that rows of the group fulfil


@dataclass(frozen=True)
class Record:
    """What an audit found: figures over all rows, and figures per group (marginal and crossed groups alike)."""

    overall: Mapping[str, Figure]
    groups: Mapping[Group, Mapping[str, Figure]]

    @classmethod
    def from_json(cls, audit: Mapping[str, Any]) -> "Record":
        """The record in what `evenhand audit --json` wrote: `{"overall": {…}, "groups": [{"group": {…}, …}]}`.

        A metric is a number, null (undefined) or `{"value", "low", "high"}`; anything else is left out.
        """
        groups = {_group(row["group"].items()): _figures(row) for row in audit.get("groups", [])}
        return cls(_figures(audit["overall"]), groups)


@dataclass(frozen=True)
class Condition:
    """A parsed expression: fails where the figure of `metric` for `group` (None: all rows) is beyond `threshold`."""

    expression: str
    metric: str
    group: Group | None
    comparator: str
    threshold: float


@dataclass(frozen=True)
class Verdict:
    """What became of one expression, and why, in one line."""

    expression: str
    failed: bool
    reason: str


def parse(expression: str) -> Condition:
    """Read one `--fail-if` expression; nothing in it is executed.

    Raises:
        BadInput: it is not of the form `metric[column=value] < number`; the message quotes it and gives an example.
    """
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise BadInput(
            f"cannot read the condition {expression!r}: wanted a metric, one of {' '.join(_COMPARATORS)} and a number, "
            'such as "worst_group_accuracy < 0.8" or "accuracy[sex=Female] < 75%"'
        )
    number = Decimal(match["number"]) / (100 if match["percent"] else 1)  # 7% is exactly 0.07
    group = None if match["group"] is None else _parse_group(match["group"], expression)
    return Condition(expression.strip(), match["metric"], group, match["comparator"], float(number))


def judge(expressions: Iterable[str], record: Record, confident: bool = False) -> list[Verdict]:
    """Decide every expression on the record, in the given order.

    Plainly, an expression fails if the value is beyond the threshold. `confident`: only if the whole interval is, so
    that noise alone does not fail a build; a figure without an interval is decided on its value. An undefined figure
    (an empty group, say) always fails: a check that could not be made has not been passed.

    Raises:
        BadInput: an expression that cannot be read, or a metric or group that the record does not have (with the
            nearest one that it has); raised before anything is decided.
    """
    conditions = [parse(expression) for expression in expressions]
    figures = [_find(condition, record) for condition in conditions]
    return [_decide(*pair, confident) for pair in zip(conditions, figures, strict=True)]


def _decide(condition: Condition, figure: Figure, confident: bool) -> Verdict:
    fails, position = _COMPARATORS[condition.comparator]
    threshold, name = condition.threshold, _name(condition)
    value, low, high = figure
    if math.isnan(value):
        return Verdict(condition.expression, True, f"{name} is undefined: it could not be checked")
    has_interval = not (math.isnan(low) or math.isnan(high))
    beyond = fails(value, threshold)
    within_noise = confident and beyond and has_interval and not (fails(low, threshold) and fails(high, threshold))
    interval = f" ({_text(low, threshold)} to {_text(high, threshold)})" if has_interval else ""
    reason = f"{name} is {_text(value, threshold)}{interval}, {'' if beyond else 'not '}{position} {threshold!r}"
    if within_noise:
        reason += ", but its interval is not entirely: it may be noise"
    elif confident and beyond and not has_interval:
        reason += "; it has no interval, so its value decides"
    return Verdict(condition.expression, beyond and not within_noise, reason)


def _find(condition: Condition, record: Record) -> Figure:
    figures = record.overall if condition.group is None else record.groups.get(condition.group)
    if condition.group is not None and figures is None:
        known = [_words(group) for group in islice(record.groups, 1000)]  # finding the nearest is slow among many
        name = _words(condition.group)
        near = get_close_matches(name, known, n=1) or known[:1]
        hint = f"; the nearest is {near[0]}" if near else ": the audit has no groups"
        raise BadInput(f"no group {name} in the condition {condition.expression!r}{hint}")
    if figures is None or condition.metric not in figures:
        raise _unknown_metric(condition.metric, figures or ())
    return figures[condition.metric]


def _unknown_metric(name: str, known: Iterable[str]) -> BadInput:
    """The nearest one; otherwise the plain figures, and how the others are named after them."""
    near = get_close_matches(name, known, n=1)
    if near:
        return BadInput(f"unknown metric {name!r}; did you mean {near[0]!r}?")
    plain = sorted(metric for metric in known if not _REDUCTION.search(metric))
    return BadInput(
        f"unknown metric {name!r} (known: {', '.join(plain)}; over groups worst_group_accuracy, best_group_accuracy, "
        "group_mean_accuracy, accuracy_gap, accuracy_ratio, and so for the others)"
    )


def _parse_group(text: str, expression: str) -> Group:
    pairs, position = [], 0
    while position < len(text):
        match = _CONDITION.match(text, position)
        if match is None:
            raise BadInput(
                f"cannot read the group [{text}] in the condition {expression!r}: wanted [column=value] or "
                "[column=value, column=value], with quotes around names that hold , = [ ] or quotation marks"
            )
        pairs.append((_unquoted(match[1]), _unquoted(match[2])))
        position = match.end()
    if not pairs or len({column for column, _ in pairs}) < len(pairs):
        raise BadInput(f"the group [{text}] in the condition {expression!r} must name each column once")
    return _group(pairs)


def _unquoted(term: str) -> str:
    return term[1:-1] if term[:1] in "\"'" else term


def _group(pairs: Iterable[tuple[Any, Any]]) -> Group:
    return frozenset((str(column), str(value)) for column, value in pairs)


def _figures(row: Mapping[str, Any]) -> dict[str, Figure]:
    return {name: figure for name, entry in row.items() if (figure := _figure(entry)) is not None}


def _figure(entry: Any) -> Figure | None:
    if isinstance(entry, Mapping):
        bounds = [entry.get(key) for key in Figure._fields]
        return Figure(*(math.nan if bound is None else float(bound) for bound in bounds)) if "value" in entry else None
    if entry is None:
        return Figure(math.nan)
    return Figure(float(entry)) if isinstance(entry, int | float) and not isinstance(entry, bool) else None


def _name(condition: Condition) -> str:
    return condition.metric + ("" if condition.group is None else _words(condition.group))


def _words(group: Group) -> str:
    return f"[{', '.join(f'{column}={value}' for column, value in sorted(group))}]"


def _text(value: float, threshold: float) -> str:
    """Four digits, or as many as it takes not to look like the threshold."""
    texts = (f"{value:.{digits}g}" for digits in (4, 8, 17))
    return next((text for text in texts if float(text) != threshold), repr(value))


def junit(verdicts: Sequence[Verdict], name: str = "evenhand audit") -> str:
    """The verdicts as JUnit XML: one test case an expression, which every CI system can show."""
    failures = sum(verdict.failed for verdict in verdicts)
    attributes = {"name": _xml(name), "tests": str(len(verdicts)), "failures": str(failures), "errors": "0"}
    suite = ElementTree.Element("testsuite", attributes)
    for verdict in verdicts:
        case = ElementTree.SubElement(suite, "testcase", classname=_xml(name), name=_xml(verdict.expression))
        if verdict.failed:
            ElementTree.SubElement(case, "failure", message=_xml(verdict.reason), type="threshold")
        else:
            ElementTree.SubElement(case, "system-out").text = _xml(verdict.reason)
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def markdown(verdicts: Sequence[Verdict], title: str = "Audit") -> str:
    """The verdicts as a GitHub-style job summary: a heading and a table; text from the data is escaped."""
    failures = sum(verdict.failed for verdict in verdicts)
    lines = [f"### {_cell(title)}: {failures} of {len(verdicts)} conditions failed", ""]
    lines += ["| | Fail if | Reason |", "|---|---|---|"]
    for verdict in verdicts:
        mark = "❌" if verdict.failed else "✅"
        lines.append(f"| {mark} | {_cell(verdict.expression)} | {_cell(verdict.reason)} |")
    return "\n".join(lines) + "\n"


def _xml(text: str) -> str:
    """Without the characters that XML cannot hold even escaped."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _cell(text: str) -> str:
    escaped = re.sub(r"([\\`*_{}\[\]()#|~!@])", r"\\\1", " ".join(text.split()))
    return html.escape(escaped, quote=False)
