"""What is to be explained, by which runs, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from evenhand.batch import Split
from evenhand.errors import BadInput, unknown
from evenhand.explanations import cams
from evenhand.explanations.choosing import Example, Judged
from evenhand.model import Model
from evenhand.projection import KINDS as PROJECTIONS

OnRows = Callable[[int], None]


@dataclass(frozen=True)
class Request:
    """What is to be explained, and how.

    Attributes:
        kinds: of maps, of `cams.KINDS`.
        reasons: by which examples are chosen, of `choosing.REASONS`.
        per_group: examples of each group for each reason.
        rows: examples by their numbers, in the place of chosen ones.
        part: val or test.
        target: whose logit is explained: that of the label, or of what the run itself predicts.
        layer: of maps; by default the last one with places.
        energy_rows: rows of each group over which energies are averaged, drawn at random.
        projection: how features are shown on a plane; empty leaves it out.
    """

    kinds: tuple[str, ...] = cams.KINDS
    reasons: tuple[str, ...] = ("worst", "typical")
    per_group: int = 3
    rows: tuple[int, ...] = ()
    part: Literal["val", "test"] = "val"
    target: Literal["label", "prediction"] = "label"
    layer: str | None = None
    energy_rows: int = 100
    projection: Literal["", "umap", "tsne", "pca"] = ""

    def __post_init__(self) -> None:
        cams.check_kinds(self.kinds)
        if self.energy_rows < 1:
            raise BadInput(f"rows of a group for energies must be at least 1, got {self.energy_rows}")
        if self.projection and self.projection not in PROJECTIONS:
            raise unknown("projection", self.projection, PROJECTIONS)


@dataclass(frozen=True, eq=False)
class Subject:
    """A run at work: its name, its model in eval mode, and what it predicts of the split."""

    name: str
    model: Model
    judged: Judged

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def targets(self, rows: Sequence[int], target: str) -> Tensor:
        """(B,) the classes whose logits are explained."""
        of_N = self.judged.y_N if target == "label" else self.judged.prediction_N
        return torch.from_numpy(of_N[list(rows)])


@dataclass(frozen=True)
class Explanation:
    """What was found: plain values, and files by their names within a folder."""

    record: dict[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Work:
    """A request with what it is about.

    Attributes:
        split: whose rows are explained.
        subjects: the run, and perhaps a second one beside it.
        examples: rows of the split.
        on_rows: called with the number of rows that were just explained for a run.
    """

    request: Request
    split: Split
    subjects: tuple[Subject, ...]
    examples: tuple[Example, ...]
    on_rows: OnRows | None = None

    @property
    def rows(self) -> list[int]:
        """Of the examples."""
        return [each.row for each in self.examples]

    @property
    def groups(self) -> list[str]:
        """Names of the G groups."""
        return [self.split.group_name(g) for g in range(self.split.n_groups)]
