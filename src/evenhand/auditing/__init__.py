"""Audit from predictions alone: who is badly served, and how sure is that.

    audit("predictions.csv", label="y", prediction="p", group=["sex", "race"])

`run` reads top down: `reading` opens the source, `counting` goes once over its rows, `figures` turns counts and scores
into numbers with intervals, `summary` gathers them in one dictionary, which `output` shows. Beside it stand `against`
(two models), `searching` (the worst slices) and `gate` (conditions that fail a build). Needs no torch; Polars and SciPy
are imported when they are needed.
"""

from evenhand.auditing.figures.estimates import Measured

from .result import Audit
from .run import audit
from .scorer import Scorer

__all__ = ["Audit", "Measured", "Scorer", "audit"]
