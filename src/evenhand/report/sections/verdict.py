"""What it all comes to, in the sentences that a hurried reader should read."""

from __future__ import annotations

from typing import Any

from evenhand.report.blocks import Section, Text
from evenhand.report.found import Found
from evenhand.report.pieces import listed, percent, thousands
from evenhand.study.verdict import verdict


def sections(found: Found) -> list[Section]:
    """Who is worst served and what helps, from runs, else from an audit; then the cause, from a diagnosis."""
    lead = verdict(found.compared) if found.compared else ()
    if not lead and found.audits:
        lead = _of_audit(found.audits[0][1])
    lead += tuple(_of_diagnosis(record) for _, record in found.diagnoses[:1])
    blocks = [Text(lead, "lead")] if lead else []
    if found.compared and len(found.compared["rows"]) == 1 and not found.reproductions:
        only = found.compared["rows"][0]["method"]
        other = "groupdro" if only == "erm" else "erm"
        blocks.append(
            Text((f"One method alone cannot say what helps: compare it with others, as {other}, over seeds.",), "note")
        )
    return [Section("verdict", "In short", tuple(blocks))] if blocks else []


def _of_audit(record: dict[str, Any]) -> tuple[str, ...]:
    """The group with the lowest accuracy of those that can be judged."""
    groups = [group for group in record["groups"] if group["accuracy"]["value"] is not None]
    if not groups:
        return ()
    worst = min(groups, key=lambda group: float(group["accuracy"]["value"]))
    accuracy, overall = worst["accuracy"], record["overall"]["accuracy"]["value"]
    name = listed([f"{column} {value}" for column, value in worst["group"].items()])
    return (
        f"The worst served group is {name}: {percent(accuracy['value'])} % of its {thousands(worst['count'])} rows are "
        f"right (95 % interval {percent(accuracy['low'])} to {percent(accuracy['high'])} %), against "
        f"{percent(overall)} % of all rows.",
    )


def _of_diagnosis(record: dict[str, Any]) -> str:
    found = record["verdict"]
    doubt = "" if found.get("sure", True) else " That is not beyond doubt."
    sentence = str(found["sentence"])
    return f"{sentence[:1].upper()}{sentence[1:].rstrip('.')}.{doubt}"
