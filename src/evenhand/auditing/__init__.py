"""Audit from predictions alone: who is badly served, and how sure is that.

    audit("predictions.csv", label="y", prediction="p", group=["sex", "race"])

One pass counts how often each (group, label, prediction) occurs (`cells`); every figure that counts determine is read
off them (`figures`, `reduce`), those from scores need single rows (`rows`). `summary` is the audit as one dictionary,
which `terminal`, `markdown` and `html` show. Needs no torch; Polars and SciPy are imported when they are needed.
"""

from .estimates import Measured
from .result import Audit
from .run import audit
from .scorer import Scorer

__all__ = ["Audit", "Measured", "Scorer", "audit"]
