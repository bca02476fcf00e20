"""Where the unfairness of a finished run comes from: its data, its representation, or its classifier.

    found = diagnose(model, data.train, data.val)
    found.verdict.cause                 "nothing", "data", "representation" or "classifier"
    tables(found), markdown(found)      for readers
    found.record()                      for machines

Rows of train and val only. Probes of frozen features (`refits`, `attributes`, `separability`) are measured with
intervals, and `verdict` compares them with thresholds.
"""

from .report import Diagnosis, diagnose
from .tables import markdown, tables
from .verdict import Criterion, Verdict

__all__ = ["Criterion", "Diagnosis", "Verdict", "diagnose", "markdown", "tables"]
