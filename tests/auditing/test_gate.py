"""The gate: what the expressions mean, when they fail, and what they print."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.auditing.gate import Figure, Record, Verdict, judge, junit, markdown, parse
from evenhand.errors import BadInput

FEMALE = frozenset({("sex", "Female")})
OLD_FEMALE = frozenset({("sex", "Female"), ("age", "40, or more")})
RECORD = Record(
    {
        "worst_group_accuracy": Figure(0.7, 0.65, 0.81),
        "accuracy_gap": Figure(0.2, 0.15, 0.25),
        "log_loss": Figure(0.4),
        "auc": Figure(float("nan")),
    },
    {FEMALE: {"accuracy": Figure(0.7, 0.65, 0.75)}, OLD_FEMALE: {"accuracy": Figure(0.5, 0.4, 0.6)}},
)


def fails(expression, confident=False):
    return judge([expression], RECORD, confident)[0].failed


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("worst_group_accuracy < 0.8", ("worst_group_accuracy", None, "<", 0.8)),
        ("worst_group_accuracy<80%", ("worst_group_accuracy", None, "<", 0.8)),
        (" gap >= -.5e-1 ", ("gap", None, ">=", -0.05)),
        ("accuracy[sex=Female] <= 7 %", ("accuracy", FEMALE, "<=", 0.07)),
        ("accuracy[age='40, or more', \"sex\" = Female] > 1.", ("accuracy", OLD_FEMALE, ">", 1.0)),
        ('f1[job="]=[", note=""] < 1', ("f1", frozenset({("job", "]=["), ("note", "")}), "<", 1.0)),
    ],
)
def test_expressions_are_read(expression, expected):
    condition = parse(expression)
    assert (condition.metric, condition.group, condition.comparator, condition.threshold) == expected
    assert condition.expression == expression.strip()


@pytest.mark.parametrize(
    "expression",
    [
        "", "accuracy", "accuracy 0.8", "accuracy == 0.8", "accuracy < ", "< 0.8", "accuracy < nan", "a < 0.8 0.9",
        "accuracy < 0.8; import os", "__import__('os').system('ls') < 1", "0.8 > accuracy", "accuracy < 1e9999",
        "accuracy[sex=Female < 0.8", "accuracy]sex=Female[ < 0.8",
    ],
)  # fmt: skip
def test_anything_else_is_refused(expression):
    with pytest.raises(BadInput, match=r'cannot read the condition .* such as "worst_group_accuracy < 0.8"'):
        parse(expression)


@pytest.mark.parametrize("group", ["sex", "=x", "sex=a b=c=d", "sex=Fem'ale", "sex=a,,b=c"])
def test_unreadable_groups_are_refused(group):
    with pytest.raises(BadInput, match=r"wanted \[column=value\]|cannot read the condition"):
        parse(f"accuracy[{group}] < 1")


@pytest.mark.parametrize("group", ["", "sex=a, sex=b"])
def test_groups_name_each_column_once(group):
    with pytest.raises(BadInput, match="must name each column once"):
        parse(f"accuracy[{group}] < 1")


@given(st.text())
def test_no_text_does_more_than_be_refused(text):
    try:
        parse(text)
    except BadInput:
        return
    assert any(sign in text for sign in "<>")


@pytest.mark.parametrize(
    ("comparator", "below", "equal", "above"),
    [("<", False, False, True), ("<=", False, True, True), (">", True, False, False), (">=", True, True, False)],
)
def test_comparators_decide_on_the_value(comparator, below, equal, above):
    thresholds = {"0.69": below, "0.7": equal, "70%": equal, "0.71": above}
    for threshold, expected in thresholds.items():
        assert fails(f"worst_group_accuracy {comparator} {threshold}") is expected


def test_confident_fails_only_with_the_whole_interval():
    assert fails("worst_group_accuracy < 0.8")
    assert not fails("worst_group_accuracy < 0.8", confident=True)
    assert fails("worst_group_accuracy < 0.82", confident=True)
    assert not fails("worst_group_accuracy < 0.81", confident=True)
    assert fails("worst_group_accuracy <= 0.81", confident=True)
    assert fails("accuracy_gap > 0.1", confident=True)
    assert not fails("accuracy_gap > 0.15", confident=True)
    assert not fails("accuracy_gap > 0.3", confident=True)


def test_without_an_interval_the_value_decides():
    verdict = judge(["log_loss > 0.3"], RECORD, confident=True)[0]
    assert verdict.failed
    assert verdict.reason == "log_loss is 0.4, above 0.3; it has no interval, so its value decides"
    assert not fails("log_loss > 0.5", confident=True)


@pytest.mark.parametrize("confident", [False, True])
def test_what_could_not_be_checked_has_not_been_passed(confident):
    for expression in ("auc < 0.1", "auc > 0.1"):
        verdict = judge([expression], RECORD, confident)[0]
        assert verdict == Verdict(expression, True, "auc is undefined: it could not be checked")


def test_reasons_say_value_interval_and_threshold():
    reasons = [v.reason for v in judge(["worst_group_accuracy < 0.8", "accuracy[sex=Female] < .7"], RECORD, True)]
    assert reasons == [
        "worst_group_accuracy is 0.7 (0.65 to 0.81), below 0.8, but its interval is not entirely: it may be noise",
        "accuracy[sex=Female] is 0.7 (0.65 to 0.75), not below 0.7",
    ]


def test_reasons_do_not_round_the_difference_away():
    record = Record({"accuracy": Figure(0.79999999)}, {})
    assert judge(["accuracy < 0.8"], record)[0].reason == "accuracy is 0.79999999, below 0.8"


def test_group_order_is_free():
    text = 'accuracy[age="40, or more", sex=Female] < 0.55'
    assert judge([text], RECORD)[0].reason.startswith("accuracy[age=40, or more, sex=Female] is 0.5 (0.4 to 0.6)")


def test_unknown_names_get_the_nearest_one():
    with pytest.raises(BadInput, match="unknown metric 'worst_accuracy'; did you mean 'worst_group_accuracy'"):
        fails("worst_accuracy < 0.8")
    with pytest.raises(BadInput, match=r"no group \[sex=female\] in .*; the nearest is \[sex=Female\]"):
        fails("accuracy[sex=female] < 0.8")
    with pytest.raises(BadInput, match=r"unknown metric 'auc'.*known: accuracy"):
        fails("auc[sex=Female] < 0.8")
    with pytest.raises(BadInput, match="the audit has no groups"):
        judge(["accuracy[a=b] < 1"], Record({}, {}))


def test_record_of_a_written_audit():
    audit = {
        "overall": {"count": 10, "accuracy": {"value": 0.7, "low": 0.6, "high": None}, "auc": None, "name": "x"},
        "groups": [{"group": {"sex": "Female", "child": 1}, "count": 4, "accuracy": 0.25, "confusion": [[1]]}],
    }
    record = Record.from_json(audit)
    assert set(record.overall) == {"count", "accuracy", "auc"}
    verdicts = judge(["accuracy[child=1, sex=Female] < .5", "count < 11", "auc < 0", "accuracy < .5"], record)
    assert [verdict.failed for verdict in verdicts] == [True, True, True, False]


HOSTILE = Verdict('f1[x="<a>|&\x00`"] < 1', True, "f1 is <script>1</script>\nbelow | 1")


def test_junit_is_readable_xml_whatever_the_data_hold():
    suite = ElementTree.fromstring(junit([HOSTILE, Verdict("auc < 1", False, "fine")]))
    assert suite.attrib == {"name": "evenhand audit", "tests": "2", "failures": "1", "errors": "0"}
    first, second = suite
    assert first.attrib["name"] == 'f1[x="<a>|&\ufffd`"] < 1'
    assert first.find("failure").attrib["message"] == HOSTILE.reason
    assert second.find("failure") is None
    assert second.find("system-out").text == "fine"


@given(st.text())
def test_junit_survives_any_text(text):
    ElementTree.fromstring(junit([Verdict(text, True, text)]).encode("utf-8", "replace"))


def test_markdown_is_one_table_whatever_the_data_hold():
    lines = markdown([HOSTILE, Verdict("auc < 1", False, "fine")]).splitlines()
    assert lines[0] == "### Audit: 1 of 2 conditions failed"
    assert len(lines) == 6
    assert "<script>" not in lines[4]
    assert r"below \| 1 |" in lines[4]
    assert lines[5] == "| ✅ | auc &lt; 1 | fine |"
