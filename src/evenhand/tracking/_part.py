"""`Part`: the features of one part of the data in one evaluation or epoch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from evenhand.batch import Split
from evenhand.checkpoint import Tree
from evenhand.collapse import Cells, Classifier, Moments, RowPass, class_table, group_table, measure
from evenhand.errors import BadInput
from evenhand.model import Model

Rows = tuple[Tensor, Tensor, Tensor | None]  # features (B, D), classes (B,), groups (B,) or None
Figures = dict[str, Any]

_OF_GROUPS = {"nc1_cdnv_groups", "nc1_group_variance", "nc1_squared_distance_sum", "nc1_distance_sum", "d_maj", "d_min"}


class _Sums:
    """Moments of rows, and how rows lie to given class means: by group, or with `whole` by class only."""

    def __init__(self, split: Split, model: Model, *, full: bool, whole: bool) -> None:
        device = model.classifier.weight.device
        where = torch.device("cpu") if device.type == "mps" else device  # there is no float64
        n_attributes = 1 if whole else split.n_attributes
        self.moments = Moments(model.classifier.in_features, split.n_classes, n_attributes, full=full, device=where)
        self.rows: RowPass | None = None
        self._whole, self._unknown = whole, split.n_unknown > 0

    def begin_rows(self, means: Cells, classifier: Classifier) -> None:
        """From now on, rows are compared with these class means."""
        # One row a class, at its mean, has these class means, however many attribute values there are.
        present = torch.nonzero(means.present_K).flatten()
        own = self.moments
        at_means = Moments(own.n_features, own.n_classes, own.n_attributes, device=own.device)
        at_means.update(means.mean_KD[present], present, present * own.n_attributes)
        self.rows = RowPass(at_means, classifier)

    def add(self, rows: Rows, *, again: bool = False) -> None:
        """Take rows in; `again` only to compare them, as they are in the moments already."""
        features_BD, y_B, group_B = rows
        if self._whole:
            group_B = None
        elif self._unknown and group_B is not None:
            known = torch.nonzero(group_B >= 0).flatten()
            features_BD, y_B, group_B = (each.index_select(0, known) for each in (features_BD, y_B, group_B))
        if not again:
            self.moments.update(features_BD, y_B, group_B)
        if self.rows is not None:
            self.rows.update(features_BD, y_B, group_B)


class Part:
    """The features of one part of the data, as they come by. Rows of unknown groups count for classes only.

    Args:
        split: whose rows these are.
        model: tells the number of features and the device.
        full: also what `nc1_papyan…` need.
    """

    def __init__(self, split: Split, model: Model, *, full: bool = True) -> None:
        self._grouped = _Sums(split, model, full=full, whole=False)
        self._whole = _Sums(split, model, full=full, whole=True) if split.n_unknown else self._grouped
        self.finite = True

    @property
    def _all(self) -> list[_Sums]:
        return [self._grouped] if self._whole is self._grouped else [self._grouped, self._whole]

    def add(self, rows: Rows) -> None:
        """Take rows in; nothing more after a feature that is not finite."""
        try:
            for sums in self._all if self.finite else []:
                sums.add(rows)
        except BadInput:  # labels are those of a split: only features can be wrong
            self.finite = False

    @property
    def classes(self) -> Cells | None:
        """The classes' means; None without rows, or after a feature that was not finite."""
        cells = self._whole.moments.classes()
        return cells if self.finite and bool(cells.present_K.any()) else None

    @property
    def groups(self) -> Cells:
        """The groups' means."""
        return self._grouped.moments.groups()

    def begin_rows(self, means: Cells, classifier: Classifier) -> None:
        """From now on, rows are also compared with these class means."""
        for sums in self._all:
            sums.begin_rows(means, classifier)

    def add_again(self, rows: Rows) -> None:
        """Compare rows that were taken in before."""
        for sums in self._all:
            sums.add(rows, again=True)

    def figures(self, classifier: Classifier, count_G: Tensor) -> Figures | None:
        """Scalars, and columns per class and per group, by the names of `collapse`; None as `classes`.

        Args:
            count_G: rows of each group in training.
        """
        if self.classes is None:
            return None
        classifier, own = classifier.to("cpu"), self._grouped.rows
        grouped = _here(self._grouped.moments)
        scalars, moments, rows = measure(grouped, classifier, rows=own, count_G=count_G), grouped, own
        if self._whole is not self._grouped:
            moments, rows = _here(self._whole.moments), self._whole.rows
            of_all = measure(moments, classifier, rows=rows)
            scalars |= {name: value for name, value in of_all.items() if not _is_of_groups(name)}
        return {
            "scalars": scalars,
            "classes": class_table(moments, classifier, rows=rows),
            "groups": group_table(grouped, classifier, rows=own),
        }

    def state(self) -> Tree:
        """Its tensors, to continue from; rows are not being compared."""
        return {"finite": self.finite, "sums": [_tensors(sums.moments) for sums in self._all]}

    def load(self, saved: Tree) -> None:
        """Continue from `state`."""
        self.finite = saved["finite"]
        for sums, tensors in zip(self._all, saved["sums"], strict=True):
            for name, tensor in tensors.items():
                setattr(sums.moments, name, tensor.to(sums.moments.device))


def _is_of_groups(name: str) -> bool:
    return name in _OF_GROUPS or name.endswith("_group_means")


def _here(moments: Moments) -> Moments:
    """The same on the CPU: measures are many small operations, which a GPU takes longer to begin than to do."""
    if moments.count_G.device.type == "cpu":
        return moments
    return Moments(moments.n_features, moments.n_classes, moments.n_attributes, moments.full).merge(moments)


def _tensors(moments: Moments) -> dict[str, Tensor]:
    return {name: value for name, value in vars(moments).items() if isinstance(value, Tensor)}
