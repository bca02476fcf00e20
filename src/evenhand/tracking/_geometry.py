"""`Geometry`: how groups, classes and weights of a finished model lie."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from evenhand.batch import Batch, Split
from evenhand.collapse import Cells, Classifier
from evenhand.evaluation import OnChunk
from evenhand.model import Model

from ._part import Part

Record = dict[str, Any]

MOST_GROUPS = 200  # with more, it is that of the classes alone
MOST_FEATURES = 1024  # with more, `nc1_papyan…` are left out: their matrix would take longer than a small model


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
