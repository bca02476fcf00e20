"""What is recorded of features: neural collapse in every epoch of a tracked training, and a finished model's geometry.

Features are caught on their way into the classifier, in passes and steps that are made anyway. The one exception is
`collapse-exact`: a pass over all training rows after every epoch.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenhand.batch import Batch, Split
from evenhand.checkpoint import Tree
from evenhand.collapse import Cells, Classifier, Moments, RowPass, class_table, group_table, measure
from evenhand.errors import BadInput
from evenhand.evaluation import OnChunk, predict
from evenhand.model import Model
from evenhand.randomness import generator

Record = dict[str, Any]
Rows = tuple[Tensor, Tensor, Tensor | None]  # features (B, D), classes (B,), groups (B,) or None

PIECE = 2**22  # numbers of training features that wait to be looked at together: small batches would cost time
MOST_KEPT = 2**25  # numbers of training features kept to be compared with their class means; of more none are
MOST_POINTS = 2000
MOST_GROUPS = 200  # with more, the geometry of a finished model is that of its classes alone
MOST_FEATURES = (
    1024  # with more, it lacks `nc1_papyan…`, whose matrix would take longer than a small model's evaluation
)

_OF_GROUPS = {"nc1_cdnv_groups", "nc1_group_variance", "nc1_squared_distance_sum", "nc1_distance_sum", "d_maj", "d_min"}


# --- one part of the data ---


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

    def figures(self, classifier: Classifier, count_G: Tensor) -> Record | None:
        """Scalars, and columns per class and per group, by the names of `collapse`; None as `classes`.

        Args:
            count_G: rows of each group in training.
        """
        if self.classes is None:
            return None
        grouped, whole = self._grouped, self._whole
        scalars = measure(grouped.moments, classifier, rows=grouped.rows, count_G=count_G)
        if whole is not grouped:
            scalars |= {
                name: value
                for name, value in measure(whole.moments, classifier, rows=whole.rows).items()
                if name not in _OF_GROUPS and not name.endswith("_group_means")
            }
        return {
            "scalars": scalars,
            "classes": class_table(whole.moments, classifier, rows=whole.rows),
            "groups": group_table(grouped.moments, classifier, rows=grouped.rows),
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


def _tensors(moments: Moments) -> dict[str, Tensor]:
    return {name: value for name, value in vars(moments).items() if isinstance(value, Tensor)}


# --- every epoch ---


class Tracker:
    """Records neural collapse of each epoch, and the features of some rows at the first and the last epoch.

    Class means that rows of validation and test are compared with are those of training in the same epoch.

    Args:
        exact: training features are those of a pass in eval mode after each epoch; otherwise those of the steps, as
            they went by: of changing weights, in training mode, augmented, and none where a method feeds mixtures only.
        of_points: the part whose rows' features are kept, "val" or "test".
        seed: of which rows.
    """

    def __init__(self, *, exact: bool, of_points: str, seed: int) -> None:
        self.exact, self.of_points, self.seed = exact, of_points, seed
        self.parts: dict[str, tuple[Part, Tensor]] = {}
        self.points: dict[str, Tensor] = {}
        self.means: Cells | None = None

    def begin_stage(self, model: Model, split: Split, train: Split) -> None:
        """Begin again, with what the stage trains on and all training rows, both with groups."""
        self.model, self.train = model, train
        self.split = train if self.exact else split
        self.points = {}
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Forget the epoch before."""
        self.parts, self.part, self.means = {}, Part(self.split, self.model), None
        self.rows: list[Tensor] = []  # rows of steps that wait to be looked at
        self.features: list[Tensor] = []  # and their features
        self.kept: list[tuple[Tensor, Tensor]] | None = []  # rows and features to be compared; None: too many
        self.n_kept = 0

    # --- training ---

    def step(self, rows_B: Tensor, features_BD: Tensor | None) -> None:
        """Note a step; `features_BD` are None where the method computed none of these very rows."""
        if features_BD is not None and len(features_BD) == len(rows_B):
            self.rows.append(rows_B)
            self.features.append(features_BD)
            if len(self.features) * features_BD.numel() >= PIECE:
                self._look()

    def _look(self) -> None:
        """Take in what waits."""
        if self.features:
            self._take(torch.cat(self.rows), torch.cat(self.features))
            self.rows, self.features = [], []

    def _take(self, rows_B: Tensor, features_BD: Tensor) -> None:
        self.part.add(self._labelled(rows_B, features_BD))
        self.n_kept += features_BD.numel()
        if self.kept is not None:
            self.kept.append((rows_B, features_BD))
        if self.n_kept > MOST_KEPT:
            self.kept = None

    def _labelled(self, rows_B: Tensor, features_BD: Tensor) -> Rows:
        split = self.split
        return features_BD, split.y[rows_B], split.group[rows_B] if split.has_attributes else None

    def end_training(self) -> None:
        """Close the training part of this epoch, before anything is evaluated."""
        if self.exact:
            predict(self.model, self.split, lambda batch, features_BD, _: self._take(batch.rows, features_BD))
        else:
            self._look()
        self.means = self.part.classes
        if self.means is None:
            return
        if self.kept is not None:
            self.part.begin_rows(self.means, Classifier.of(self.model.classifier))
            for rows_B, features_BD in self.kept:
                self.part.add_again(self._labelled(rows_B, features_BD))
        self.kept = None
        self.parts["train"] = self.part, self.train.count_G

    # --- evaluation ---

    def watch(self, name: str, split: Split, count_G: Tensor | None = None) -> OnChunk:
        """What looks at the chunks of an evaluation of this part.

        Args:
            count_G: rows of each of its groups in training, where they are not those of the training's split.
        """
        part = Part(split, self.model)
        if self.means is not None:
            part.begin_rows(self.means, Classifier.of(self.model.classifier))
        self.parts[name] = part, self.train.count_G if count_G is None else count_G
        note = self._note_points(split) if name == self.of_points else None

        def look(batch: Batch, features_BD: Tensor, logits_BC: Tensor) -> None:
            part.add((features_BD, batch.y, batch.group))
            if note:
                note(batch, features_BD, logits_BC)

        return look

    def _note_points(self, split: Split) -> OnChunk:
        rows = chosen(len(split), self.seed)
        place_N = torch.full((len(split),), -1)
        place_N[rows] = torch.arange(len(rows))
        last_ND = torch.zeros(len(rows), self.model.classifier.in_features, dtype=torch.float16)
        predicted_N = torch.zeros(len(rows), dtype=torch.int64)
        self.points |= {"rows": rows, "y": split.y.cpu()[rows], "group": split.group.cpu()[rows]}
        self.points |= {"last": last_ND, "predicted_last": predicted_N}
        for name in ("", "predicted_"):
            self.points.setdefault(f"{name}first", self.points[f"{name}last"])
        most = torch.finfo(torch.float16).max

        def note(batch: Batch, features_BD: Tensor, logits_BC: Tensor) -> None:
            place_B = place_N[batch.rows.cpu()]
            hit = torch.nonzero(place_B >= 0).flatten()
            there = hit.to(features_BD.device)
            last_ND[place_B[hit]] = features_BD.index_select(0, there).clamp(-most, most).half().cpu()
            predicted_N[place_B[hit]] = logits_BC.index_select(0, there).argmax(1).cpu()

        return note

    def figures(self) -> dict[str, Record]:
        """Of each part in this epoch, when all were evaluated; one with a feature that is not finite is left out."""
        classifier = Classifier.of(self.model.classifier)
        found = {name: part.figures(classifier, count_G) for name, (part, count_G) in self.parts.items()}
        return {name: each for name, each in found.items() if each}

    def points_file(self) -> bytes:
        """`points.npz`."""
        names = {
            "first": "first_ND", "last": "last_ND", "rows": "rows_N", "y": "y_N", "group": "group_N",
            "predicted_first": "predicted_first_N", "predicted_last": "predicted_last_N",
        }  # fmt: skip
        arrays: dict[str, Any] = {names[name]: values.numpy() for name, values in self.points.items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, part=np.array(self.of_points), **arrays)
        return buffer.getvalue()

    # --- snapshots ---

    def state(self) -> Tree:
        """All that continuing needs, between two steps or two epochs."""
        return {
            "part": self.part.state(), "points": self.points, "rows": self.rows, "features": self.features,
            "kept": self.kept, "n_kept": self.n_kept,
        }  # fmt: skip

    def load(self, saved: Tree) -> None:
        """Continue from `state`, in the stage that it is of."""
        device = self.model.classifier.weight.device
        self.part.load(saved["part"])
        self.points, self.n_kept = dict(saved["points"]), saved["n_kept"]
        self.rows, self.features = ([each.to(device) for each in saved[name]] for name in ("rows", "features"))
        kept = saved["kept"]
        self.kept = None if kept is None else [(rows.to(device), features.to(device)) for rows, features in kept]


def chosen(n_rows: int, seed: int) -> Tensor:
    """(M,) the rows whose features are kept as points, in order: all, or `MOST_POINTS` of them at random."""
    if n_rows <= MOST_POINTS:
        return torch.arange(n_rows)
    return torch.randperm(n_rows, generator=generator(seed))[:MOST_POINTS].sort().values


# --- a finished model ---


class Geometry:
    """How groups, classes and the classifier's weights of a finished model lie, from the passes that evaluate it."""

    def __init__(self, model: Model, train: Split) -> None:
        self.model, self.train = model, self._looked_at(train)
        self.parts: dict[str, Part] = {}

    @staticmethod
    def _looked_at(split: Split) -> Split:
        return split if split.n_groups <= MOST_GROUPS else split.without_groups()

    def watch(self, name: str, split: Split) -> OnChunk:
        """What looks at the chunks of the evaluation of this part."""
        part = Part(self._looked_at(split), self.model, full=self.model.classifier.in_features <= MOST_FEATURES)
        self.parts[name] = part
        by_group = self.train.has_attributes

        def look(batch: Batch, features_BD: Tensor, logits_BC: Tensor) -> None:
            part.add((features_BD, batch.y, batch.group if by_group else None))

        return look

    def record(self) -> Record:
        """Figures of each part, and the vectors of `test` in three dimensions."""
        classifier = Classifier.of(self.model.classifier)
        found = {name: part.figures(classifier, self.train.count_G) for name, part in self.parts.items()}
        test = self.parts["test"]
        parts = {name: each for name, each in found.items() if each}
        if test.classes is None:
            return {"parts": parts, "vectors": [], "explained": None}
        vectors, explained = _vectors(test.classes, test.groups, classifier, self.train)
        return {"parts": parts, "vectors": vectors, "explained": explained}


def _vectors(classes: Cells, groups: Cells, classifier: Classifier, split: Split) -> tuple[list[Record], float | None]:
    """The vectors in the three dimensions that show most of their squared length, and the share of it that they show.

    Means are as seen from the mean of class means, weights as long as class means on average.
    """
    centre_D, A = classes.centre_D(), split.n_attributes
    mean_CD, weight_CD = classes.mean_KD - centre_D, classifier.weight_CD.to(centre_D)
    scale = mean_CD.norm(dim=1).nanmean() / weight_CD.norm(dim=1).mean()
    found: list[tuple[Record, Tensor]] = []
    for g in range(split.n_groups if split.has_attributes else 0):
        of = {"kind": "group_mean", "name": split.group_name(g), "class": g // A, "attribute": g % A}
        found.append((of | {"count": int(groups.count_K[g])}, groups.mean_KD[g] - centre_D))
    for c in range(split.n_classes):
        name = split.class_names[c] if split.class_names else str(c)
        of = {"name": name, "class": c, "attribute": None, "count": int(classes.count_K[c])}
        found += [({"kind": "class_mean"} | of, mean_CD[c]), ({"kind": "weight"} | of, weight_CD[c] * scale)]
    found = [(each, vector_D) for each, vector_D in found if bool(vector_D.isfinite().all())]
    xyz_V3, explained = flattened(torch.stack([vector_D for _, vector_D in found]))
    return [{**each, "xyz": xyz} for (each, _), xyz in zip(found, xyz_V3.tolist(), strict=True)], explained


def flattened(vectors_VD: Tensor) -> tuple[Tensor, float | None]:
    """(V, 3) the vectors along their first three principal axes through 0, and the share in [0, 1] of their length.

    The share is of squared length, None where all vectors are 0. The sign of an axis is such that the vector that
    reaches furthest along it does so in the positive direction; missing dimensions are 0.
    """
    vectors = vectors_VD.double().cpu()
    left_VR, length_R, _ = torch.linalg.svd(vectors, full_matrices=False)
    along_VR = (left_VR * length_R)[:, :3]
    furthest_R = along_VR.abs().argmax(0)
    along_VR = along_VR * torch.where(along_VR.gather(0, furthest_R[None]) < 0, -1.0, 1.0)
    total = float(length_R.square().sum())
    xyz_V3 = torch.nn.functional.pad(along_VR, (0, 3 - along_VR.shape[1]))
    return xyz_V3, float(length_R[:3].square().sum()) / total if total > 0 else None
