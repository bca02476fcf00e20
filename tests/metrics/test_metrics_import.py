"""Auditing starts in a blink: nothing heavy is imported."""

import subprocess
import sys

import pytest

HEAVY = ["torch", "scipy", "pandas", "polars", "sklearn", "fairlearn"]
AUDIT = """
import sys
from evenhand.metrics import count, evaluate, group_table, worst_group
counts = count([0, 1], [0, 1], [0, 1])
evaluate(counts), group_table(counts), worst_group(counts.correct_G, counts.count_G)
"""


@pytest.mark.parametrize("program", ["import sys, evenhand.metrics", AUDIT])
def test_import_and_audit_need_numpy_only(program):
    report = f"{program}\nprint([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
